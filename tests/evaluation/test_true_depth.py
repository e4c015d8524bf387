"""True depth of photos as they are given, at the pixels of undistorted views."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lotus_recon.errors import InputError
from lotus_recon.evaluation.true_depth import files_of_views, read_true_depth
from lotus_recon.io.cameras import SourceCamera
from lotus_recon.io.maps import save_prediction
from lotus_recon.sfm.stage import SfmResult
from lotus_recon.types import Camera, DepthKind, DepthMap, Prediction, Scene, SparsePoints, View

PHOTO = SourceCamera("SIMPLE_RADIAL", 160, 120, (150.0, 80.0, 60.0, -0.1))
CAMERA = Camera(151, 115, 150.0, 150.0, 75.5, 57.5)
VIEW = View("a.png", CAMERA, np.eye(4))
NO_POINTS = SparsePoints(
    np.zeros((0, 3)), np.zeros((0, 3), np.uint8), np.zeros(0), np.zeros(0, int), np.zeros(0, int), np.zeros((0, 2))
)
FOUND = SfmResult(Scene((VIEW,), NO_POINTS, metric=True), {"a.png": PHOTO}, {})


def plane(rays: np.ndarray) -> np.ndarray:
    """z-depth (N,) of a slanted plane along rays (N, 2)."""
    return 2 / (1 - 0.3 * rays[:, 0] + 0.2 * rays[:, 1])


def photo_depth(width: int, height: int) -> DepthMap:
    """Of the plane, as a distorted photo of that size has it."""
    x, y = np.meshgrid((np.arange(width) + 0.5) * 160 / width, (np.arange(height) + 0.5) * 120 / height)
    rays = PHOTO.to_colmap().cam_from_img(np.stack([x.ravel(), y.ravel()], 1))
    assert rays is not None
    values = plane(rays).reshape(height, width).astype(np.float32)
    return DepthMap(values, np.ones((height, width), bool), DepthKind.METRIC)


@pytest.mark.parametrize("size", [(160, 120), (320, 240), (80, 60)])
def test_a_map_of_the_distorted_photo_is_undistorted(size: tuple[int, int], tmp_path: Path) -> None:
    save_prediction(tmp_path / "a.npz", Prediction(photo_depth(*size), None, {}))
    depth = read_true_depth(tmp_path / "a.npz", VIEW, FOUND, None)
    x, y = np.meshgrid((np.arange(151) + 0.5 - 75.5) / 150, (np.arange(115) + 0.5 - 57.5) / 150)
    true = plane(np.stack([x.ravel(), y.ravel()], 1)).reshape(115, 151)
    inner = np.s_[4:-4, 4:-4]
    assert depth.kind is DepthKind.SCENE
    assert depth.valid[inner].all()
    np.testing.assert_allclose(depth.values[inner], true[inner], rtol=3e-4)
    twice = read_true_depth(tmp_path / "a.npz", VIEW, FOUND, 2.0)
    np.testing.assert_allclose(twice.values, depth.values / 2)


def test_sizes_that_are_neither_of_the_photo_nor_of_the_view_are_refused(tmp_path: Path) -> None:
    save_prediction(tmp_path / "a.npz", Prediction(photo_depth(100, 100), None, {}))
    with pytest.raises(InputError, match=r"a\.npz is 100x100; allowed are 151x115, .*as given, 160x120"):
        read_true_depth(tmp_path / "a.npz", VIEW, FOUND, None)
    affine = DepthMap(np.ones((115, 151), np.float32), np.ones((115, 151), bool), DepthKind.AFFINE)
    save_prediction(tmp_path / "a.npz", Prediction(affine, None, {}))
    with pytest.raises(InputError, match="no METRIC or SCENE depth"):
        read_true_depth(tmp_path / "a.npz", VIEW, FOUND, None)


def test_files_are_found_by_the_names_of_views(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no depth maps"):
        files_of_views(tmp_path, ["a.png"])
    (tmp_path / "left").mkdir()
    (tmp_path / "left/a.npz").touch()
    assert files_of_views(tmp_path, ["left/a.png", "left/b.png"]) == {"left/a.png": tmp_path / "left/a.npz"}
