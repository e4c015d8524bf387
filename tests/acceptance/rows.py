"""What acceptance runs report: one row for each figure, and the table of them."""

from __future__ import annotations

from collections.abc import Iterable
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


def print_rows(rows: Iterable[Row]) -> None:
    """Print the rows as a table in Markdown, which README shows as it is."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table("run", "figure", "measured", "asked", "", "seconds", box=box.MARKDOWN)
    for row in rows:
        verdict = {True: "ok", False: "MISSED", None: ""}[row.ok]
        seconds = "" if row.seconds is None else f"{row.seconds:.0f}"
        table.add_row(row.run, row.figure, row.measured, row.asked, verdict, seconds)
    Console(width=140).print(table)
