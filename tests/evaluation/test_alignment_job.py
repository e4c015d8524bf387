"""Aligned depth with planted errors, against held-out points and against a sensor."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lotus_recon.errors import InputError
from lotus_recon.evaluation.alignment_job import at_points, check_job, run_job
from lotus_recon.evaluation.config import AlignmentEvalConfig
from lotus_recon.io.cameras import SourceCamera, write_colmap_scene, write_source_cameras
from lotus_recon.io.maps import save_prediction
from lotus_recon.sfm import frame
from lotus_recon.sfm.stage import SOURCES
from lotus_recon.types import BoolArray, Camera, DepthKind, DepthMap, Prediction, Scene, SparsePoints, View

CAMERA = Camera(40, 30, 30.0, 30.0, 20.0, 15.0)


def scene() -> Scene:
    """Two views beside each other and 60 points at z = 2, all seen by both."""
    poses = [np.eye(4), np.eye(4)]
    poses[1][0, 3] = -0.2
    views = tuple(View(f"{name}.png", CAMERA, pose) for name, pose in zip("ab", poses, strict=True))
    x, y = np.meshgrid(np.linspace(-0.8, 0.8, 10), np.linspace(-0.7, 0.7, 6))
    xyz = np.stack([x.ravel(), y.ravel(), np.full(60, 2.0)], axis=1)
    xy = [np.stack([30 * (xyz[:, 0] + pose[0, 3]) / 2 + 20, 30 * xyz[:, 1] / 2 + 15], 1) for pose in poses]
    every = np.arange(60)
    return Scene(
        views,
        SparsePoints(xyz, np.zeros((60, 3), np.uint8), np.full(60, 0.5), np.tile(every, 2), np.repeat([0, 1], 60),
                     np.concatenate(xy)),
    )  # fmt: skip


def half(scene: Scene, share: float, seed: int) -> BoolArray:
    return np.arange(len(scene.points.xyz)) % 2 == 0


def write_sfm(out: Path, metric: bool) -> None:
    """What the sfm stage leaves of ``scene()``."""
    (out / "sfm/sparse").mkdir(parents=True)
    write_colmap_scene(scene(), out / "sfm/sparse")
    cameras = {view.name: SourceCamera.of_pinhole(view.camera) for view in scene().views}
    write_source_cameras(cameras, out / "sfm" / SOURCES)
    (out / "sfm" / frame.FRAME).write_text(json.dumps({"metric": metric, "sfm": {}}))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A run without metres whose maps are 1 % and 3 % too deep."""
    write_sfm(tmp_path, metric=False)
    (tmp_path / "config.yaml").write_text("alignment: {holdout: 0.5, holdout_strict: true}\nruntime: {seed: 0}\n")
    for name, factor in (("a", 1.01), ("b", 1.03)):
        depth = DepthMap(np.full((30, 40), 2 * factor, np.float32), np.ones((30, 40), bool), DepthKind.SCENE)
        save_prediction(tmp_path / f"alignment/{name}.npz", Prediction(depth, None, {}))
    return tmp_path


def test_planted_errors_are_found_at_held_out_points(out: Path, tmp_path: Path) -> None:
    job = check_job(AlignmentEvalConfig(scene=out), half)
    assert job.strict
    scores = run_job(job, tmp_path / "scores")
    assert scores["median"] == pytest.approx(0.02, abs=1e-5)  # of 1 % and 3 %
    assert scores["share_below_2%"] == pytest.approx(0.5, abs=0.02)
    assert scores["share_below_5%"] == 1
    assert "(strict), 2 views" in (tmp_path / "scores/table.md").read_text()


def test_only_the_chosen_points_count() -> None:
    depth = DepthMap(np.full((30, 40), 2.2, np.float32), np.ones((30, 40), bool), DepthKind.SCENE)
    chosen = np.zeros(60, bool)
    assert len(at_points(scene(), "a.png", depth, chosen)) == 0
    chosen[:7] = True
    assert at_points(scene(), "a.png", depth, chosen) == pytest.approx(np.full(7, 0.1), abs=1e-6)


def test_a_sensor_is_compared_in_metres(out: Path, tmp_path: Path) -> None:
    for name in "ab":
        valid = np.ones((30, 40), bool)
        valid[:5] = False
        depth = DepthMap(np.full((30, 40), 4.0, np.float32), valid, DepthKind.METRIC)
        save_prediction(tmp_path / f"sensor/{name}.npz", Prediction(depth, None, {}))
    config = AlignmentEvalConfig(scene=out, sensor=tmp_path / "sensor", metres_per_unit=2.0)
    scores = run_job(check_job(config, half), tmp_path / "scores")
    assert scores["median"] == pytest.approx(0.02, abs=1e-5)
    with pytest.raises(InputError, match=r"a\.npz is in metres, and the scene is not: give --metres-per-unit"):
        run_job(check_job(replace(config, metres_per_unit=None), half), tmp_path / "scores")


def test_what_is_not_there_is_named(out: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--scene"):
        check_job(AlignmentEvalConfig(), half)
    with pytest.raises(InputError, match="mvs"):
        check_job(AlignmentEvalConfig(scene=out, stage="mvs"), half)
    with pytest.raises(InputError, match="allowed are alignment"):
        check_job(AlignmentEvalConfig(scene=out, stage="fusion"), half)
    with pytest.raises(InputError, match="held out"):
        check_job(AlignmentEvalConfig(scene=out), lambda scene, share, seed: np.zeros(60, bool))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no depth maps"):
        check_job(AlignmentEvalConfig(scene=out, sensor=tmp_path / "empty"), half)
    with pytest.raises(InputError, match="--scene .*empty has no sfm/sparse: it must be the output folder"):
        check_job(AlignmentEvalConfig(scene=tmp_path / "empty"), half)


def test_maps_of_a_stage_that_the_last_run_left_out_are_not_scored(out: Path) -> None:
    (out / "alignment").rename(out / "mvs")
    config = AlignmentEvalConfig(scene=out, stage="mvs")
    assert len(check_job(config, half).maps) == 2
    file = out / "config.yaml"
    file.write_text(file.read_text() + "mvs: {mvs: false}\n")
    with pytest.raises(InputError, match=r"--stage mvs: the last run .* no such stage \(it needs --mvs, and .*earlier"):
        check_job(config, half)
    with pytest.raises(InputError, match=r"--stage integration: .* \(it needs --fusion normal\)"):
        check_job(AlignmentEvalConfig(scene=out, stage="integration"), half)
