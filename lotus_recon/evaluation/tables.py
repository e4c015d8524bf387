"""Results on disk: a CSV of photos, a JSON summary with units, a Markdown table beside the published figures."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from lotus_recon import __version__
from lotus_recon.errors import InputError
from lotus_recon.evaluation.score import SetScores
from lotus_recon.outside import no_formula
from lotus_recon.workspace import write_atomically, write_json

UNITS: Mapping[str, str] = {
    "abs_rel": "1", "abs_rel_one_scale": "1",
    "sq_rel": "unit of the set", "rmse": "unit of the set", "rmse_log": "1", "log10": "1",
    "delta1": "share", "delta2": "share", "delta3": "share", "i_rmse": "1 / unit of the set", "silog": "x 100",
    "mean": "deg", "median": "deg",
    **dict.fromkeys(("pct_5", "pct_7_5", "pct_11_25", "pct_22_5", "pct_30"), "% of pixels"),
    **{f"{name}_rel": "1" for name in ("metric", "scale", "affine", "disparity")},
    **{f"{name}_delta1": "share" for name in ("metric", "scale", "affine", "disparity")},
}  # fmt: skip
# Columns of a set in the comparison, as in the papers: title, score, factor.
_COMPARED: Mapping[str, tuple[tuple[str, str, float], tuple[str, str, float]]] = {
    "depth": (("AbsRel %", "abs_rel", 100), ("delta1 %", "delta1", 100)),
    "normals": (("mean deg", "mean", 1), ("< 11.25 deg %", "pct_11_25", 1)),
}


@dataclass(frozen=True)
class Published:
    """A row of a published table: two figures per set."""

    model: str
    source: str  # citation
    figures: Mapping[str, tuple[float, float]]  # by kind of the set


@cache
def published(task: str) -> tuple[Published, ...]:
    """The published rows of depth or normals, from ``published.yaml``. Raises InputError when that is broken."""
    import yaml

    stored = yaml.safe_load((resources.files("lotus_recon.evaluation") / "published.yaml").read_text(encoding="utf-8"))
    rows = []
    for row in stored[task]:
        figures = {key: value for key, value in row.items() if key not in ("model", "source")}
        if row["source"] not in stored["sources"] or any(len(pair) != 2 for pair in figures.values()):
            raise InputError(f"published.yaml: row {row['model']!r} needs a known source and two figures per set")
        cite = stored["sources"][row["source"]]["cite"]
        rows.append(Published(row["model"], cite, {key: (pair[0], pair[1]) for key, pair in figures.items()}))
    return tuple(rows)


def write_results(
    out: Path, label: str, task: str, results: Mapping[str, SetScores], protocol: Mapping[str, Any]
) -> Path:
    """Write ``<set>/photos.csv`` and ``<set>/summary.json`` of every set and ``table.md``, whose path is returned.

    ``results`` are by kind of the set; ``protocol`` is written down with them.
    """
    for kind, scores in results.items():
        _write_photos(out / kind / "photos.csv", scores)
        summary = {
            "set": scores.title,
            "kind": kind,
            "task": task,
            "row": label,
            "photos": len(scores.photos),
            "pixels": scores.pixels,
            "coverage": scores.coverage,
            "aggregation": "mean over photos" if task == "depth" else "over all pixels of the set",
            "scores": {
                name: {"value": value, "unit": UNITS.get(name, "deg")} for name, value in scores.overall.items()
            },
            "protocol": protocol,
            "version": __version__,
        }
        write_json(out / kind / "summary.json", summary)
    path = out / "table.md"
    text = "\n".join([*comparison(label, task, results), "", *all_scores(task, results), ""])
    write_atomically(path, lambda part: part.write_text(text, encoding="utf-8"))
    return path


def _write_photos(path: Path, scores: SetScores) -> None:
    def write(part: Path) -> None:
        with open(part, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            columns = list(scores.overall)
            writer.writerow(["photo", *columns])
            for name, row in scores.photos.items():
                writer.writerow([no_formula(name), *(repr(row[column]) for column in columns)])

    write_atomically(path, write)


def comparison(label: str, task: str, results: Mapping[str, SetScores]) -> list[str]:
    """Lines of the table with the row of this run beside the published ones, and their sources."""
    columns = _COMPARED[task]
    kinds = [kind for kind, scores in results.items() if all(key in scores.overall for _, key, _ in columns)]
    if not kinds:
        return []
    header = ["model", *(f"{results[kind].title} {title}" for kind in kinds for title, _, _ in columns)]
    figures = [f"{results[kind].overall[key] * factor:.1f}" for kind in kinds for _, key, factor in columns]
    rows = [[f"**{label}** (this run)", *figures]]
    shown = [row for row in published(task) if any(kind in row.figures for kind in kinds)]
    for row in shown:
        pairs = (row.figures.get(kind) for kind in kinds)
        rows.append([row.model, *(text for pair in pairs for text in _both(pair))])
    sources = sorted({row.source for row in shown})
    cited = [f'Published rows: {"; ".join(sources)}. "again": evaluated again by its authors.'] if sources else []
    return [*markdown(header, rows), *([""] if cited else []), *cited]


def _both(pair: tuple[float, float] | None) -> tuple[str, str]:
    return ("-", "-") if pair is None else (f"{pair[0]:.1f}", f"{pair[1]:.1f}")


def all_scores(task: str, results: Mapping[str, SetScores]) -> list[str]:
    """Lines of a table of every score with its unit, a column per set."""
    names = list(dict.fromkeys(name for scores in results.values() for name in scores.overall))
    rows = []
    for name in names:
        unit = "deg" if task == "normals" and name == "rmse" else UNITS.get(name, "")
        values = (scores.overall.get(name) for scores in results.values())
        rows.append([name, unit, *("-" if value is None else f"{value:.4f}" for value in values)])
    counts = (f"{len(scores.photos)} photos" for scores in results.values())
    return markdown(["score", "unit", *(f"{s.title}" for s in results.values())], [*rows, ["compared", "", *counts]])


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table."""
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]
