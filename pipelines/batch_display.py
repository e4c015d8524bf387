"""How a batch is shown on a terminal: a bar of scenes, and one of what runs now."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lotus_recon.runners.batch import Status


@contextmanager
def watching(console: Any, quiet: bool) -> Iterator[Callable[[Status], object] | None]:
    """What to tell of a batch as it goes: bars on a terminal; elsewhere the log has a line for each scene."""
    if quiet or not console.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        scenes = bars.add_task("scenes", total=None, note="")
        now = bars.add_task("", total=None, note="", visible=False)

        def show(status: Status) -> None:
            what = "checking" if status.checking else "scenes"
            bars.update(scenes, description=what, completed=status.done, total=status.total, note=note_of(status))
            description, done, total = current(status)
            bars.update(now, description=description, completed=done, total=total, visible=bool(description))

        yield show


def note_of(status: Status) -> str:
    """Throughput, time left and failures so far."""
    from lotus_recon.progress import duration

    parts = [f"{status.per_hour:.0f}/h"] if status.done and not status.checking else []
    if status.seconds_left and not status.checking:
        parts.append(f"{duration(status.seconds_left)} left")
    if status.failed:
        parts.append(f"{status.failed} failed")
    return ", ".join(parts)


def current(status: Status) -> tuple[str, int, int | None]:
    """(what runs now, done, total): the oldest of the running scenes, and how many run beside it."""
    if not status.running:
        return "", 0, None
    name, stage = next(iter(status.running.items()))
    done, total = status.progress.get(name, (0, 0))
    more = len(status.running) - 1
    return f"{name[:30]}: {stage}" + (f" (and {more} more)" if more else ""), done, total or None
