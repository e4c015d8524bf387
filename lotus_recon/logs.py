"""Where log messages of this package go while something runs."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path


class _LogFile(logging.FileHandler):
    """Made for the first message. Where it cannot be opened, written or closed, the run goes on without a word."""

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()


@contextlib.contextmanager
def log_file(folder: Path) -> Iterator[None]:
    """Append everything that is logged to ``folder``/log.txt, which is made for the first message."""
    file = _LogFile(folder / "log.txt", encoding="utf-8", delay=True)
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    with handled_by(file):
        yield


@contextlib.contextmanager
def handled_by(handler: logging.Handler) -> Iterator[None]:
    """Hand every message, from DEBUG up, to ``handler`` too; it is closed at the end."""
    logger = logging.getLogger("lotus_recon")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()
        if not logger.handlers:
            logger.propagate = True
            logger.setLevel(logging.NOTSET)
