"""Posed data sets: the half pixel, the axes, and what is said of real files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lotus_recon.datasets import dtu_omnidata, hololens, seven_scenes
from lotus_recon.datasets.posed import read_camera_list, write_transforms
from lotus_recon.errors import InputError
from lotus_recon.io.maps import load_prediction
from lotus_recon.types import DepthKind


def test_camera_list_to_transforms(tmp_path: Path) -> None:
    """A camera at (1, 2, 3) that looks along the world's x axis: in OpenGL axes, back is -x."""
    R = np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0]], float)
    w2c = np.eye(4)
    w2c[:3, :3], w2c[:3, 3] = R, -R @ [1, 2, 3]
    K = [[50.0, 0, 31.5], [0, 51.0, 23.5], [0, 0, 1]]
    entry = {"file": "images/a.png", "K": K, "w2c": w2c.tolist()}
    (tmp_path / "cameras.json").write_text(json.dumps({"frames": [entry]}))
    frames = read_camera_list(tmp_path / "cameras.json", 64, 48)
    assert (frames[0].view.camera.cx, frames[0].view.camera.cy) == (32, 24)
    (tmp_path / "elsewhere").mkdir()
    write_transforms(frames, tmp_path / "elsewhere/transforms.json")
    written = json.loads((tmp_path / "elsewhere/transforms.json").read_text())["frames"][0]
    assert written["file_path"] == "../images/a.png"
    assert (written["w"], written["h"], written["fl_y"], written["cx"]) == (64, 48, 51, 32)
    expected = np.array([[0, 0, -1, 1], [-1, 0, 0, 2], [0, 1, 0, 3], [0, 0, 0, 1]], float)
    np.testing.assert_allclose(written["transform_matrix"], expected, atol=1e-12)


def test_broken_camera_list(tmp_path: Path) -> None:
    (tmp_path / "cameras.json").write_text("{}")
    with pytest.raises(InputError, match=r"cameras\.json is not a camera list"):
        read_camera_list(tmp_path / "cameras.json", 4, 4)


def test_dtu_background_is_invalid(shared: Path, tmp_path: Path) -> None:
    source = shared / "data/dtu_scan24_omnidata"
    dtu_omnidata.write_predictions(source, tmp_path)
    assert len(list(tmp_path.glob("*.npz"))) == 17
    prediction = load_prediction(tmp_path / "000003.npz")
    assert prediction.depth is not None
    assert prediction.normals is not None
    assert prediction.depth.kind is DepthKind.AFFINE
    assert 0.5 < prediction.depth.valid.mean() < 0.95
    assert not prediction.depth.valid[-1, -1]
    assert (prediction.normals.values[prediction.normals.valid][:, 2] < 0).mean() > 0.95


def test_hololens_disparity_is_affine_in_inverse_depth(shared: Path, tmp_path: Path) -> None:
    source = shared / "data/hololens_a"
    hololens.write_predictions(source, tmp_path)
    prediction = load_prediction(tmp_path / "00003.npz").depth
    depth, seen = hololens.sensor_depth(source, "00003.png")
    assert prediction is not None
    np.testing.assert_array_equal(prediction.valid, seen)
    design = np.stack([1 / depth[seen], np.ones(seen.sum())], axis=1)
    (scale, shift), *_ = np.linalg.lstsq(design, prediction.values[seen], rcond=None)
    assert hololens.SCALE_RANGE[0] <= scale <= hololens.SCALE_RANGE[1]
    assert hololens.SHIFT_RANGE[0] <= shift <= hololens.SHIFT_RANGE[1]
    assert np.abs(design @ [scale, shift] - prediction.values[seen]).max() < 1e-4


def test_seven_scenes_invalid_values_and_names(shared: Path, tmp_path: Path) -> None:
    source = shared / "data/redkitchen_7scenes"
    frames = seven_scenes.frames(source, tmp_path)
    assert len(frames) == 100
    assert frames[0].photo == tmp_path / "frame-000000.jpg"
    assert frames[0].view.camera.cx == 320.5
    depth, seen = seven_scenes.sensor_depth(source, "frame-000000")
    assert depth[seen].max() < 10
    assert depth[seen].min() > 0.1
    assert 0.5 < seen.mean() < 1
