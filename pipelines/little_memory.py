"""Where memory is limited, a run ends in words before the system ends it without any."""

from __future__ import annotations

import contextlib
import os
import resource
import threading
from collections.abc import Iterator

from lotus_recon.errors import InputError
from lotus_recon.interruption import current_work
from lotus_recon.measuring import control_groups, memory_advice
from pipelines.signals import end_words

# With less, libraries abort while they are loaded. torch, Open3D, pycolmap and LLVM map this much, most of it unused.
LEAST_ADDRESS_SPACE_MB = 1400

_POLL_SECONDS = 0.02
_SPARE_SHARE, _SPARE_BYTES = 0.02, 24 << 20  # of a control group: what is left when a run gives up
_MB = 1 << 20


def check_address_space() -> None:
    """Raise InputError when ``ulimit -v`` leaves less than the libraries map."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY and limit < LEAST_ADDRESS_SPACE_MB * _MB:
        raise InputError(
            f"ulimit -v leaves {limit // _MB} MB of virtual memory, and the libraries map {LEAST_ADDRESS_SPACE_MB} MB, "
            "most of which they never use: raise it, or limit the memory of a control group"
        )


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """End the process with status 1 and a word when its control group is about to be out of memory.

    The kernel would kill it with none. Only what no file stands behind counts: the rest makes room by itself.
    """
    groups = [group for group in control_groups() if group.held_bytes is not None]
    ended = threading.Event()
    if groups:
        threading.Thread(target=_watch, args=(ended,), name="memory", daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _watch(ended: threading.Event) -> None:
    while not ended.wait(_POLL_SECONDS):
        for group in control_groups():
            spare = max(group.limit_bytes * _SPARE_SHARE, _SPARE_BYTES)
            if group.held_bytes is not None and group.held_bytes > group.limit_bytes - spare:
                _end(group.held_bytes // _MB, group.limit_bytes // _MB)


def _end(held_mb: int, limit_mb: int) -> None:
    what = f"memory ended in {current_work().what} at {held_mb} of the {limit_mb} MB of the control group"
    with contextlib.suppress(OSError):
        os.write(2, f"error: {what}: {memory_advice()}\n".encode())
    end_words()
    os._exit(1)
