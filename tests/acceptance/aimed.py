"""A process that ends itself at one of its own renames or writes, as a kill at the worst moment would end it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR


def count_events(out: Path, counted: Path) -> Callable[[], None]:
    """To be called in a process: it adds a byte to the file ``counted`` for every rename and write below ``out``."""

    def begin() -> None:
        handle = os.open(counted, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        _watch(out, lambda event: os.write(handle, b"."))

    return begin


def kill_at(out: Path, number: int, delay_s: float) -> Callable[[], None]:
    """To be called in a process: it is killed before rename ``number`` below ``out``, or so long after that write."""

    def begin() -> None:
        left, own = [number], os.getpid()

        def met(event: str) -> None:
            left[0] -= 1
            if left[0] == 0 and os.getpid() == own:
                if event == "open":
                    threading.Timer(delay_s, os.kill, (own, signal.SIGKILL)).start()
                else:
                    os.kill(own, signal.SIGKILL)

        _watch(out, met)

    return begin


def _watch(out: Path, met: Callable[[str], object]) -> None:
    below = f"{out}{os.sep}"

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in ("open", "os.rename") or not str(arguments[0]).startswith(below):
            return
        if event == "os.rename" or (isinstance(arguments[2], int) and arguments[2] & _WRITING):
            met(event)

    sys.addaudithook(hook)
