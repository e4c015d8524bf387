"""Pipelines in forks of this process, which has loaded their libraries once: hundreds of runs in the time of a few."""

from __future__ import annotations

import importlib
import os
import runpy
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance.command import ROOT

# Pillow before pycolmap. Not Ray: its threads would not be in the fork.
_LIBRARIES = (
    "PIL.Image",
    "torch",
    "scipy.sparse.linalg",
    "scipy.ndimage",
    "cv2",
    "trimesh",
    "open3d",
    "pycolmap",
    "numba",
)


@dataclass
class Run:
    """A pipeline that was started; ``status`` is as of ``subprocess``, negative for a signal."""

    pid: int
    said: Path  # what it prints, on both streams
    status: int | None = None
    cpu_seconds: float = 0.0  # of the process and of its children that it waited for

    def poll(self) -> int | None:
        """The status if it has ended."""
        return self._wait(os.WNOHANG)

    def wait(self) -> int:
        """The status when it has ended."""
        status = self._wait(0)
        assert status is not None
        return status

    def kill(self, group: bool) -> None:
        """SIGKILL for it, or for all that it started, and wait."""
        if self.poll() is None:
            (os.killpg if group else os.kill)(self.pid, signal.SIGKILL)
            self.wait()

    @property
    def text(self) -> str:
        """What it printed."""
        return self.said.read_text(errors="replace")

    def _wait(self, how: int) -> int | None:
        if self.status is None:
            pid, status, usage = os.wait4(self.pid, how)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
                self.cpu_seconds = usage.ru_utime + usage.ru_stime
        return self.status


def load_libraries() -> None:
    """Load what most of a run's start is spent on."""
    for name in _LIBRARIES:
        importlib.import_module(name)


def start(module: str, arguments: Sequence[str], said: Path, before: Callable[[], None] | None = None) -> Run:
    """``python -m <module> <arguments>`` in a fork, in a session of its own; ``before`` is called in it first."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _become(module, arguments, said, before)
    return Run(pid, said)


def _become(module: str, arguments: Sequence[str], said: Path, before: Callable[[], None] | None) -> None:
    status = 70
    try:
        os.setsid()
        os.chdir(ROOT)
        out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        os.dup2(out, 1)
        os.dup2(out, 2)
        if before is not None:
            before()
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0
    except BaseException:  # noqa: BLE001  as the interpreter does at the end of a program
        traceback.print_exc()
        status = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
