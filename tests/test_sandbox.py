"""What crashes, grows or never ends in the reader of a file ends there, with a message that names the file."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lotus_recon import sandbox
from lotus_recon.errors import InputError
from lotus_recon.sandbox import arrays_in_child


def whole(path: Path) -> dict[str, Any]:
    return {"bytes": np.frombuffer(path.read_bytes(), np.uint8)}


def crashing(path: Path) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGSEGV)
    return {}


def growing(path: Path) -> dict[str, Any]:
    return {"zeros": np.ones(1 << 33, np.uint8)}


def failing(path: Path) -> dict[str, Any]:
    raise ZeroDivisionError("no such thing")


def endless(path: Path) -> dict[str, Any]:
    time.sleep(600)
    return {}


@pytest.mark.parametrize(
    ("read", "reason"),
    [(crashing, "SIGSEGV"), (growing, "MemoryError"), (failing, "no such thing"), (endless, "does not end within")],
)
def test_a_bad_end_is_an_error(
    read: Callable[[Path], dict[str, Any]], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "_SECONDS", 5.0)
    (tmp_path / "file.bin").write_bytes(b"abc")
    with pytest.raises(InputError, match=rf"file\.bin cannot be read as a thing: .*{reason}"):
        arrays_in_child(read, tmp_path / "file.bin", "a thing")


def test_arrays_come_back(tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(b"abc")
    assert arrays_in_child(whole, tmp_path / "file.bin", "a thing")["bytes"].tobytes() == b"abc"
    with pytest.raises(InputError, match="does not exist"):
        arrays_in_child(whole, tmp_path / "none", "a thing")
