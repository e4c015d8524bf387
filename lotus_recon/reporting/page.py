"""HTML pages from the templates of this package: no script, nothing loaded from elsewhere, relative addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from lotus_recon.progress import duration
from lotus_recon.reporting.legends import SHADINGS

_LONG_TABLE = 12  # rows; longer tables are folded


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("lotus_recon.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "address": quote,
        "columns": _columns,
        "images": _images,
        "rows": _as_rows,
        "split": _split,
        "text": _text,
        "words": lambda name: str(name).replace("_", " "),
    }
    environment.globals["LONG_TABLE"] = _LONG_TABLE
    return environment


def template(name: str) -> Template:
    """A template of this package, which escapes everything that is put into it."""
    return _environment().get_template(name)


def html_of(report: Mapping[str, Any]) -> str:
    """The page of the content of report.json (see reporting.stage)."""
    photos, total = report["photos"], report["total"]
    tiles = {
        "photos registered": f"{len(photos['registered'])} / {photos['given']}",
        "time before this report": duration(total["seconds"]),
        "peak memory": f"{total['peak_memory_mb']:,.0f} MB",
        "warning" if len(report["warnings"]) == 1 else "warnings": len(report["warnings"]),
    }
    context = {**report, "tiles": tiles, "renders": _render_rows(report["renders"]), "statistics": report["figures"]}
    return template("report.html").render(context)


def _render_rows(renders: Sequence[Mapping[str, Any]]) -> list[list[tuple[str, str, str]]]:
    """Per shading a row of images: label, file and legend, one for each viewpoint."""
    shadings = renders[0]["images"] if renders else ()
    return [[(r["place"], r["images"][shading], SHADINGS[shading]) for r in renders] for shading in shadings]


def _images(view: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Label, file and legend of each image of a view."""
    return [(label, file, view["legends"][label]) for label, file in view["images"].items()]


def _is_nested(value: Any) -> bool:
    return isinstance(value, Mapping) or _as_rows(value) is not None


def _as_rows(value: Any) -> list[dict[str, Any]] | None:
    """Rows of a table from a list of mappings or a mapping of mappings without further nesting; None for the rest."""
    if isinstance(value, Mapping) and value and all(isinstance(item, Mapping) for item in value.values()):
        rows = [{"name": name, **item} for name, item in value.items()]
    elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        rows = [dict(item) for item in value]
    else:
        return None
    flat = not any(isinstance(cell, Mapping) for row in rows for cell in row.values())
    return rows if flat else None


def _split(value: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Single values and nested ones of a mapping."""
    return {
        "single": {key: item for key, item in value.items() if not _is_nested(item)},
        "nested": {key: item for key, item in value.items() if _is_nested(item)},
    }


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, bool]]:
    """Names of the columns of a table, and whether all their cells are numbers."""
    names = dict.fromkeys(key for row in rows for key in row)
    return [(name, all(_is_number(row.get(name)) for row in rows)) for name in names]


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value) or "none"
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_text(item)}" for key, item in value.items())
    return str(value)
