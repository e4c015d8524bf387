"""The stage on planted errors: bars hold them, and say where they come from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.geometry.points import P90_SIGMAS
from lotus_recon.geometry.pose import transform
from lotus_recon.io.scene_maps import SceneMaps
from lotus_recon.types import BoolArray, Camera, DepthKind, DepthMap, Scene, SparsePoints, View
from lotus_recon.uncertainty import stage
from lotus_recon.uncertainty.conformal import FEWEST_POINTS, HELD_OUT, ROOMS
from lotus_recon.uncertainty.results import UncertaintyResult
from lotus_recon.uncertainty.stage import Inputs, run

CAMERA = Camera(320, 240, 280.0, 280.0, 160.0, 120.0)
SHAPE = (240, 320)
LEFT = np.broadcast_to(np.arange(320) < 160, SHAPE)
HOLE = np.s_[200:, :40]


def wall(count: int, seed: int = 0) -> Scene:
    """Four cameras side by side before a wall at z = 2, and points on it that all of them see."""
    views = []
    for number in range(4):
        pose = np.eye(4)
        pose[0, 3] = -0.15 * number
        views.append(View(f"{number}.png", CAMERA, pose))
    random = np.random.default_rng(seed)
    xyz = np.stack([random.uniform(-0.6, 1.0, count), random.uniform(-0.8, 0.8, count), np.full(count, 2.0)], axis=1)
    xy = [140 * transform(view.cam_from_world, xyz)[:, :2] + [160, 120] for view in views]
    every, n = np.arange(count), len(views)
    points = SparsePoints(
        xyz, np.zeros((count, 3), np.uint8), np.full(count, 0.3), np.tile(every, n), np.repeat(range(n), count),
        np.concatenate(xy),
    )  # fmt: skip
    return Scene(tuple(views), points)


def errors(seed: int) -> NDArray[np.float64]:
    """(H, W) relative: 8 % where views agree, on the left, and 50 % where they do not."""
    return np.random.default_rng(seed).normal(0, np.where(LEFT, 0.08, 0.5))


def estimated(scene: Scene, held_out: BoolArray, folder: Path) -> UncertaintyResult:
    maps = SceneMaps(folder / "consistency")
    confidence = np.where(LEFT, 0.9, 0.2)
    for number, view in enumerate(scene.views):
        valid = np.ones(SHAPE, bool)
        valid[HOLE] = False
        depth = (2 * np.exp(errors(number))).astype(np.float32)
        maps.save(view, DepthMap(depth, valid, DepthKind.SCENE), confidence)
    (folder / "out").mkdir(parents=True)
    return run(Inputs(scene, held_out, folder / "consistency", folder / "prediction"), folder / "out")


def half(count: int) -> BoolArray:
    return np.arange(count) % 2 == 0


def test_bars_hold_nine_errors_of_ten_and_are_wide_where_errors_are_large(tmp_path: Path) -> None:
    scene = wall(2000)
    result = estimated(scene, half(2000), tmp_path)
    assert result.calibration.source == HELD_OUT
    assert result.calibration.errors > 1000
    found = SceneMaps(result.folder)
    inside = []
    for number, view in enumerate(scene.views):
        sigma = found.load(view).sigma
        assert sigma is not None
        assert (sigma[HOLE] == 0).all()
        known = sigma > 0
        assert known.sum() == 240 * 320 - 1600
        inside.append((np.abs(errors(number)) <= P90_SIGMAS * sigma)[known].mean())
        assert np.median(sigma[:, 200:]) > 1.5 * np.median(sigma[:200, :120])
    assert np.mean(inside) == pytest.approx(0.9, abs=0.06)
    assert not (result.folder / "work").exists()


def test_too_few_points_leave_the_bars_of_rooms(tmp_path: Path) -> None:
    scene = wall(2 * FEWEST_POINTS - 10)
    result = estimated(scene, half(2 * FEWEST_POINTS - 10), tmp_path)
    assert result.calibration.source == ROOMS
    assert UncertaintyResult.load(result.folder).calibration == result.calibration


def test_no_points_at_all_is_no_fault(tmp_path: Path) -> None:
    scene = Scene(wall(4).views, SparsePoints.empty())
    result = estimated(scene, np.zeros(0, bool), tmp_path)
    assert result.calibration.source == ROOMS
    assert [view.name for view in result.views] == [view.name for view in scene.views]
    assert all(0 < view.median_sigma <= view.p90_sigma for view in result.views)


def test_good_points_say_nothing_of_pixels_less_sure_than_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Depth that is exact where the points are, on the left, may be poor elsewhere."""
    scene, maps = wall(2000), SceneMaps(tmp_path / "consistency")
    for view in scene.views:
        exact = DepthMap(np.full(SHAPE, 2, np.float32), np.ones(SHAPE, bool), DepthKind.SCENE)
        maps.save(view, exact, np.where(LEFT, 0.9, 0.01))
    on_left = scene.points.xyz[:, 0] < -0.1
    found = []
    for name, fewest in (("points", FEWEST_POINTS), ("rooms", 10_000)):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(stage, "FEWEST_POINTS", fewest)
        result = run(Inputs(scene, on_left, tmp_path / "consistency", tmp_path / "prediction"), tmp_path / name)
        found.append((result.calibration.source, SceneMaps(result.folder).load(scene.views[0]).sigma))
    (source, by_points), (_, by_rooms) = found
    assert source == HELD_OUT
    assert by_points is not None
    assert by_rooms is not None
    ratio = by_points / by_rooms
    assert np.median(ratio[~LEFT]) == pytest.approx(1)
    assert np.unique(ratio.round(3)) == pytest.approx([0.1, 1.0]), "exact points on the left, and rooms"
    assert (ratio[LEFT] < 0.5).mean() > (ratio[~LEFT] < 0.5).mean() + 0.2


def test_only_held_out_points_calibrate(tmp_path: Path) -> None:
    """The others lie twice as far as the maps say."""
    scene = wall(2000)
    expected = estimated(scene, half(2000), tmp_path / "right")
    wrong = np.where(half(2000)[:, None], scene.points.xyz, 2 * scene.points.xyz)
    found = estimated(replace(scene, points=replace(scene.points, xyz=wrong)), half(2000), tmp_path / "wrong")
    assert found.calibration.factor == pytest.approx(expected.calibration.factor, rel=0.1)
