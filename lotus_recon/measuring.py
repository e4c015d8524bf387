"""What a stage costs and says: its peak of memory, and its warnings."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import resource
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

log = logging.getLogger(__name__)

_MUCH_MB = 1000  # peak memory from which what was freed is given back


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        collecting = _collecting.get()
        if self in collecting or not collecting:
            self.messages.append(record.getMessage())


# The collectors of the work that this thread does. Several threads may each run a stage; a thread that knows of no
# stage, one that a library started, works for any.
_collecting: ContextVar[tuple[_Collector, ...]] = ContextVar("collecting", default=())


@contextlib.contextmanager
def warnings_logged() -> Iterator[list[str]]:
    """Collect the text of all warnings that this package logs meanwhile, but for those of other threads' stages."""
    collector = _Collector()
    logger = logging.getLogger("lotus_recon")
    logger.addHandler(collector)
    token = _collecting.set((*_collecting.get(), collector))
    try:
        yield collector.messages
    finally:
        _collecting.reset(token)
        logger.removeHandler(collector)


def release_memory() -> None:
    """Give memory that earlier stages freed back to the system: it would count beside what the next one takes.

    Caches that belong to methods are circles, which only the collector frees; glibc keeps what is freed in small parts.
    Collecting takes a tenth of a second, as long as a small stage, so it waits until much was taken.
    """
    if peak_memory_mb() < _MUCH_MB:
        return
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def reset_peak_memory() -> None:
    """Start a new peak measurement where the kernel can (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        log.debug("peak memory cannot be reset here: stages report the peak of the process so far")


def peak_memory_mb() -> float:
    """Peak resident memory in megabytes since the stage began (Linux), or of the process."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
