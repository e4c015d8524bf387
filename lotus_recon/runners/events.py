"""events.jsonl: what happened in a batch, one JSON object a line, for machines."""

from __future__ import annotations

import json
import logging
import os
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


def utc_now() -> str:
    """Date and time, to the millisecond."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


class EventLog:
    """Appends whole lines, so that two batches and a kill at any moment leave a file that can be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._batch = f"{os.getpid()}-{time.time_ns()}"
        self._file: int | None = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        if _ends_in_half_a_line(path):
            os.write(self._file, b"\n")

    def write(self, event: str, **fields: Any) -> None:
        """Add a line. A full disk ends the log, not the batch."""
        if self._file is None:
            return
        line = json.dumps({"time": utc_now(), "batch": self._batch, "event": event, **fields}, ensure_ascii=False)
        try:
            os.write(self._file, f"{line}\n".encode("utf-8", "replace"))
        except OSError as error:
            log.warning("%s ends here: %s", self.path, error.strerror)
            self.close()

    def close(self) -> None:
        """Nothing is added any more."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _ends_in_half_a_line(path: Path) -> bool:
    with open(path, "rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"
