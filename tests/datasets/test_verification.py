"""Verification names what is missing or broken; preparing is done once and by several processes alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from lotus_recon.datasets.hypersim import HypersimSet
from lotus_recon.datasets.reading import SPLITS
from lotus_recon.datasets.verification import Problem, by_group, check_complete, check_files, check_samples, prepare
from lotus_recon.datasets.vkitti2 import Vkitti2Set
from lotus_recon.errors import InputError
from tests.datasets.analytic import cut, write_photo
from tests.datasets.test_hypersim import geometry, photo, write_frame
from tests.datasets.test_vkitti2 import depth_file, write_variation


def test_files_that_are_missing_empty_or_cut_off(tmp_path: Path) -> None:
    for index in range(5):
        write_frame(tmp_path, "ai_001_001", index)
    cut(photo(tmp_path, "ai_001_001", 0))
    cut(geometry(tmp_path, "ai_001_001", 1, "depth_meters"))
    geometry(tmp_path, "ai_001_001", 2, "normal_cam").unlink()
    geometry(tmp_path, "ai_001_001", 2, "depth_meters").write_bytes(b"")
    problems = check_files(HypersimSet(tmp_path, "all"), workers=2)
    assert [problem.sample for problem in problems] == [f"ai_001_001/cam_00/frame.000{i}" for i in range(3)]
    assert "tonemap.jpg is cut off" in problems[0].reason
    assert "depth_meters.hdf5 is no complete HDF5 file" in problems[1].reason
    assert "depth_meters.hdf5 is empty" in problems[2].reason
    assert "normal_cam.hdf5 is missing" in problems[2].reason


def test_only_reading_finds_what_is_wrong_inside(tmp_path: Path) -> None:
    write_variation(tmp_path, "Scene01/clone", frames=2)
    write_photo(tmp_path / "Scene01/clone/frames/rgb/Camera_0/rgb_00001.jpg", 20, 30)
    training_set = Vkitti2Set(tmp_path, "all")
    assert check_files(training_set, workers=1) == []
    (problem,) = check_samples(training_set, workers=1)
    assert problem.sample == "Scene01/clone/Camera_0/00001"
    assert "depth_00001.png has shape (48, 160)" in problem.reason


def test_several_processes_find_and_make_the_same(tmp_path: Path) -> None:
    write_variation(tmp_path, "Scene01/clone", frames=10)
    cut(depth_file(tmp_path, "Scene01/clone", 3))
    training_set = Vkitti2Set(tmp_path, "all")
    assert check_samples(training_set, workers=2) == check_samples(training_set, workers=1)
    made, failed = prepare(training_set, frozenset({"Scene01/clone/Camera_0/00009"}), workers=2)
    assert made == 8
    assert [problem.sample for problem in failed] == ["Scene01/clone/Camera_0/00003"]
    assert [training_set.is_prepared(i) for i in range(10)] == [i not in (3, 9) for i in range(10)]
    assert prepare(training_set, frozenset(), workers=1)[0] == 1, "only what is not there yet"


def test_groups() -> None:
    problems = [Problem("a/0", "x"), Problem("b/0", "y"), Problem("a/1", "z"), Problem("c", "w")]
    groups = {name: [problem.reason for problem in members] for name, members in by_group(problems).items()}
    assert groups == {"a": ["x", "z"], "b": ["y"], "c": ["w"]}


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_complete_images_pass(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    write_photo(path, 40, 40)
    check_complete(path)
    path.write_bytes(path.read_bytes() + b"\0" * 4)
    check_complete(path)
    cut(path)
    with pytest.raises(InputError, match="cut off"):
        check_complete(path)


def test_splits_are_those_of_the_config() -> None:
    from typing import get_args, get_type_hints

    from lotus_recon.training.config import SetConfig

    assert get_args(get_type_hints(SetConfig)["split"]) == SPLITS
