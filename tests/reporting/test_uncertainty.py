"""Figures of error bars: maps with known standard deviations, and errors that are drawn with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lotus_recon.io.scene_maps import SceneMaps
from lotus_recon.reporting.uncertainty import uncertainty_figures
from lotus_recon.types import Camera, FloatArray, View
from lotus_recon.uncertainty.conformal import HELD_OUT, Calibration
from lotus_recon.uncertainty.results import UncertaintyResult, ViewUncertainty

CAMERA = Camera(64, 48, 60.0, 60.0, 32.0, 24.0)


def figures(folder: Path, maps: Sequence[FloatArray]) -> dict[str, Any]:
    """Of one view for each map (48, 64)."""
    views = [View(f"{number}.png", CAMERA, np.eye(4)) for number in range(len(maps))]
    for view, sigma in zip(views, maps, strict=True):
        SceneMaps(folder).save(view, sigma=sigma.astype(np.float32))
    rows = tuple(ViewUncertainty(view.name, 0.01, 0.02) for view in views)
    unmapped = View("none.png", CAMERA, np.eye(4))
    result = UncertaintyResult(folder, Calibration(1.5, 0.4, 152, HELD_OUT), rows)
    return uncertainty_figures(result, [*views, unmapped])


def test_calibration_and_standard_deviations_are_told(tmp_path: Path) -> None:
    told = figures(tmp_path, [np.full((48, 64), 0.01)])
    assert (told["median_sigma_percent"], told["p90_sigma_percent"]) == pytest.approx((1, 1))
    assert (told["calibration"]["errors"], told["calibration"]["source"]) == (152, "held-out points")
    assert told["views"] == [{"name": "0.png", "median_sigma_percent": 1, "p90_sigma_percent": 2}]


def test_pixels_of_all_views_count_and_those_without_depth_do_not(tmp_path: Path) -> None:
    sigma = np.geomspace(1e-3, 0.3, 48 * 64).reshape(48, 64)
    holes = np.where(np.arange(64) < 32, 0.02, 0)
    told = figures(tmp_path, [sigma, np.tile(holes, (48, 1))])
    pixels = np.concatenate([sigma.ravel(), np.full(48 * 32, 0.02)])
    assert told["median_sigma_percent"] == pytest.approx(100 * np.median(pixels), rel=1e-3)
    assert told["p90_sigma_percent"] == pytest.approx(100 * np.percentile(pixels, 90), rel=1e-3)


def test_without_any_depth_nothing_is_said(tmp_path: Path) -> None:
    assert set(figures(tmp_path, [np.zeros((48, 64))])) == {"calibration", "views"}
