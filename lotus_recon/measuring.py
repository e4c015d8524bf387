"""What a stage costs and says: its peak of memory, and its warnings."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import logging
import os
import re
import resource
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

import psutil

from lotus_recon.interruption import work_of

log = logging.getLogger(__name__)

# What llvmlite and oneDNN say, whatever the reason; where address space is limited, that is the reason.
_MAYBE_OUT_OF_MEMORY = ("could not find/load shared object", "could not create a primitive")
# What torch, Python's threads, the dynamic linker and C++ say.
_OUT_OF_MEMORY = (
    "out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory", "unable to allocate",
    "can't start new thread", "failed to map segment", "bad_alloc", "bad alloc",
)  # fmt: skip
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


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an exception, or one that led to it, says that there is no memory: numpy's, torch's, a loader's."""
    while error is not None:
        text = str(error).lower()
        if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
            return True
        if isinstance(error, (RuntimeError, ImportError)) and any(words in text for words in _OUT_OF_MEMORY):
            return True
        if any(words in text for words in _MAYBE_OUT_OF_MEMORY) and _address_space_limit() is not None:
            return True
        error = error.__cause__ or error.__context__
    return False


def memory_ended(error: BaseException) -> str:
    """What to say about an exception of which ``is_out_of_memory`` is true: where it was, and what helps."""
    work = work_of(error).partition(";")[0]
    return f"memory ended{f' in {work}' if work else ''} at {peak_memory_mb():.0f} MB: {memory_advice()}"


def memory_advice() -> str:
    """What to do where memory ended."""
    return (
        "give it more, or make the work smaller (--max-size, --preset fast, fewer --workers); the same command resumes"
    )


def room_below_limits() -> list[int]:
    """Bytes that this process may still take, by each limit it has: ``ulimit -v`` and control groups."""
    room = [group.limit_bytes - group.used_bytes for group in control_groups()]
    limit = _address_space_limit()
    if limit is not None:
        room.append(limit - psutil.Process().memory_info().vms)
    return [max(each, 0) for each in room]


def _address_space_limit() -> int | None:
    """Of ``ulimit -v``, in bytes."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit


@dataclass(frozen=True)
class ControlGroup:
    """A control group with a limit of memory, of this process or above it."""

    limit_bytes: int
    used_bytes: int
    held_bytes: int | None  # of them, what no file stands behind; None when it is not said


def control_groups(proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> list[ControlGroup]:
    """Those that limit this process: of version 2 or 1, its own and all above, since each of them ends it."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    groups = []
    for top, own, files in _hierarchies(proc, root):
        # A container may see the path outside of it in /proc, and its own group as the top: what is not there is left.
        for folder in (own, *own.parents):
            with contextlib.suppress(OSError, ValueError):  # no such file, or the word "max"
                groups.append(_control_group(folder, *files))
            if folder == top:
                break
    return [group for group in groups if group.limit_bytes < physical]  # version 1 says 2^63 for none


_GroupFiles = tuple[str, str, str]  # of the limit, what is used, and the line of memory.stat about what is held


def _hierarchies(proc: Path, root: Path) -> Iterator[tuple[Path, Path, _GroupFiles]]:
    """Of each hierarchy that counts memory: its top, the group of this process, and the names of its files."""
    with contextlib.suppress(OSError):  # no Linux
        for line in proc.read_text().splitlines():
            number, controllers, path = line.split(":", 2)
            if number == "0":
                yield root, root / path.lstrip("/"), ("memory.max", "memory.current", "anon")
            elif "memory" in controllers.split(","):
                files = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_rss")
                yield root / "memory", root / "memory" / path.lstrip("/"), files


def _control_group(folder: Path, limit: str, used: str, held: str) -> ControlGroup:
    limit_bytes, used_bytes = (int((folder / name).read_text()) for name in (limit, used))
    found = re.search(rf"^{held} (\d+)$", (folder / "memory.stat").read_text(), re.MULTILINE)
    return ControlGroup(limit_bytes, used_bytes, int(found[1]) if found else None)


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
