"""Who uses the app: a session is a browser, told apart by a cookie. It has a folder, which goes when it goes."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from lotus_recon.app.runs import Run

_PREFIX = "lotus-recon-app-"
_LOCK = "lock"


@dataclass(eq=False)
class Session:
    """One browser: the files it uploaded, its runs, and how many of its tabs are open."""

    token: str
    folder: Path
    uploads: set[Path] = field(default_factory=set)
    runs: dict[str, Run] = field(default_factory=dict)
    tabs: int = 0
    left: float = field(default_factory=time.monotonic)  # when its last tab was closed, or it was made

    def new_folder(self) -> Path:
        """A new, empty folder for one run."""
        folder = self.folder / secrets.token_hex(6)
        folder.mkdir()
        return folder

    def last_run(self, kind: str) -> Run | None:
        """The newest run of a kind, if any."""
        return next((run for run in reversed(self.runs.values()) if run.job.kind == kind), None)


class Sessions:
    """All sessions of an app. Threads may share it."""

    def __init__(self, root: Path, grace_s: float, forget: Callable[[Session], object] = lambda _: None) -> None:
        """``grace_s``: seconds for which a session without an open tab is kept, so that a page can be reloaded.

        ``forget`` is told of each that ended.
        """
        self.root, self._grace_s, self._forget = root, grace_s, forget
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()

    def new(self) -> Session:
        """A new session, with a name that cannot be guessed."""
        token = secrets.token_urlsafe(24)
        folder = self.root / secrets.token_hex(8)
        folder.mkdir(mode=0o700)
        with self._lock:
            self._sessions[token] = Session(token, folder)
            return self._sessions[token]

    def find(self, token: str | None) -> Session | None:
        """The session of a cookie; None for what is none (any more)."""
        with self._lock:
            return self._sessions.get(token or "")

    @contextlib.contextmanager
    def open_tab(self, session: Session) -> Iterator[None]:
        """Count a tab while it is open."""
        with self._lock:
            session.tabs += 1
        try:
            yield
        finally:
            with self._lock:
                session.tabs -= 1
                session.left = time.monotonic()

    def close_left(self) -> None:
        """Close the sessions whose last tab was closed a while ago."""
        now = time.monotonic()
        with self._lock:
            left = [each for each in self._sessions.values() if not each.tabs and now - each.left > self._grace_s]
        for session in left:
            self._close(session)

    def close_all(self) -> None:
        """Close all sessions."""
        for session in list(self._sessions.values()):
            self._close(session)

    def _close(self, session: Session) -> None:
        """End the runs of a session and delete its files."""
        with self._lock:
            self._sessions.pop(session.token, None)
            kept = {path for other in self._sessions.values() for path in other.uploads}
        for run in session.runs.values():
            run.cancel()
        for run in session.runs.values():
            run.ended.wait(30)
        self._forget(session)
        for path in session.uploads - kept:  # two sessions that upload one file share it
            shutil.rmtree(path.parent, ignore_errors=True)
        shutil.rmtree(session.folder, ignore_errors=True)


@contextlib.contextmanager
def own_root() -> Iterator[Path]:
    """A temporary folder for the sessions of this process, which only this user can open; deleted at the end.

    Those that killed processes left are deleted too.
    """
    _delete_abandoned(Path(tempfile.gettempdir()))
    root = Path(tempfile.mkdtemp(prefix=_PREFIX)).resolve()
    try:
        with FileLock(root / _LOCK):
            yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _delete_abandoned(folder: Path) -> None:
    for root in folder.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError, Timeout):
            if root.is_symlink() or root.stat().st_uid != os.getuid() or not (root / _LOCK).is_file():
                continue
            with FileLock(root / _LOCK, timeout=0):
                shutil.rmtree(root, ignore_errors=True)
