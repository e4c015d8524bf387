"""Which photos of a folder are used: patterns of names, and poses of photos that are not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lotus_recon.errors import InputError
from lotus_recon.io.images import list_photos
from lotus_recon.io.known_poses import read_known_poses
from lotus_recon.io.photo_choice import choice

NAMES = ["IMG_10.jpg", "IMG_7.jpg", "garden/IMG_7.jpg", "garden/b c.png"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 24)).save(path)
    return tmp_path / "photos"


@pytest.mark.parametrize(
    ("include", "exclude", "left"),
    [
        (None, None, [0, 1, 2, 3]),
        (None, "IMG_7.jpg", [0, 3]),  # of whatever folder
        (None, "garden/*", [0, 1]),
        ("IMG_*", None, [0, 1, 2]),
        ("IMG_*", "garden/*, IMG_1?.jpg", [1]),
        ("*[bc].png", None, [3]),
    ],
)
def test_patterns(folder: Path, include: str | None, exclude: str | None, left: list[int]) -> None:
    found = list_photos(folder, choose=choice(include, exclude))
    assert [photo.name for photo in found] == [NAMES[i] for i in left]


@pytest.mark.parametrize(
    ("include", "exclude", "message"),
    [
        (None, "img_7.jpg", r"--exclude 'img_7.jpg': no photo has such a name.*such as 'IMG_10.jpg'"),
        ("IMG_*,", None, "--include '': no photo has such a name"),
        (None, "*", r"--include and --exclude leave none of 4 photos"),
        ("garden/*", "garden/*", "leave none"),
    ],
)
def test_patterns_that_cannot_be_meant(folder: Path, include: str | None, exclude: str | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        list_photos(folder, choose=choice(include, exclude))


def test_one_of_two_photos_that_differ_in_suffix_can_be_left_out(folder: Path) -> None:
    Image.new("RGB", (8, 6)).save(folder / "IMG_7.png")
    with pytest.raises(InputError, match="differ at most in suffix"):
        list_photos(folder)
    assert len(list_photos(folder, choose=choice(None, "IMG_7.png"))) == 4


def test_poses_of_photos_that_are_left_out_are_left_out(folder: Path, tmp_path: Path) -> None:
    lens = {
        "fl_x": 28.0,
        "fl_y": 28.0,
        "cx": 16.0,
        "cy": 12.0,
        "w": 32,
        "h": 24,
        "transform_matrix": np.eye(4).tolist(),
    }
    poses = tmp_path / "transforms.json"
    poses.write_text(json.dumps({"frames": [{"file_path": f"photos/{name}", **lens} for name in NAMES]}))
    used = list_photos(folder, choose=choice(None, "IMG_7.jpg"))
    assert list(read_known_poses(poses, used).names) == [NAMES[0], NAMES[3]]
    (folder / "garden/IMG_7.jpg").unlink()
    with pytest.raises(InputError, match="1 of 4 poses .* name photos that do not exist"):
        read_known_poses(poses, used)
