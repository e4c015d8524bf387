"""Prints the tables of stages in docs/architecture.md and of warnings in docs/troubleshooting.md, from the code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lotus_recon.recipes.table import MULTI_VIEW, SINGLE_VIEW, VIDEO
from lotus_recon.reporting.advice import ADVICE
from lotus_recon.stages import StageSpec

_DOCS = Path(__file__).resolve().parents[1] / "docs"
ARCHITECTURE, TROUBLESHOOTING = _DOCS / "architecture.md", _DOCS / "troubleshooting.md"
TABLES: dict[str, Sequence[StageSpec[Any, Any]]] = {
    "multi_view": MULTI_VIEW,
    "single_view": SINGLE_VIEW,
    "a video": VIDEO,
}


def table_of(stages: Sequence[StageSpec[Any, Any]]) -> str:
    """Markdown: what each stage does, reads and needs, and whether it continues after a kill."""
    lines = ["| stage | what it does | resumable | reads | cores, memory |", "|---|---|---|---|---|"]
    for stage in stages:
        summary = stage.summary + (f" (with {stage.wanted_with})" if stage.wanted_with else "")
        reads = "all of them" if stage.reads is None else ", ".join(read.name for read in stage.reads)
        needs = f"{stage.needs.cpus:g}, {stage.needs.memory_mb} MB"
        lines.append(f"| {stage.name} | {summary} | {'yes' if stage.resumable else ''} | {reads} | {needs} |")
    return "\n".join(lines)


def table_of_warnings() -> str:
    """Markdown: the words by which a warning is known, what it means, and what to do."""
    rows = [f"| {each.pattern.replace('|', ', ')} | {each.meaning} | {each.remedy} |" for each in ADVICE]
    return "\n".join(["| words in it | what it means | what to do |", "|---|---|---|", *rows])


def with_tables(text: str) -> str:
    """A document with its tables as they are to be."""
    tables = {f"stages of {name}": table_of(stages) for name, stages in TABLES.items()}
    for name, table in (tables | {"warnings": table_of_warnings()}).items():
        before, mark, rest = text.partition(f"<!-- {name} -->\n")
        if mark:
            _, end, after = rest.partition("<!-- end -->")
            text = f"{before}{mark}{table}\n{end}{after}"
    return text


if __name__ == "__main__":
    for page in (ARCHITECTURE, TROUBLESHOOTING):
        page.write_text(with_tables(page.read_text()))
