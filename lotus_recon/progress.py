"""Progress of long loops. Libraries call ``track``; what is shown, if anything, is decided by the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from lotus_recon.interruption import end_if_asked

Item = TypeVar("Item")
Reporter = Callable[[str, int, int], None]  # (what, done, total)

_reporter: Reporter | None = None


def set_reporter(reporter: Reporter | None) -> None:
    """Install the function that is told of every step; None switches it off."""
    global _reporter
    _reporter = reporter


def track(items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
    """Yield ``items``, telling the reporter how many of ``total`` are done."""
    report(what, 0, total)
    for done, item in enumerate(items, 1):
        end_if_asked()
        yield item
        report(what, done, total)


def report(what: str, done: int, total: int) -> None:
    """Tell the reporter that ``done`` of ``total`` steps of ``what`` are done."""
    if _reporter is not None and total > 0:
        _reporter(what, done, total)


def duration(seconds: float) -> str:
    """Seconds as people say them: 8.2 s, 3 min, 2.5 h."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
