"""Files of others, read by native code in a process of its own: what crashes or grows there ends there."""

from __future__ import annotations

import importlib
import resource
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.native import attempt

_MEMORY_MB = 2000  # beside a multiple of the size of the file
_MEMORY_FACTOR = 40
_SECONDS = 60.0
_SECONDS_PER_MB = 2.0
_FILE = "arrays.npz"


def arrays_in_child(read: Callable[[Path], dict[str, NDArray[Any]]], path: Path, what: str) -> dict[str, NDArray[Any]]:
    """The arrays (N, ...) that ``read`` (a function of a module of ours) finds in a file; it runs in another process.

    Raises InputError, naming the file and ``what`` it should be, when that process fails, crashes, or takes more time
    or memory than a file of this size can need.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist" if not path.exists() else f"{path} is not a file")
    size_mb = path.stat().st_size / 1e6
    memory_mb = int(_MEMORY_MB + _MEMORY_FACTOR * size_mb)
    with tempfile.TemporaryDirectory() as folder:
        arguments = (read.__module__, read.__qualname__, str(path.absolute()), str(Path(folder) / _FILE), memory_mb)
        code = f"from lotus_recon.sandbox import child\nchild(*{arguments!r})"
        outcome = attempt(code, timeout_s=_SECONDS + _SECONDS_PER_MB * size_mb)
        if outcome.failure is not None:
            raise InputError(f"{path} cannot be read as {what}: {outcome.failure}")
        with np.load(Path(folder) / _FILE, allow_pickle=False) as archive:
            return dict(archive)


def child(module: str, name: str, path: str, out: str, memory_mb: int) -> None:
    """What runs in the other process: the limit counts what it allocates after the libraries are there."""
    read = getattr(importlib.import_module(module), name)
    resource.setrlimit(resource.RLIMIT_DATA, (_data_bytes() + (memory_mb << 20),) * 2)
    np.savez(out, **read(Path(path)))


def _data_bytes() -> int:
    """What this process has allocated so far."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) << 10
    return 0
