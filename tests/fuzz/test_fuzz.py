"""Broken files for every reader are read or refused in words; a reader that fails in any way is found."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from lotus_recon.errors import InputError
from tests.fuzz import running
from tests.fuzz.mutations import break_one, mutated
from tests.fuzz.reader import Reader
from tests.fuzz.readers import READERS
from tests.fuzz.running import _verdict, fuzz

# What cannot be read of these is made again.
NEVER_REFUSED = ("bookkeeping", "tried libraries", "pace of stages", "remembered content")
INPUTS = int(os.environ.get("LOTUS_RECON_FUZZ_INPUTS", "200"))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", READERS)
def test_broken_files_are_read_or_refused(name: str) -> None:
    tally = fuzz(name, INPUTS)
    assert tally.faults == 0, "\n".join(tally.details[:5])
    assert tally.counts.total() == INPUTS
    assert tally.counts["refused"] > 0 or name in (
        "bookkeeping",
        "tried libraries",
        "pace of stages",
        "remembered content",
    )


def raising(error: Exception) -> Callable[[Path], Any]:
    def read(folder: Path) -> Any:
        raise error

    return read


@pytest.mark.parametrize(
    ("read", "verdict"),
    [
        (lambda folder: 1.0, "read"),
        (raising(InputError("in words")), "refused"),
        (raising(KeyError("fx")), "traceback"),
        (raising(MemoryError()), "memory"),
        (lambda folder: float("nan"), "wrong"),
    ],
)
def test_verdicts(read: Callable[[Path], Any], verdict: str, tmp_path: Path) -> None:
    (tmp_path / "valid").mkdir()
    (tmp_path / "valid/a.json").write_text('{"a": 1}')
    assert _verdict(read, tmp_path / "valid", tmp_path / "broken", random.Random(0))[0] == verdict


@pytest.mark.slow
def test_what_ends_or_stops_the_child_is_counted_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every third input kills the process, every fourth hangs; the readers are those of ``planted``."""
    monkeypatch.setattr(running, "HANG_SECONDS", 3.0)
    monkeypatch.setattr(running, "CHILD", "from tests.fuzz.test_fuzz import planted; planted()")
    tally = fuzz("planted", 8)
    assert tally.counts == {"crash": 3, "hang": 1, "read": 4}


def planted() -> None:
    """The child of the test above."""
    number = iter(range(int(running.arguments()[1]), 1000))

    def read(folder: Path) -> float:
        if (folder / "a.json").read_bytes() != b"1":
            i = next(number)
            if i % 3 == 0:
                os.kill(os.getpid(), signal.SIGSEGV)
            if i == 4:
                time.sleep(600)
        return 1.0

    with mock.patch.dict("tests.fuzz.readers.READERS", {"planted": Reader(_write_one, read)}):
        running.main()


def _write_one(folder: Path) -> None:
    (folder / "a.json").write_text("1")


def test_the_same_seed_breaks_alike_and_whole_stays_whole(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "whole").mkdir(parents=True)
        (tmp_path / name / "whole/kept.txt").write_text("kept")
        np.savez(tmp_path / name / "maps.npz", depth=np.ones((4, 4)))
        assert break_one(tmp_path / name, random.Random(5)).name == "maps.npz"
        assert (tmp_path / name / "whole/kept.txt").read_text() == "kept"
    valid = b'{"a": [1, 2, {"b": 0.5}]}'
    assert len({mutated(valid, ".json", random.Random(i)) for i in range(100)}) > 60
