"""Being asked to end: what is being done, so that whoever answers can say what stops and what will be done again.

Imports only the standard library. ``pipelines/signals.py`` answers; libraries say what they do.
"""

from __future__ import annotations

import contextlib
import ctypes
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_SIGACTION_BYTES = 1024  # more than ``struct sigaction`` has on any system
# What glog, which comes with pycolmap, answers with the stack of the process.
_TAKEN_BY_GLOG = (signal.SIGSEGV, signal.SIGILL, signal.SIGFPE, signal.SIGABRT, signal.SIGBUS, signal.SIGTERM)


@dataclass(frozen=True)
class Work:
    """What a run does at the moment."""

    what: str  # completes "stopping after ..."
    again: str  # what the next run will do, as a clause: "fusion starts again"; empty: nothing was done yet

    def __str__(self) -> str:
        return f"{self.what}; {f'the same command resumes: {self.again}' if self.again else 'nothing was done yet'}"


Listener = Callable[[Work], object]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, SIGTERM or SIGHUP ends the run; ``work`` is what it did when the signal came."""

    def __init__(self, number: int, work: Work) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name} in {work}")
        self.number = number
        self.work = work


_NOTE = "raised in "
_NOTHING = Work("the start", "")
_work = _NOTHING
_listener: Listener | None = None
_asked: Interrupted | None = None


def current_work() -> Work:
    """What the main thread does."""
    return _work


def set_listener(listener: Listener | None) -> None:
    """Install the function that is told of every change of the work; None switches it off."""
    global _listener, _asked
    _listener, _asked = listener, None
    _tell(_work)


def ask_to_end(number: int) -> Interrupted:
    """Remember that a signal asked the run to end; the exception that ends it."""
    global _asked
    _asked = Interrupted(number, _work)
    return _asked


def end_if_asked() -> None:
    """Raise what ``ask_to_end`` gave, where a library caught and lost it; in the main thread only."""
    if _asked is not None and _is_main():
        raise _asked


@contextlib.contextmanager
def doing(what: str, again: str) -> Iterator[Callable[[str], None]]:
    """Say what is done in this block, and what a run that is interrupted there will do again; see ``Work``.

    Gives a function that replaces ``again``. Inner blocks are more exact than outer ones, whose words return at their
    end. What other threads say is not heard: their work is part of that of the main thread. An exception that leaves
    the innermost block has its work as a note (``work_of``).
    """
    if not _is_main():
        yield lambda changed: None
        return
    before = _work
    _tell(Work(what, again))
    try:
        yield lambda changed: _tell(Work(what, changed))
    except Exception as error:
        if not work_of(error):
            # As ``add_note``, which Python 3.10 lacks.
            error.__notes__ = [*getattr(error, "__notes__", ()), f"{_NOTE}{_work}"]
        raise
    finally:
        _tell(before)


def work_of(error: BaseException) -> str:
    """What was done when an exception was raised, and what the next run will do; empty when nothing was said."""
    notes = (note for note in getattr(error, "__notes__", ()) if note.startswith(_NOTE))
    return next(notes, "").removeprefix(_NOTE)


def _tell(work: Work) -> None:
    global _work
    _work = work
    if _listener is not None and _asked is None:  # the answer is about the work that the signal met
        _listener(work)


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()


@contextlib.contextmanager
def handlers_kept() -> Iterator[None]:
    """Give signals the handlers back that they had, whatever a library installs in this block, in any thread.

    Python's ``signal`` module can do neither: it does not know of handlers that C code installed, and sets its own
    from the main thread only.
    """
    libc = ctypes.CDLL(None)
    kept = {number: ctypes.create_string_buffer(_SIGACTION_BYTES) for number in _TAKEN_BY_GLOG}
    for number, action in kept.items():
        libc.sigaction(int(number), None, action)
    try:
        yield
    finally:
        for number, action in kept.items():
            libc.sigaction(int(number), action, None)
