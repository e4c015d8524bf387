"""Set-up of a process in a Ray cluster before it works on a scene. Does not import Ray."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from lotus_recon import __version__
from lotus_recon.errors import InputError

OVER_MEMORY_FILE = ".over-memory"  # in a scene's folder: the reason its process ended itself

_LOOK_SECONDS = 0.2
_CONNECT_SECONDS = 5.0


@dataclass(frozen=True)
class Shape:
    """Number of threads of a process, and its limit of resident memory in MB."""

    threads: int
    memory_limit: int | None = None


_watched: Path | None = None  # folder of the scene that this process works on
_is_prepared = False


def prepare_process(shape: Shape, scene: Path | None, source: Callable[..., Any] | None = None) -> None:
    """Set the source of models and, once per process, threads and memory limit: Ray reuses processes for tasks."""
    global _watched, _is_prepared
    if not _is_prepared:
        # Before torch and Open3D are loaded: waiting threads must sleep.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        os.environ["OMP_NUM_THREADS"] = str(shape.threads)
        from lotus_recon.runners.worker import set_up_process

        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # Ray's handler waits until a native call comes back
        set_up_process(shape.threads)
        if shape.memory_limit is not None:
            threading.Thread(target=_watch_memory, args=(shape.memory_limit,), daemon=True).start()
        _is_prepared = True
    from lotus_recon.models.registry import set_model_source

    _watched = scene
    set_model_source(source)


def _watch_memory(limit_mb: int) -> None:
    """End the process when it exceeds its memory limit; no other process watches it."""
    process = psutil.Process()
    while True:
        time.sleep(_LOOK_SECONDS)
        used = process.memory_info().rss / 2**20
        if used > limit_mb:
            if _watched is not None:
                text = f"took {used:.0f} MB of memory; --memory-limit is {limit_mb} MB"
                (_watched / OVER_MEMORY_FILE).write_text(text)
            os.kill(os.getpid(), signal.SIGKILL)


def look(token_file: str) -> tuple[str, str]:
    """The content of a file in the output folder as a node sees it, and the version of this package there."""
    try:
        return Path(token_file).read_text(), __version__
    except OSError:
        return "", __version__


def check_reachable(address: str) -> None:
    """Raise InputError unless something listens at the address: Ray itself would try for a minute."""
    host, separator, port = address.rpartition(":")
    if not separator or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise InputError(f"--address {address}: must be auto, local or HOST:PORT, such as 10.0.0.1:6379")
    try:
        socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()
    except OSError as error:
        raise InputError(f"--address {address}: nothing answers there ({error.strerror or error})") from None
