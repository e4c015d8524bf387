"""Prints the tables of stages in docs/architecture.md anew, from the tables in the code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lotus_recon.recipes.table import MULTI_VIEW, SINGLE_VIEW
from lotus_recon.stages import StageSpec

ARCHITECTURE = Path(__file__).resolve().parents[1] / "docs/architecture.md"
TABLES: dict[str, Sequence[StageSpec[Any, Any]]] = {"multi_view": MULTI_VIEW, "single_view": SINGLE_VIEW}


def table_of(stages: Sequence[StageSpec[Any, Any]]) -> str:
    """Markdown: what each stage does, reads and needs, and whether it continues after a kill."""
    lines = ["| stage | what it does | resumable | reads | cores, memory |", "|---|---|---|---|---|"]
    for stage in stages:
        summary = stage.summary + (f" (with {stage.wanted_with})" if stage.wanted_with else "")
        reads = "all of them" if stage.reads is None else ", ".join(read.name for read in stage.reads)
        needs = f"{stage.needs.cpus:g}, {stage.needs.memory_mb} MB"
        lines.append(f"| {stage.name} | {summary} | {'yes' if stage.resumable else ''} | {reads} | {needs} |")
    return "\n".join(lines)


def with_tables(text: str) -> str:
    """The document with its tables as they are to be."""
    for name, stages in TABLES.items():
        before, mark, rest = text.partition(f"<!-- stages of {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        text = f"{before}{mark}{table_of(stages)}\n{end}{after}"
    return text


if __name__ == "__main__":
    ARCHITECTURE.write_text(with_tables(ARCHITECTURE.read_text()))
