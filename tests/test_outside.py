"""Values in files of others: what is wrong is an error that says where, never a traceback, never taken as it is."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lotus_recon.datasets.posed import read_camera_list
from lotus_recon.datasets.single_images import measured_photos
from lotus_recon.errors import InputError
from lotus_recon.evaluation.holdout import read_holdout
from lotus_recon.evaluation.pose_files import read_poses
from lotus_recon.evaluation.surface_masks import read_crop
from lotus_recon.io.cameras import SourceCamera, read_source_cameras
from lotus_recon.io.intrinsics import read_intrinsics
from lotus_recon.io.transforms import read_transforms
from lotus_recon.outside import matrix, no_formula, number, read_json, text, whole
from lotus_recon.sfm.frame import parse_distance
from lotus_recon.types import Camera, check_rigid

NOT_NUMBERS: list[Any] = ["1", True, None, [1], {}, math.nan, math.inf, -math.inf, 10**400]


@pytest.mark.parametrize("value", NOT_NUMBERS)
def test_what_is_no_finite_number_is_refused(value: Any) -> None:
    for parse in (number, lambda value, where: whole(value, where, 0, 10), lambda v, w: matrix([v], (1,), w)):
        with pytest.raises(InputError, match="the place"):
            parse(value, "the place")


def test_numbers_come_back() -> None:
    assert number(3, "") == 3.0
    assert whole(640.0, "", 1, 1000) == 640
    assert matrix([[1, 2.5], [0, -1]], (2, 2), "").tolist() == [[1, 2.5], [0, -1]]
    assert text("a", "") == "a"


@pytest.mark.parametrize("value", [0.5, -1, 11])
def test_whole_numbers_have_limits(value: float) -> None:
    with pytest.raises(InputError, match="a whole number from 0 to 10"):
        whole(value, "the place", 0, 10)


@pytest.mark.parametrize("value", ["", "a\0b", 3, None])
def test_text_is_text(value: Any) -> None:
    with pytest.raises(InputError, match="the place"):
        text(value, "the place")


def test_cells_are_no_formulas() -> None:
    assert [no_formula(cell) for cell in ("=1+1", "@a", "-2", "a=1", 3.0)] == ["'=1+1", "'@a", "'-2", "a=1", 3.0]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, b"1e", b"9" * 10_000])
def test_what_is_no_json_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=r"poses .*a\.json"):
        number(read_json(tmp_path / "a.json", "poses"), f"poses {tmp_path / 'a.json'}")
    with pytest.raises(InputError, match="cannot be read"):
        read_json(tmp_path, "poses")


POSE = np.eye(4).tolist()
K = [[50.0, 0, 32], [0, 50, 24], [0, 0, 1]]
INTRINSICS = {"width": 64, "height": 48, "fx": 50.0, "fy": 50.0, "cx": 32.0, "cy": 24.0}
SOURCE = {"model": "PINHOLE", "width": 64, "height": 48, "params": [50.0, 50.0, 32.0, 24.0]}
FRAME = {"file_path": "a.png", "transform_matrix": POSE, "w": 64, "h": 48, "fl_x": 50, "fl_y": 50, "cx": 32, "cy": 24}
MARKS = {"a.jpg": [1, 2], "b.jpg": [3, 4]}
CROP = {"orthogonal_axis": "Z", "axis_min": 0, "axis_max": 1, "bounding_polygon": [[0, 0, 0], [1, 0, 0], [0, 1, 0]]}
HOLDOUT = {"alignment": {"holdout": 0.1, "holdout_strict": False}, "runtime": {"seed": 0}}
MANIFEST = [{"rgb": "rgb.png", "depth": "depth.png", "depth_scale": 1000, "K": [50, 50, 32, 24]}]

# A valid file and its reader, by name.
FILES: dict[str, tuple[Any, Callable[[Path], Any]]] = {
    "intrinsics": (INTRINSICS, read_intrinsics),
    "source cameras": ({"cameras": {"a": SOURCE}}, read_source_cameras),
    "transforms": ({"frames": [FRAME]}, lambda path: [frame.camera((64, 48)) for frame in read_transforms(path)]),
    "poses": ({"frames": [{"file": "a.png", "w2c": POSE}]}, read_poses),
    "camera list": ({"frames": [{"file": "a", "K": K, "w2c": POSE}]}, lambda path: read_camera_list(path, 64, 48)),
    "crop": (CROP, read_crop),
    "distance": ({"metres": 1.5, "a": MARKS, "b": MARKS}, lambda path: parse_distance(str(path))),
    "holdout": (HOLDOUT, lambda path: read_holdout(path.parent)),
    "manifest": (MANIFEST, lambda path: measured_photos(path.parent)),
}
NAMES = {"holdout": "config.yaml", "manifest": "manifest.json", "distance": "marks.yaml"}
WRONG: list[Any] = [None, "text", "", "a\0b", [], {}, [[]], [1], True, math.nan, math.inf, 10**400, 1e300, -1e30, -1, 0]


def changed(value: Any, wrong: Any) -> list[Any]:
    """``value`` with ``wrong`` in the place of each part of it, and without that part."""
    found = [wrong]
    if isinstance(value, dict):
        for key, item in value.items():
            found += [{**value, key: other} for other in changed(item, wrong)]
            found.append({name: other for name, other in value.items() if name != key})
    if isinstance(value, list):
        for i, item in enumerate(value):
            found += [[*value[:i], other, *value[i + 1 :]] for other in changed(item, wrong)]
    return found


@pytest.mark.parametrize("kind", FILES)
def test_every_value_of_every_file_may_be_wrong(kind: str, tmp_path: Path) -> None:
    """All are either refused with the name of the file, or read: no traceback, and nothing that is not finite."""
    value, read = FILES[kind]
    path = tmp_path / NAMES.get(kind, "file.json")
    refused = 0
    for wrong in WRONG:
        for content in changed(value, wrong):
            path.write_text(json.dumps(content))
            try:
                found = read(path)
            except InputError as error:
                message = str(error)
            else:
                assert "nan" not in repr(found), content
                continue
            assert str(tmp_path) in message, content
            refused += 1
    assert refused > 20


@pytest.mark.parametrize(
    "values",
    [
        (64, 48, 1e300, 50, 32, 24),
        (64, 48, 1e-300, 50, 32, 24),
        (64, 48, 50, 50, 1e30, 24),
        (10**9, 48, 50, 50, 32, 24),
    ],
)
def test_cameras_that_cannot_be_are_refused(values: tuple[Any, ...]) -> None:
    with pytest.raises(InputError, match="allowed|at most"):
        Camera(*values)
    with pytest.raises(InputError, match="allowed|at most"):
        SourceCamera("PINHOLE", values[0], values[1], values[2:])


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e30])
def test_distortion_that_cannot_be_is_refused(value: float) -> None:
    with pytest.raises(InputError, match="distortion"):
        SourceCamera("OPENCV", 64, 48, (50, 50, 32, 24, value, 0, 0, 0))


def test_cameras_at_the_ends_of_what_is_made_are_taken() -> None:
    """A telescope, a fisheye, a small crop far from the centre of a large image."""
    for camera in (Camera.from_fov_deg(0.02, 640, 480), Camera.from_fov_deg(179.8, 640, 480)):
        assert camera.width == 640
    assert Camera(100, 100, 4000, 4000, 1900, -1900).cx == 1900


def test_poses_farther_than_the_earth_is_large_are_refused() -> None:
    pose = np.eye(4)
    pose[0, 3] = 6.4e9  # its radius in millimetres
    check_rigid(pose, "pose")
    pose[0, 3] = 1e30
    with pytest.raises(InputError, match=r"translation of 1e\+30"):
        check_rigid(pose, "pose")
