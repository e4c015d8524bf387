"""The page over a server of this machine's own: a finished folder, or one that a run is filling.

It answers 127.0.0.1 only, and only requests that name this server as their host: a page of somebody else in the same
browser, whose name was made to lead here (DNS rebinding), gets nothing.
"""

from __future__ import annotations

import json
import logging
import mimetypes
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from lotus_recon.errors import ReconError
from lotus_recon.viewing.content import Content
from lotus_recon.viewing.folder import LiveFolder
from lotus_recon.viewing.page import html_of

log = logging.getLogger(__name__)

ADDRESS = "127.0.0.1"
_REPORT = "report/index.html"
_KEPT_PARTS = 64


class ViewServer(ThreadingHTTPServer):
    """Serves one output folder. ``port`` 0 is any free one; ``server_port`` says which."""

    daemon_threads = True

    def __init__(self, out: Path, port: int, size: int) -> None:
        self.folder = LiveFolder(out, size)
        self.root = out.resolve()
        self._lock = threading.Lock()
        self._made: dict[tuple[str, str], bytes] = {}
        super().__init__((ADDRESS, port), _Handler)

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{ADDRESS}:{self.server_port}/"

    def content(self) -> Content:
        """What there is to show now. Raises the errors of files that cannot be read."""
        with self._lock:
            return self.folder.content()

    def part(self, name: str) -> tuple[str, bytes] | None:
        """Media type and bytes of a part; None when there is no such one. Made once for each version."""
        with self._lock:  # one at a time: a mesh takes memory
            part = self.folder.content().parts.get(name)
            if part is None:
                return None
            key = (name, part.version)
            if key not in self._made:
                while len(self._made) >= _KEPT_PARTS:
                    del self._made[next(iter(self._made))]
                self._made[key] = part.make()
            return part.media, self._made[key]

    def file(self, path: str) -> Path | None:
        """A file of the folder by its path in an address; None for what is not in it, or not meant to be seen."""
        parts = [part for part in path.split("/") if part]
        if not parts or any(part.startswith(".") or "\\" in part or "\0" in part for part in parts):
            return None
        file = self.root.joinpath(*parts)
        return file if file.is_file() and file.resolve().is_relative_to(self.root) else None


class _Handler(BaseHTTPRequestHandler):
    server: ViewServer
    server_version, sys_version = "lotus_recon", ""
    timeout = 30  # seconds, for a client that says nothing

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _answer(self) -> None:
        """Answer, whatever is asked; a fault of the folder is told to the page and the log."""
        if self.headers.get("Host") not in (
            f"{ADDRESS}:{self.server.server_port}",
            f"localhost:{self.server.server_port}",
        ):
            self._send(HTTPStatus.FORBIDDEN, "text/plain", b"this server answers to 127.0.0.1 only\n")
            return
        path = unquote(urlsplit(self.path).path)
        try:
            self._route(path)
        except ReconError as error:
            log.warning("%s: %s", path, error)
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", f"{error}\n".encode())

    def _route(self, path: str) -> None:
        if path == "/":
            self._html()
        elif path == "/scene.json":
            manifest = json.dumps(self.server.content().manifest, allow_nan=False)
            self._send(HTTPStatus.OK, "application/json", manifest.encode())
        elif path.startswith("/parts/"):
            found = self.server.part(path.removeprefix("/parts/"))
            self._found(found)
        else:
            file = self.server.file(path)
            media = mimetypes.guess_type(path)[0] or "application/octet-stream"
            self._found(None if file is None else (media, file.read_bytes()))

    def _html(self) -> None:
        report = _REPORT if (self.server.root / _REPORT).is_file() else None
        page = html_of(self.server.content(), report, inside=False)
        self._send(HTTPStatus.OK, "text/html; charset=utf-8", page.encode())

    def _found(self, found: tuple[str, bytes] | None) -> None:
        if found is None:
            self._send(HTTPStatus.NOT_FOUND, "text/plain", b"there is no such thing here\n")
        else:
            self._send(HTTPStatus.OK, *found)

    def _send(self, status: HTTPStatus, media: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        log.debug(format, *arguments)
