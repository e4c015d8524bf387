"""The line of runs: one at a time, the results of the command line, and an end that leaves nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from lotus_recon.app.runs import Line, Run
from lotus_recon.io.npz import read_npz
from lotus_recon.runners.jobs import SceneJob
from pipelines import single_view
from tests.app.serving import PHOTOS, configs, workers, write_photo


@pytest.fixture
def line() -> Iterator[Line]:
    with closing(Line(threads=1)) as running:
        yield running


def photo_run(folder: Path, photo: Path) -> Run:
    job = SceneJob("photo", "single_view", configs()["single_view"]["default"], images=(str(photo),))
    return Run(job, folder / "results", photo.name, folder / "given")


def scene_run(folder: Path) -> Run:
    photos = folder / "photos"
    photos.mkdir(parents=True)
    for photo in PHOTOS[:6]:
        (photos / photo.name).symlink_to(photo)
    job = SceneJob("scene", "multi_view", configs()["multi_view"]["default"], images=(str(photos),))
    return Run(job, folder / "results", "scene", photos)


def wait_until(is_so: Callable[[], bool], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_run_writes_what_the_command_line_writes(line: Line, tmp_path: Path) -> None:
    run = photo_run(tmp_path / "app", PHOTOS[0])
    line.add(run)
    assert run.ended.wait(120)
    assert (run.state, run.message) == ("done", "")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the worker of the line: other threads sum in another order
    try:
        assert single_view.run([str(PHOTOS[0]), "--out", str(tmp_path / "cli"), "--max-size", "128", "--quiet"]) == 0
    finally:
        torch.set_num_threads(threads)

    def files(root: Path) -> dict[str, Path]:
        return {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_file()}

    made, expected = files(run.folder), files(tmp_path / "cli")
    assert set(made) - {"thumbnail.jpg", ".lock"} == set(expected) - {".lock"}
    one, other = (read_npz(found[f"{PHOTOS[0].stem}/prediction.npz"])["depth"] for found in (made, expected))
    np.testing.assert_array_equal(one, other)


def test_runs_are_served_one_at_a_time_by_one_process(line: Line, tmp_path: Path) -> None:
    runs = [photo_run(tmp_path / str(number), PHOTOS[number]) for number in range(3)]
    for run in runs:
        line.add(run)
    wait_until(lambda: runs[0].state == "running" and runs[2].before == 2)
    processes = set()
    while not runs[2].ended.wait(0.05):
        assert sum(run.state == "running" for run in runs) <= 1
        processes |= {process.pid for process in workers()}
    assert [run.state for run in runs] == ["done"] * 3
    assert len(processes) == 1, "the network stays in memory"


@pytest.mark.parametrize("stage", ["sfm", "prediction"])
def test_cancelling_ends_every_process_and_deletes_the_files(line: Line, tmp_path: Path, stage: str) -> None:
    run = scene_run(tmp_path / "scene")
    line.add(run)
    wait_until(lambda: run.stage == stage or run.is_over)
    assert workers()
    asked = time.monotonic()
    run.cancel()
    assert run.ended.wait(20)
    assert run.state == "cancelled"
    assert time.monotonic() - asked < 10
    wait_until(lambda: not workers(), 5)
    assert not run.folder.exists()
    assert not run.given.exists()


def test_a_run_that_waits_can_be_cancelled_and_the_others_go_on(line: Line, tmp_path: Path) -> None:
    first, second, third = (photo_run(tmp_path / str(number), PHOTOS[number]) for number in range(3))
    for run in (first, second, third):
        line.add(run)
    second.cancel()
    assert second.ended.wait(5)
    assert first.ended.wait(120)
    assert third.ended.wait(120)
    assert [run.state for run in (first, second, third)] == ["done", "cancelled", "done"]


def test_after_a_run_was_killed_the_next_one_works(line: Line, tmp_path: Path) -> None:
    first, second = (photo_run(tmp_path / str(number), PHOTOS[number]) for number in range(2))
    line.add(first)
    line.add(second)
    wait_until(lambda: first.state == "running")
    first.cancel()
    assert second.ended.wait(120)
    assert (first.state, second.state) == ("cancelled", "done")


def test_bad_input_fails_in_words(line: Line, tmp_path: Path) -> None:
    photo = write_photo(tmp_path / "cut.jpg", 640, 480)
    photo.write_bytes(photo.read_bytes()[:5000])
    run = photo_run(tmp_path / "app", photo)
    line.add(run)
    assert run.ended.wait(120)
    assert run.state == "failed"
    assert "cut.jpg" in run.message


def test_closing_the_line_ends_everything(tmp_path: Path) -> None:
    line = Line(threads=1)
    runs = [photo_run(tmp_path / str(number), PHOTOS[number]) for number in range(2)]
    for run in runs:
        line.add(run)
    wait_until(lambda: runs[0].state == "running")
    line.close()
    assert [run.state for run in runs] == ["cancelled", "cancelled"]
    wait_until(lambda: not workers(), 5)


def test_time_left_is_what_the_stages_ahead_cost(tmp_path: Path) -> None:
    run = scene_run(tmp_path)
    assert run.seconds_left() is None
    run.stages, run.costs = ("sfm", "mvs", "fusion"), {"sfm": 5.0, "mvs": 60.0, "fusion": 7.0}
    run.stage, run.stage_started = "mvs", time.monotonic() - 20
    assert run.seconds_left() == pytest.approx(47, abs=0.5)
    run.stage_started -= 100
    assert run.seconds_left() == pytest.approx(7)
