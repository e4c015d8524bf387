"""Processes that are killed when something is half done, not after some time."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

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
