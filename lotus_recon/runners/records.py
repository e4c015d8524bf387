"""The record that a batch keeps of each scene, and whether it is up to date."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lotus_recon.runners.tasks import Fault, Finished
from lotus_recon.stage_file import damaged, is_whole
from lotus_recon.workspace import OWNERS_FILE, remove_unfinished_file, to_plain, write_json

RECORD_FILE = "scene.json"
THUMBNAIL = "thumbnail.jpg"

_BESIDE_STAGES = (OWNERS_FILE, "config.yaml", THUMBNAIL)

DONE, PARTIAL, FAILED, NOT_RUN = "done", "partial", "failed", "not run"


@dataclass(frozen=True)
class Record:
    """The latest outcome of a scene."""

    name: str
    kind: str
    status: str  # done | partial (--only) | failed | not run
    signature: str = ""  # of the job, when it ran
    fault: str = ""
    message: str = ""  # first line of the error
    attempts: int = 0
    seconds: float = 0.0  # of the stages, whichever run did them
    peak_memory_mb: float = 0.0
    host: str = ""
    finished: str = ""  # date and time, UTC
    figures: Mapping[str, Any] = field(default_factory=dict)
    stages: tuple[Mapping[str, Any], ...] = ()  # as StageRun
    files: Mapping[str, int] = field(default_factory=dict)  # of no stage, and their bytes

    @classmethod
    def of(cls, kind: str, signature: str, end: Finished, attempts: int, partial: bool, now: str) -> Record:
        """From the end of a run."""
        status = FAILED if end.fault is not None else PARTIAL if partial else DONE
        lines = end.message.strip().splitlines() or [""]
        return cls(
            end.scene, kind, status, signature, end.fault.value if end.fault else "", lines[0], attempts,
            round(sum(stage.seconds for stage in end.stages) or end.seconds, 3), end.peak_memory_mb, end.host, now,
            end.figures, tuple(to_plain(stage) for stage in end.stages),
        )  # fmt: skip

    @property
    def was_stopped_by_disk(self) -> bool:
        """Whether the scene failed because the disk was full."""
        return self.fault == Fault.DISK_FULL.value

    def holds(self, folder: Path, signature: str) -> bool:
        """Whether the scene is done, by the same job, and its files are whole."""
        if self.status != DONE or self.signature != signature or not self.stages or damaged(folder, self.files):
            return False
        return all(is_whole(folder / file) for stage in self.stages for file in stage["info_files"])

    def write(self, folder: Path) -> None:
        """Write the record into the scene's folder."""
        remove_unfinished_file(folder / RECORD_FILE)
        written = {name: (folder / name).stat().st_size for name in _BESIDE_STAGES if (folder / name).is_file()}
        write_json(folder / RECORD_FILE, replace(self, files=written))


def read_record(folder: Path, name: str, kind: str) -> Record:
    """The record in a scene's folder; an empty one if the scene was not run or its record is damaged."""
    try:
        stored = json.loads((folder / RECORD_FILE).read_bytes())
        record = Record(**{**stored, "name": name, "stages": tuple(stored["stages"])})
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return Record(name, kind, NOT_RUN)
    return record if _is_sound(record) else Record(name, kind, NOT_RUN)


def _is_sound(record: Record) -> bool:
    """Whether the values are of the kinds that their fields say."""
    texts = (record.kind, record.signature, record.fault, record.message, record.host, record.finished)
    numbers = (record.attempts, record.seconds, record.peak_memory_mb)
    return (
        record.status in (DONE, PARTIAL, FAILED, NOT_RUN)
        and all(isinstance(text, str) for text in texts)
        and all(isinstance(number, int | float) for number in numbers)
        and isinstance(record.figures, dict)
        and isinstance(record.files, dict)
        and all(isinstance(size, int) for size in record.files.values())
        and all(_is_sound_row(row) for row in record.stages)
    )


def _is_sound_row(row: Any) -> bool:
    """Whether a row is a ``StageRun``."""
    kinds: dict[str, Any] = {
        "stage": str,
        "info_files": (list, tuple),
        "seconds": (int, float),
        "peak_memory_mb": (int, float),
        "ran": bool,
    }
    if not isinstance(row, dict) or not all(isinstance(row.get(key), kind) for key, kind in kinds.items()):
        return False
    return bool(row["info_files"]) and all(isinstance(file, str) for file in row["info_files"])
