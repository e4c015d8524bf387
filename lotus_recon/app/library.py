"""Folders of results that the app shows: those of a session, and those it was started with."""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lotus_recon.app.runs import Run
from lotus_recon.app.sessions import Session
from lotus_recon.viewing.folder import title_of
from lotus_recon.viewing.serving import ServedFolder, file_below
from lotus_recon.workspace import OWNERS_FILE, write_atomically

_DEPTH = 3  # folders below one that was named, in which results are looked for
_MOST = 200  # folders of results that are listed
_PAGE_SIZE = 200_000  # most triangles and points of a page in 3D
_REPORT = "report/report.json"
_BATCH_PAGES = "batch_report*.html"
# Of results, in the order of their use: what they are, and what opens them.
_DOWNLOADS = {
    "texture/mesh.glb": "textured mesh: Blender, Windows 3D Viewer, any web viewer",
    "mesh/mesh.ply": "mesh: MeshLab, CloudCompare, Blender",
    "mesh/mesh.glb": "mesh: Blender, Windows 3D Viewer, any web viewer",
    "mesh.glb": "mesh: Blender, Windows 3D Viewer, any web viewer",
    "mesh.ply": "mesh: MeshLab, CloudCompare, Blender",
    "dense.ply": "point cloud: CloudCompare, MeshLab",
    "points.ply": "point cloud: CloudCompare, MeshLab",
    "depth_16bit.png": "depth, 16 bits",
    "normals.png": "normals",
    "camera.json": "camera",
    "report/view.html": "the page in 3D, one file",
    "view.html": "the page in 3D, one file",
    "report/index.html": "report",
}


@dataclass(frozen=True)
class Download:
    """A file that a result offers."""

    path: str  # in the folder of the result
    words: str
    size: int  # bytes


@dataclass(frozen=True)
class PhotoResult:
    """What ``single_view`` wrote for one photo."""

    folder: Path
    stem: str

    @property
    def camera(self) -> dict[str, Any]:
        """The content of camera.json; empty where that cannot be read."""
        return _json(self.folder / self.stem / "camera.json")


class Place:
    """A folder of results as a place of the web. ``key`` stands in its address."""

    def __init__(self, folder: Path, key: str, title: str | None = None) -> None:
        """``title``: instead of that of its report, or its name."""
        self.folder, self.key = folder.resolve(), key
        self._title = title
        self._zipping = threading.Lock()

    @cached_property
    def page(self) -> ServedFolder:
        """The page of a scene in 3D, live."""
        return ServedFolder(self.folder, _PAGE_SIZE)

    @property
    def title(self) -> str:
        """In words."""
        return self._title or title_of(self.folder)

    @property
    def download_name(self) -> str:
        """Its title as the name of a file."""
        return re.sub(r"[^\w.-]+", "_", self.title).strip("._") or "results"

    @property
    def is_scene(self) -> bool:
        """Whether ``multi_view`` wrote it, or is writing it."""
        return (self.folder / "sfm").is_dir() or (self.folder / _REPORT).is_file()

    @property
    def is_finished(self) -> bool:
        """Whether a scene has its report."""
        return (self.folder / _REPORT).is_file()

    @property
    def report(self) -> dict[str, Any]:
        """The content of report.json; empty where there is none."""
        return _json(self.folder / _REPORT)

    @property
    def batch_page(self) -> str | None:
        """The report of a batch, by its path in the folder."""
        return next((path.name for path in sorted(self.folder.glob(_BATCH_PAGES))), None)

    @property
    def photos(self) -> list[PhotoResult]:
        """What ``single_view`` wrote, by photo."""
        pages = sorted(self.folder.rglob("camera.json"))[:_MOST] if not self.is_scene else []
        stems = [str(page.parent.relative_to(self.folder)) for page in pages if page.parent != self.folder]
        return [PhotoResult(self.folder, stem) for stem in stems]

    @property
    def picture(self) -> str | None:
        """A small image of it, by its path in the folder."""
        patterns = ("report/images/mesh*", "thumbnail.jpg", "report/images/*", "*/depth.png")
        found = (path for pattern in patterns for path in sorted(self.folder.glob(pattern)))
        return next((path.relative_to(self.folder).as_posix() for path in found if path.is_file()), None)

    def downloads(self, below: str = "") -> list[Download]:
        """The files that people want, of the folder or of one photo in it."""
        prefix = f"{below}/" if below else ""
        paths = {f"{prefix}{name}": words for name, words in _DOWNLOADS.items()}
        found = {path: file for path in paths if (file := file_below(self.folder, path)) is not None}
        return [Download(path, paths[path], file.stat().st_size) for path, file in found.items()]

    def archive(self, into: Path) -> Path:
        """All files that are not hidden, in one ZIP file in ``into``; made once for each state of the folder."""
        files = list(_visible(self.folder))
        state = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        digest = hashlib.sha256(json.dumps([str(self.folder), state]).encode()).hexdigest()[:16]
        target = into / f"{digest}.zip"
        with self._zipping:
            if not target.is_file():
                write_atomically(target, lambda part: self._write(part, files))
        return target

    def _write(self, path: Path, files: Sequence[Path]) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:  # what is large in it is compressed already
            for file in files:
                archive.write(file, Path(self.download_name) / file.relative_to(self.folder))


def _visible(folder: Path) -> Iterator[Path]:
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths = (Path(here, name) for name in sorted(files) if not name.startswith("."))
        yield from (path for path in paths if path.is_file() and not path.is_symlink())


class Library:
    """Finds places by their keys: a session's own, which others do not get, and those below ``folders``."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = [folder.resolve() for folder in folders]
        self._own: dict[str, Place] = {}
        self._shared: dict[str, Place] = {}
        self._lock = threading.Lock()

    def of_session(self, session: Session) -> list[Place]:
        """The results of a session, the newest first."""
        runs = [(key, run) for key, run in session.runs.items() if run.state in ("running", "done")]
        return [self._of_run(key, run) for key, run in reversed(runs)]

    def named(self) -> list[Place]:
        """Results in the folders that the app was started with."""
        found: list[Place] = []
        for folder in self.folders:
            for path in _results_below(folder, _DEPTH):
                key = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
                with self._lock:
                    found.append(self._shared.setdefault(key, Place(path, key)))
                if len(found) >= _MOST:
                    return found
        return found

    def find(self, session: Session, key: str) -> Place | None:
        """The place of a key, if this session may see it."""
        if key in session.runs:
            return self._of_run(key, session.runs[key])
        if key not in self._shared:
            self.named()  # a link of before the app was started again
        return self._shared.get(key)

    def forget(self, session: Session) -> None:
        """Drop what was made of the results of a session."""
        with self._lock:
            for key in session.runs:
                self._own.pop(key, None)

    def _of_run(self, key: str, run: Run) -> Place:
        with self._lock:
            if key not in self._own:
                self._own[key] = Place(run.folder, key, run.title)
            return self._own[key]


def _results_below(folder: Path, depth: int) -> Iterator[Path]:
    """Output folders of ours, and of batches, in and below a folder."""
    if not folder.is_dir():
        return
    is_batch = any(folder.glob(_BATCH_PAGES))
    if is_batch or (folder / OWNERS_FILE).is_file():
        yield folder
    if depth == 0 or ((folder / OWNERS_FILE).is_file() and not is_batch):
        return
    for child in sorted(folder.iterdir()):
        if child.is_dir() and not child.name.startswith(".") and not child.is_symlink():
            yield from _results_below(child, depth - 1)


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
