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
from lotus_recon.io.images import PhotoInfo
from lotus_recon.types import DepthKind, DepthMap, Prediction

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
