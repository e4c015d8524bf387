"""Error bars of a reconstruction against true depth: planted errors, planted bars."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lotus_recon.errors import InputError
from lotus_recon.evaluation.config import UncertaintyConfig
from lotus_recon.evaluation.uncertainty_job import check_job, run_job
from lotus_recon.io.cameras import write_colmap_scene
from lotus_recon.io.maps import save_prediction
from lotus_recon.io.scene_maps import SceneMaps
from lotus_recon.types import DepthKind, DepthMap, Prediction
from lotus_recon.uncertainty.conformal import HELD_OUT, Calibration
from lotus_recon.uncertainty.results import UncertaintyResult
from tests.evaluation.test_alignment_job import scene, write_sfm

RIGHT, WRONG = 0.004, 0.04  # relative errors, of the left and the right half of each view


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run whose bars are right on the left (1.645 sigma hold the error) and too short on the right."""
    out = tmp_path / "run"
    write_sfm(out, metric=False)
    left = np.arange(40) < 20
    for view in scene().views:
        error = np.where(left, RIGHT, WRONG) * np.ones((30, 1))
        depth = DepthMap((2 * np.exp(error)).astype(np.float32), np.ones((30, 40), bool), DepthKind.SCENE)
        SceneMaps(out / "consistency").save(view, depth, np.ones((30, 40)))
        SceneMaps(out / "uncertainty").save(view, sigma=np.where(left, RIGHT, WRONG / 2) * np.ones((30, 1)))
    UncertaintyResult(out / "uncertainty", Calibration(1.0, 0.5, 100, HELD_OUT), ()).save()
    return out


@pytest.mark.parametrize("metres_per_unit", [1.0, 3.0])
def test_against_depth_maps(run: Path, tmp_path: Path, metres_per_unit: float) -> None:
    for name in "ab":
        depth = DepthMap(np.full((30, 40), 2 * metres_per_unit, np.float32), np.ones((30, 40), bool), DepthKind.METRIC)
        save_prediction(tmp_path / f"truth/{name}.npz", Prediction(depth, None, {}))
    config = UncertaintyConfig(scene=run, reference=tmp_path / "truth", metres_per_unit=metres_per_unit)
    scores = run_job(check_job(config), tmp_path / "scores")
    assert scores["coverage_90"] == pytest.approx(0.5)
    assert scores["coverage_50"] == 0
    assert scores["mean_width_90"] == pytest.approx(2 * 1.645 * (RIGHT + WRONG / 2) / 2, rel=1e-3)
    assert scores["ause_abs_rel"] == pytest.approx(0, abs=1e-6)
    assert scores["aurg_abs_rel"] > 0.3
    summary = json.loads((tmp_path / "scores/summary.json").read_text())
    assert summary["pixels"] == 2 * 30 * 40
    assert "100 errors at held-out points" in (tmp_path / "scores/table.md").read_text()


def test_metres_are_not_compared_with_a_scene_without(run: Path, tmp_path: Path) -> None:
    depth = DepthMap(np.full((30, 40), 2, np.float32), np.ones((30, 40), bool), DepthKind.METRIC)
    save_prediction(tmp_path / "truth/a.npz", Prediction(depth, None, {}))
    config = UncertaintyConfig(scene=run, reference=tmp_path / "truth")
    with pytest.raises(InputError, match="give --metres-per-unit, or reconstruct with --scale-from"):
        run_job(check_job(config), tmp_path / "scores")
    assert not (tmp_path / "scores").exists()
    shutil.rmtree(run / "sfm")
    write_sfm(run, metric=True)
    assert run_job(check_job(config), tmp_path / "scores")["coverage_90"] == pytest.approx(0.5)


def test_against_points(run: Path, tmp_path: Path) -> None:
    """The 60 points at z = 2, in the pixels that see them."""
    write_colmap_scene(scene(), tmp_path / "model")
    job = check_job(UncertaintyConfig(scene=run, reference=tmp_path / "model"))
    scores = run_job(job, tmp_path / "scores")
    left = sum((30 * (x + pose) / 2 + 20 < 20) for x, *_ in scene().points.xyz for pose in (0, -0.2))
    assert scores["coverage_90"] == pytest.approx(left / 120, abs=0.01)


def test_bad_input_is_named(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs --scene"):
        check_job(UncertaintyConfig(scene=run))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no depth maps"):
        check_job(UncertaintyConfig(scene=run, reference=tmp_path / "empty"))
    others = tuple(replace(view, name=f"other{i}.png") for i, view in enumerate(scene().views))
    write_colmap_scene(replace(scene(), views=others), tmp_path / "model")
    with pytest.raises(InputError, match="names of photos must agree"):
        check_job(UncertaintyConfig(scene=run, reference=tmp_path / "model"))
    (run / "uncertainty/uncertainty.json").unlink()
    with pytest.raises(InputError, match=r"uncertainty\.json"):
        check_job(UncertaintyConfig(scene=run, reference=tmp_path / "empty"))
