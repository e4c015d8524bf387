"""batch_report.json, .csv and .html: the outcome of every scene. Written scene by scene, to need little memory."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lotus_recon import __version__
from lotus_recon.outside import no_formula
from lotus_recon.reporting.page import template
from lotus_recon.runners.events import utc_now
from lotus_recon.runners.jobs import SceneJob
from lotus_recon.runners.records import THUMBNAIL, Record, read_record
from lotus_recon.workspace import to_plain, write_atomically

log = logging.getLogger(__name__)

_COLUMNS = ("name", "kind", "status", "seconds", "peak_memory_mb", "attempts", "fault", "message", "host", "finished")


def write_report(out: Path, name: str, jobs: Sequence[SceneJob], counts: Mapping[str, int]) -> Path:
    """Write the three files; returns the path of the page. On a full disk, logs an error and keeps the old files."""
    page = out / f"{name}.html"
    try:
        write_atomically(out / f"{name}.json", lambda part: _write_json(part, out, jobs, counts))
        write_atomically(out / f"{name}.csv", lambda part: _write_csv(part, out, jobs))
        write_atomically(page, lambda part: _write_html(part, out, jobs, counts))
    except OSError as error:
        log.error("cannot write the report in %s: %s", out, error.strerror)
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
            rows.writerow([*(no_formula(plain[column]) for column in _COLUMNS), json.dumps(plain["figures"])])


def _write_html(path: Path, out: Path, jobs: Sequence[SceneJob], counts: Mapping[str, int]) -> None:
    context = {
        "title": f"Batch of {len(jobs)} scene{'s' if len(jobs) != 1 else ''}",
        "summary": ", ".join(f"{count} {what}" for what, count in counts.items() if what != "refused"),
        "scenes": ((record, *_links(out, record.name)) for record in _records(out, jobs)),
    }
    with path.open("w", encoding="utf-8") as file:
        file.writelines(template("batch.html").generate(context))


def _links(out: Path, scene: str) -> tuple[str | None, str]:
    """Thumbnail of a scene or None, and its report or else its folder, relative to the folder of the batch."""
    thumbnail, page = f"{scene}/{THUMBNAIL}", f"{scene}/report/index.html"
    return thumbnail if (out / thumbnail).is_file() else None, page if (out / page).is_file() else f"{scene}/"
