"""Masks reach the maps: of single photos, and those that given poses name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lotus_recon.errors import InputError
from lotus_recon.io.maps import load_prediction
from lotus_recon.io.meshes import read_points
from lotus_recon.scene_job import SceneJob
from lotus_recon.types import BoolArray
from tests.recipes.test_single_view import HEIGHT, WIDTH, Folder, folder

__all__ = ["folder"]  # a fixture


def left_half() -> BoolArray:
    used = np.zeros((HEIGHT, WIDTH), bool)
    used[:, : WIDTH // 2] = True
    return used


def assert_only_left_half(folder: Folder, stem: str) -> None:
    prediction = load_prediction(folder.out / stem / "prediction.npz")
    assert prediction.depth is not None
    assert prediction.normals is not None
    np.testing.assert_array_equal(prediction.depth.valid, left_half())
    np.testing.assert_array_equal(prediction.normals.valid, left_half())
    assert len(read_points(folder.out / stem / "points.ply").points) == left_half().sum()


def write_mask(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(left_half().astype(np.uint8) * 255).save(path)


@pytest.mark.parametrize("place", ["masks beside", "masks given", "alpha"])
def test_a_single_photo_has_no_depth_outside_its_mask(folder: Folder, tmp_path: Path, place: str) -> None:
    photo = folder.add("sub/1.png")
    more: list[str] = []
    if place == "alpha":
        rgba = np.dstack([np.asarray(Image.open(photo)), left_half().astype(np.uint8) * 255])
        Image.fromarray(rgba).save(photo)
    elif place == "masks beside":
        write_mask(folder.photos / "masks/sub/1.png")
    else:
        write_mask(tmp_path / "own masks/sub/1.png")
        more = ["--masks", str(tmp_path / "own masks")]
    assert folder.run(*more) == 0
    assert_only_left_half(folder, "sub/1")


def test_a_new_mask_is_used_and_one_that_leaves_nothing_refused(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.add("1.png")
    assert folder.run() == 0
    write_mask(folder.photos / "masks/1.png")
    assert folder.run() == 0
    assert_only_left_half(folder, "1")
    Image.new("L", (WIDTH, HEIGHT)).save(folder.photos / "masks/1.png")
    assert folder.run() == 1
    Image.new("L", (WIDTH, HEIGHT + 1), 255).save(folder.photos / "masks/1.png")
    assert folder.run() == 1
    assert "leaves no pixel" in capsys.readouterr().err
    with pytest.raises(InputError, match="none does not exist"):
        folder.run("--masks", str(folder.photos / "none"))


def test_masks_named_with_given_poses_are_those_of_the_scene(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    frames = []
    for name in "ab":
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / f"images/{name}.png")
        write_mask(tmp_path / f"m/{name}.png")
        frames.append({"file_path": f"images/{name}.png", "transform_matrix": np.eye(4).tolist()})
    frames[1]["mask_path"] = "m/b.png"
    poses = tmp_path / "transforms.json"
    poses.write_text(json.dumps({"fl_x": 50, "frames": frames}))
    job = SceneJob(tmp_path / "images", tmp_path / "out", None, None, poses)
    assert job.masks == {"b.png": tmp_path / "m/b.png"}
    before = job.mask_files()
    Image.new("L", (WIDTH, HEIGHT), 255).save(tmp_path / "m/b.png")
    changed = SceneJob(tmp_path / "images", tmp_path / "out", None, None, poses).mask_files()
    assert before.keys() == changed.keys()
    assert before != changed, "stages see that a mask has changed"
