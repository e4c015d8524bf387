"""How many threads this process may use. Several processes on one machine share its cores by it."""

from __future__ import annotations

import os

_limit: int | None = None


def set_thread_limit(limit: int | None) -> None:
    """Let the libraries that are asked for a number of threads use ``limit`` at most; None lifts the limit."""
    global _limit
    _limit = limit


def thread_limit() -> int | None:
    """The limit, if there is one."""
    return _limit


def thread_count() -> int:
    """Threads for work of our own: the limit, or the cores of the machine."""
    return _limit or os.cpu_count() or 1
