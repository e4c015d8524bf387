"""camera.json says where the focal length comes from, and what speaks against it."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lotus_recon.calibration import stage
from lotus_recon.calibration.config import CameraConfig, OutputConfig
from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.io.images import PhotoInfo
from lotus_recon.io.intrinsics import DEFAULT_FOV_DEG
from lotus_recon.io.maps import save_prediction
from lotus_recon.types import Camera, DepthKind, DepthMap, NormalMap, Prediction

INFO = PhotoInfo(64, 48, 50.0, None, focal_source="EXIF (35 mm equivalent)", doubts=("it was cropped",))
DEPTH = DepthMap(np.full((48, 64), 2.0, np.float32), np.ones((48, 64), bool), DepthKind.METRIC)


def run(info: PhotoInfo, lens: CameraConfig, out: Path) -> dict[str, object]:
    stage.run(stage.Inputs("a.jpg", info, Prediction(DEPTH, None, {})), lens, OutputConfig(), out)
    content: dict[str, object] = json.loads((out / stage.CAMERA_FILE).read_text())
    return content


def test_source_and_doubt(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        content = run(INFO, CameraConfig(), tmp_path)
    assert (content["source"], content["doubt"]) == ("EXIF (35 mm equivalent)", ["it was cropped"])
    assert content["fx"] == pytest.approx(50 * 80 / np.hypot(36, 24))
    assert "a.jpg: it was cropped" in caplog.text


def test_no_doubt_where_there_is_none_or_the_lens_is_given(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert "doubt" not in run(replace(INFO, doubts=()), CameraConfig(), tmp_path)
        assert "doubt" not in run(INFO, CameraConfig(focal_px=70.0), tmp_path)
    assert not caplog.text


AFFINE = DepthMap(np.linspace(-1, 3, 48 * 64, dtype=np.float32).reshape(48, 64), DEPTH.valid, DepthKind.AFFINE)


@pytest.mark.parametrize(
    ("depth", "info", "lens", "guessed", "doubt"),
    [
        (AFFINE, INFO, CameraConfig(), ["depth range"], "shape guessed (depth range)"),
        (AFFINE, replace(INFO, focal_35mm=None, doubts=()), CameraConfig(), ["depth range", "focal length"],
         "shape guessed (depth range and focal length)"),
        (DEPTH, replace(INFO, focal_35mm=None, doubts=()), CameraConfig(), ["focal length"], "focal length guessed"),
        (DEPTH, INFO, CameraConfig(fov_deg=40.0), [], ""),
        (None, INFO, CameraConfig(), [], ""),
    ],
)  # fmt: skip
def test_what_nothing_tells_is_said_to_be_guessed(
    tmp_path: Path, depth: DepthMap | None, info: PhotoInfo, lens: CameraConfig, guessed: list[str], doubt: str
) -> None:
    facing = NormalMap(np.broadcast_to(np.array([0, 0, -1], np.float32), (48, 64, 3)).copy(), DEPTH.valid)
    prediction = Prediction(depth, facing if depth is None else None, {})
    made = stage.run(stage.Inputs("a.jpg", info, prediction), lens, OutputConfig(), tmp_path)
    assert json.loads((tmp_path / stage.CAMERA_FILE).read_text())["guessed"] == guessed
    if depth is not None:
        save_prediction(tmp_path / stage.PREDICTION_FILE, prediction)
        assert stage.Calibrated.load(tmp_path).doubt == made.doubt == doubt


def test_depth_as_single_view_writes_it() -> None:
    """Without normals the far end is twice as far as the near one, with true ones the shift is right."""
    rays = rays_in_cam(Camera.from_fov_deg(DEFAULT_FOV_DEG, 64, 48))
    normal = np.array([0.6, 0.3, -0.74])
    true = -1 / (rays @ (normal / np.linalg.norm(normal)))
    disparity = DepthMap((3 / true - 0.2).astype(np.float32), DEPTH.valid, DepthKind.AFFINE_DISPARITY)
    normals = NormalMap(np.broadcast_to(np.float32(normal / np.linalg.norm(normal)), (48, 64, 3)), DEPTH.valid)
    guessed = stage.depth_as_written(Prediction(disparity, None, {}), OutputConfig()).values
    near, far = np.percentile(guessed, [2, 98])
    assert far / near == pytest.approx(2, rel=0.02)
    shown = stage.depth_as_written(Prediction(disparity, normals, {}), OutputConfig()).values
    assert np.ptp(shown / true) / np.median(shown / true) < 0.1 < np.ptp(guessed / true) / np.median(guessed / true)
    assert stage.depth_as_written(Prediction(DEPTH, None, {}), OutputConfig()) is DEPTH
