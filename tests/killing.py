"""Processes that are killed when something is half done, not after some time."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from lotus_recon.workspace import write_atomically

_POLL_SECONDS = 0.002
_LONGEST_SECONDS = 120.0


def kill_when(process: subprocess.Popen[Any], is_half_done: Callable[[], bool], group: bool = False) -> None:
    """Kill a process (with its group) as soon as ``is_half_done``; fails when it ends before or takes too long."""
    deadline = time.monotonic() + _LONGEST_SECONDS
    while not is_half_done():
        assert process.poll() is None, "ended before it was half done"
        assert time.monotonic() < deadline, "never was half done"
        time.sleep(_POLL_SECONDS)
    if group:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


@contextlib.contextmanager
def stalled_after(last: Path) -> Iterator[None]:
    """Let this process stop for ever as soon as it has written the file ``last``, for somebody to kill it there."""

    def writing(path: Path, write: Callable[[Path], object]) -> None:
        write_atomically(path, write)
        if path == last:
            time.sleep(_LONGEST_SECONDS)

    with (
        mock.patch("lotus_recon.workspace.write_atomically", writing),
        mock.patch("lotus_recon.io.maps.write_atomically", writing),
    ):
        yield
