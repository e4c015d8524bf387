"""The report as one HTML page: no script, nothing loaded from elsewhere, pictures by relative address."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2129; --soft: #667085; --line: #e4e7ec; --card: #ffffff; --back: #f6f7f9;
  --accent: #0f766e; --warn: #b45309; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ec; --soft: #98a2b3; --line: #2b313b; --card: #191d24;
  --back: #101318; --accent: #5eead4; --warn: #fbbf24; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1400px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 28px; margin: 0 0 4px; } h2 { font-size: 19px; margin: 40px 0 12px; }
h3 { font-size: 15px; margin: 20px 0 8px; }
.soft, figcaption, th { color: var(--soft); font-weight: 500; }
.tiles { display: flex; flex-wrap: wrap; gap: 12px; margin-top: 20px; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px 18px; }
.tile b { display: block; font-size: 22px; font-variant-numeric: tabular-nums; }
.note, .warning { border-left: 4px solid var(--accent); background: var(--card); padding: 10px 16px; margin: 16px 0 0; }
.warning { border-color: var(--warn); }
.row { display: grid; grid-template-columns: repeat(auto-fit, minmax(210px, 1fr)); gap: 10px; margin-bottom: 18px; }
.wide { grid-template-columns: repeat(auto-fit, minmax(330px, 1fr)); }
figure { margin: 0; } figure img { width: 100%; display: block; border-radius: 8px; border: 1px solid var(--line); }
figcaption { font-size: 13px; margin-top: 3px; }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; padding: 6px 14px; border-bottom: 1px solid var(--line); white-space: nowrap; }
tr:last-child td { border-bottom: 0; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
td.text { white-space: normal; } .pairs th { width: 280px; }
h2::first-letter, h3.key::first-letter, h4::first-letter { text-transform: uppercase; }
summary { cursor: pointer; color: var(--accent); margin: 8px 0; } a { color: var(--accent); }
"""
_LONG_TABLE = 12  # rows; longer tables are folded


def html_of(report: Mapping[str, Any]) -> str:
    """The page of the content of report.json (see reporting.stage)."""
    body = [
        _head(report),
        *_renders(report["renders"]),
        *_views(report["views"], report["aligned_near_far"]),
        "<h2>Stages</h2>",
        _table(report["stages"]),
        *_photos(report["photos"]),
        *(_figures(name, value) for name, value in report["figures"].items()),
        *_warnings(report["warnings"]),
        "<h2>Versions</h2>",
        _key_values(report["versions"]),
    ]
    title = escape(str(report["title"]))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>\n'
        f"<body><main>\n{chr(10).join(body)}\n</main></body></html>\n"
    )


def _head(report: Mapping[str, Any]) -> str:
    photos, total = report["photos"], report["total"]
    tiles = {
        "photos registered": f"{len(photos['registered'])} / {photos['given']}",
        "time before this report": _duration(total["seconds"]),
        "peak memory": f"{total['peak_memory_mb']:,.0f} MB",
        "warnings": str(len(report["warnings"])),
    }
    cells = "".join(
        f'<div class="tile"><b>{escape(v)}</b><span class="soft">{k}</span></div>' for k, v in tiles.items()
    )
    links = " · ".join(f'<a href="{_address(url)}">{escape(text)}</a>' for text, url in report["links"].items())
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in report["notes"])
    version = escape(str(report["versions"].get("lotus_recon", "")))
    return (
        f'<h1>{escape(str(report["title"]))}</h1><div class="soft">lotus_recon {version}</div>'
        f'<div class="tiles">{cells}</div>{notes}{f"<p>{links}</p>" if links else ""}'
    )


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def _renders(rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    if not rows:
        return
    yield "<h2>Mesh</h2>"
    for shading in rows[0]["pictures"]:
        yield _row([(row["pictures"][shading], f"{row['place']} ({shading})") for row in rows], wide=True)


def _views(rows: Sequence[Mapping[str, Any]], near_far: Sequence[float] | None) -> Iterable[str]:
    if not rows:
        return
    aligned = f"aligned depth from {near_far[0]:.4g} to {near_far[1]:.4g} scene units" if near_far else "aligned depth"
    yield "<h2>Views</h2>"
    yield (
        '<p class="soft">Depth: red is near, dark blue is far; predicted depth over the range of each view, '
        f"{aligned} in all. Normals: red to the right, green up, blue to the camera. Confidence: yellow is 1, violet "
        "is 0. Dark grey: no value.</p>"
    )
    for row in rows:
        pictures = [(name, label) for label, name in row["pictures"].items()]
        yield f"<h3>{escape(row['view'])}</h3>{_row(pictures)}"


def _row(pictures: Sequence[tuple[str, str]], wide: bool = False) -> str:
    figures = "".join(
        f'<figure><a href="{_address(name)}"><img src="{_address(name)}" alt="{escape(label)}" loading="lazy"></a>'
        f"<figcaption>{escape(label)}</figcaption></figure>"
        for name, label in pictures
    )
    return f'<div class="row{" wide" if wide else ""}">{figures}</div>'


def _address(path: str) -> str:
    return escape(quote(path))


def _photos(photos: Mapping[str, Any]) -> Iterable[str]:
    yield "<h2>Photos</h2>"
    missing = photos["not_registered"]
    yield f"<p>{len(photos['registered'])} of {photos['given']} photos are registered.</p>"
    if missing:
        yield f'<p class="warning">Not registered: {escape(", ".join(missing))}</p>'
    names = escape(", ".join(photos["registered"]))
    yield f"<details><summary>Registered photos</summary><p>{names}</p></details>"


def _warnings(rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    if rows:
        yield "<h2>Warnings</h2>"
        yield from (f'<p class="warning">{escape(row["stage"])}: {escape(row["warning"])}</p>' for row in rows)


def _figures(name: str, value: Any, level: int = 2) -> str:
    """A heading and the tables of one JSON value: single values together, then rows, then nested mappings."""
    heading = f'<h{level} class="key">{escape(name.replace("_", " "))}</h{level}>'
    rows = _as_rows(value)
    if rows is not None:
        return heading + _table(rows)
    if not isinstance(value, Mapping):
        return heading + f"<p>{escape(_text(value))}</p>"
    single = {key: item for key, item in value.items() if not _is_nested(item)}
    nested = {key: item for key, item in value.items() if _is_nested(item)}
    tables = _key_values(single) if single else ""
    return heading + tables + "".join(_figures(str(key), item, min(level + 1, 4)) for key, item in nested.items())


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


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return '<p class="soft">none</p>'
    columns = list(dict.fromkeys(key for row in rows for key in row))
    numeric = {column for column in columns if all(_is_number(row.get(column)) for row in rows)}
    head = "".join(f"<th{_class(c in numeric)}>{escape(c.replace('_', ' '))}</th>" for c in columns)
    body = "".join(
        "<tr>" + "".join(f"<td{_class(c in numeric)}>{escape(_text(row.get(c)))}</td>" for c in columns) + "</tr>"
        for row in rows
    )
    table = f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    folded = f"<details><summary>{len(rows)} rows</summary>{table}</details>"
    return folded if len(rows) > _LONG_TABLE else table


def _key_values(values: Mapping[str, Any]) -> str:
    rows = "".join(
        f'<tr><th>{escape(str(key).replace("_", " "))}</th><td class="text">{escape(_text(value))}</td></tr>'
        for key, value in values.items()
    )
    return f'<div class="scroll"><table class="pairs"><tbody>{rows}</tbody></table></div>'


def _class(numeric: bool) -> str:
    return ' class="number"' if numeric else ""


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
