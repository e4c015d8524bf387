"""The page over a server of this machine's own: a finished folder, or one that a run is filling.

It answers 127.0.0.1 only, and only requests that name this server as their host: a page of somebody else in the same
browser, whose name was made to lead here (DNS rebinding), gets nothing.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from lotus_recon.viewing.serving import Answer, ServedFolder

log = logging.getLogger(__name__)

ADDRESS = "127.0.0.1"
_FORBIDDEN = Answer(HTTPStatus.FORBIDDEN, "text/plain", b"this server answers to 127.0.0.1 only\n")
# Of every answer: results change, are what they say they are, and are nobody else's.
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def own_names(port: int) -> tuple[str, ...]:
    """What the header Host may say."""
    return f"{ADDRESS}:{port}", f"localhost:{port}"


class ViewServer(ThreadingHTTPServer):
    """Serves one output folder. ``port`` 0 is any free one; ``server_port`` says which."""

    daemon_threads = True

    def __init__(self, out: Path, port: int, size: int) -> None:
        self.folder = ServedFolder(out, size)
        super().__init__((ADDRESS, port), _Handler)

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{ADDRESS}:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    server: ViewServer
    server_version, sys_version = "lotus_recon", ""
    timeout = 30  # seconds, for a client that says nothing

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _answer(self) -> None:
        is_own = self.headers.get("Host") in own_names(self.server.server_port)
        answer = self.server.folder.answer(unquote(urlsplit(self.path).path)) if is_own else _FORBIDDEN
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.media)
        self.send_header("Content-Length", str(len(answer.body)))
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def log_message(self, format: str, *arguments: Any) -> None:
        log.debug(format, *arguments)
