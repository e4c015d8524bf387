"""Jobs in processes that fail and die: every job is done or reported, whatever becomes of its process."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import pytest

from lotus_recon.errors import InputError
from lotus_recon.synthetic.rooms.workers import JOBS_PER_PROCESS, End, Outcome, StopError, run_jobs


def job(folder: Path, number: int) -> str:
    """What its number says: 6 is refused, 7 always fails, 8 always dies, 9 dies once; leaves a mark per attempt."""
    attempts = folder / str(number)
    with attempts.open("a") as handle:
        handle.write("x")
    if number == 6:
        raise InputError("six")
    if number == 7:
        raise ValueError("seven")
    if number == 8 or (number == 9 and attempts.read_text() == "x"):
        os._exit(3)
    if number == 99:
        raise StopError("full")
    return f"{os.getpid()} {os.environ['OMP_NUM_THREADS']}"


def run(folder: Path, numbers: list[int], processes: int) -> dict[int, Outcome]:
    outcomes = list(run_jobs(functools.partial(job, folder), numbers, processes))
    assert len(outcomes) == len(numbers)
    return {outcome.number: outcome for outcome in outcomes}


def test_failures_are_tried_twice_what_is_refused_once_and_the_rest_is_done(tmp_path: Path) -> None:
    outcomes = run(tmp_path, [6, 7, 8, 9, 1, 2], processes=2)
    assert {number: outcome.end for number, outcome in outcomes.items()} == {
        **dict.fromkeys((1, 2, 9), End.DONE),
        **dict.fromkeys((7, 8), End.FAILED),
        6: End.REFUSED,
    }
    assert outcomes[6].detail == "six"
    assert outcomes[7].detail == "ValueError: seven"
    assert "status 3" in outcomes[8].detail
    assert {number: len((tmp_path / str(number)).read_text()) for number in outcomes} == {
        **dict.fromkeys((7, 8, 9), 2),
        **dict.fromkeys((1, 2, 6), 1),
    }


def test_processes_have_one_thread_and_are_replaced(tmp_path: Path) -> None:
    before = os.environ.get("OMP_NUM_THREADS")
    outcomes = run(tmp_path, list(range(100, 101 + JOBS_PER_PROCESS)), processes=1)
    assert len({outcome.detail.split()[0] for outcome in outcomes.values()}) == 2
    assert {outcome.detail.split()[1] for outcome in outcomes.values()} == {"1"}
    assert os.environ.get("OMP_NUM_THREADS") == before


def test_a_job_can_stop_all(tmp_path: Path) -> None:
    with pytest.raises(StopError, match="full"):
        run(tmp_path, [99, 1, 2], processes=1)
    assert not (tmp_path / "2").exists()


def test_nothing_to_do(tmp_path: Path) -> None:
    assert run(tmp_path, [], processes=2) == {}
