"""What acceptance runs report: one row for each figure, and the table of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One figure of one run; ``ok`` is None where nothing is asked."""

    run: str
    figure: str
    measured: str
    asked: str
    ok: bool | None
    seconds: float | None = None
    command: str = ""  # that makes the figure, where it is another than the one of the whole run


def print_rows(rows: Sequence[Row]) -> None:
    """Print the rows as a table in Markdown, which README shows as it is, and the command that makes each."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table("run", "figure", "measured", "asked", "", "seconds", box=box.MARKDOWN)
    for row in rows:
        verdict = {True: "ok", False: "MISSED", None: ""}[row.ok]
        seconds = "" if row.seconds is None else f"{row.seconds:.0f}"
        table.add_row(row.run, row.figure, row.measured, row.asked, verdict, seconds)
    console = Console(width=140)
    console.print(table)
    console.print("\nMade by:")
    for command, figures in _by_command(rows).items():
        console.print(f"  {command}", soft_wrap=True, highlight=False)
        console.print(f"    {figures}", soft_wrap=True, highlight=False)


def _by_command(rows: Iterable[Row]) -> dict[str, str]:
    """The figures that each command makes, as text."""
    figures: dict[str, list[str]] = {}
    for row in rows:
        figures.setdefault(row.command, []).append(f"{row.run}: {row.figure}")
    return {command: "; ".join(each) for command, each in figures.items()}
