"""batch_report.json, .csv and .html: what became of every scene. Written scene by scene, however many there are."""

from __future__ import annotations

import csv
import html
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote

from lotus_recon import __version__
from lotus_recon.runners.events import utc_now
from lotus_recon.runners.jobs import SceneJob
from lotus_recon.runners.records import Record, read_record
from lotus_recon.workspace import to_plain, write_atomically

log = logging.getLogger(__name__)

THUMBNAIL = "thumbnail.jpg"
_COLUMNS = ("name", "kind", "status", "seconds", "peak_memory_mb", "attempts", "fault", "message", "host", "finished")
_STYLE = """body{font:15px/1.4 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem;color:#222}
table{border-collapse:collapse;width:100%}td,th{padding:.4rem .6rem;border-bottom:1px solid #ddd;text-align:left;
vertical-align:top}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}.failed{color:#b00020}.done{color:#176b2c}
img{max-width:160px;max-height:120px}"""


def write_report(out: Path, name: str, jobs: Sequence[SceneJob], counts: Mapping[str, int]) -> Path:
    """Write the three files; the path of the page. A full disk is said, and leaves the files that were there."""
    page = out / f"{name}.html"
    try:
        write_atomically(out / f"{name}.json", lambda part: _write_json(part, out, jobs, counts))
        write_atomically(out / f"{name}.csv", lambda part: _write_csv(part, out, jobs))
        write_atomically(page, lambda part: _write_html(part, out, jobs, counts))
    except OSError as error:
        log.error("the report in %s cannot be written: %s", out, error.strerror)
    return page


def _records(out: Path, jobs: Sequence[SceneJob]) -> Iterator[Record]:
    return (read_record(out / job.name, job.name, job.kind) for job in jobs)


def _write_json(path: Path, out: Path, jobs: Sequence[SceneJob], counts: Mapping[str, int]) -> None:
    head = {"version": __version__, "written": utc_now(), "counts": dict(counts)}
    with path.open("w", encoding="utf-8") as file:
        file.write(json.dumps(head)[:-1] + ', "scenes": [')
        for i, record in enumerate(_records(out, jobs)):
            file.write((",\n" if i else "\n") + json.dumps(to_plain(record), ensure_ascii=False))
        file.write("\n]}\n")


def _write_csv(path: Path, out: Path, jobs: Sequence[SceneJob]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow([*_COLUMNS, "figures"])
        for record in _records(out, jobs):
            plain = to_plain(record)
            rows.writerow([*(_harmless(plain[column]) for column in _COLUMNS), json.dumps(plain["figures"])])


def _harmless(cell: Any) -> Any:
    """Text that a spreadsheet would take for a formula, marked as text."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@") else cell


def _write_html(path: Path, out: Path, jobs: Sequence[SceneJob], counts: Mapping[str, int]) -> None:
    summary = ", ".join(f"{count} {what}" for what, count in counts.items() if what != "refused")
    with path.open("w", encoding="utf-8") as file:
        file.write(f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Batch</title><style>{_STYLE}</style>')
        file.write(f"<h1>Batch of {len(jobs)} scene{'s' if len(jobs) != 1 else ''}</h1>")
        file.write(f"<p>{html.escape(summary)}</p><table><tr><th></th>")
        file.write('<th>scene</th><th>status</th><th class="n">seconds</th><th class="n">peak MB</th>')
        file.write("<th>figures</th><th>error</th>")
        for record in _records(out, jobs):
            _write_row(file, out, record)
        file.write("</table></html>\n")


def _write_row(file: TextIO, out: Path, record: Record) -> None:
    folder = quote(record.name)
    picture = (out / record.name / THUMBNAIL).is_file()
    report = f"{folder}/report/index.html" if (out / record.name / "report/index.html").is_file() else f"{folder}/"
    image = f'<img loading="lazy" alt="" src="{folder}/{THUMBNAIL}">' if picture else ""
    figures = ", ".join(f"{value} {what}" for what, value in record.figures.items())
    error = f"{record.fault}: {record.message}" if record.fault else ""
    cells = [
        f'<td>{image}</td><td><a href="{report}">{html.escape(record.name)}</a><br>{record.kind}</td>',
        f'<td class="{record.status}">{record.status}</td><td class="n">{record.seconds:.1f}</td>',
        f'<td class="n">{record.peak_memory_mb:.0f}</td><td>{html.escape(figures)}</td><td>{html.escape(error)}</td>',
    ]
    file.write(f"\n<tr>{''.join(cells)}")
