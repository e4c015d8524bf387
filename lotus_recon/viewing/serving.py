"""What a server answers for an output folder, whichever server it is: the page in 3D, its parts, its files."""

from __future__ import annotations

import json
import logging
import mimetypes
import threading
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from lotus_recon.errors import ReconError
from lotus_recon.viewing.content import Content
from lotus_recon.viewing.folder import LiveFolder
from lotus_recon.viewing.page import html_of

log = logging.getLogger(__name__)

_REPORT = "report/index.html"
_KEPT_PARTS = 64


@dataclass(frozen=True)
class Answer:
    """A response of HTTP."""

    status: HTTPStatus
    media: str
    body: bytes


_NOT_FOUND = Answer(HTTPStatus.NOT_FOUND, "text/plain", b"there is no such thing here\n")


class ServedFolder:
    """An output folder, finished or one that a run is filling, as a place of the web. Threads may share it."""

    def __init__(self, out: Path, size: int) -> None:
        """``size``: most triangles and points of the page."""
        self.folder = LiveFolder(out, size)
        self.root = out.resolve()
        self._lock = threading.Lock()
        self._made: dict[tuple[str, str], bytes] = {}

    def answer(self, path: str) -> Answer:
        """What there is at a path that begins with ``/``; a fault of the folder is told to the page and the log."""
        try:
            return self._routed(path)
        except ReconError as error:
            log.warning("%s: %s", path, error)
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", f"{error}\n".encode())

    def _routed(self, path: str) -> Answer:
        if path == "/":
            report = _REPORT if (self.root / _REPORT).is_file() else None
            page = html_of(self._content(), report, inside=False)
            return Answer(HTTPStatus.OK, "text/html; charset=utf-8", page.encode())
        if path == "/scene.json":
            manifest = json.dumps(self._content().manifest, allow_nan=False)
            return Answer(HTTPStatus.OK, "application/json", manifest.encode())
        if path.startswith("/parts/"):
            return self._part(path.removeprefix("/parts/"))
        return file_answer(self.root, path)

    def _content(self) -> Content:
        with self._lock:
            return self.folder.content()

    def _part(self, name: str) -> Answer:
        """The bytes of a part, made once for each version."""
        with self._lock:  # one at a time: a mesh takes memory
            part = self.folder.content().parts.get(name)
            if part is None:
                return _NOT_FOUND
            key = (name, part.version)
            if key not in self._made:
                while len(self._made) >= _KEPT_PARTS:
                    del self._made[next(iter(self._made))]
                self._made[key] = part.make()
            return Answer(HTTPStatus.OK, part.media, self._made[key])


def file_answer(root: Path, path: str) -> Answer:
    """A file below ``root``, an absolute path without links, by its path in an address."""
    file = file_below(root, path)
    if file is None:
        return _NOT_FOUND
    return Answer(HTTPStatus.OK, media_of(path), file.read_bytes())


def media_of(path: str) -> str:
    """The media type that a name tells."""
    return mimetypes.guess_type(path)[0] or "application/octet-stream"


def file_below(root: Path, path: str) -> Path | None:
    """A file below ``root`` by its path in an address; None for what is not in it, or not meant to be seen."""
    parts = [part for part in path.split("/") if part]
    if not parts or any(part.startswith(".") or "\\" in part or "\0" in part for part in parts):
        return None
    file = root.joinpath(*parts)
    return file if file.is_file() and file.resolve().is_relative_to(root) else None
