"""The stage on a scene with exact depth: what was planted comes back, whatever the kind, the noise and the gaps."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.alignment.config import AdvancedAlignment, AlignmentConfig
from lotus_recon.alignment.control_points import held_out_points, relative_depth_sigma
from lotus_recon.alignment.results import AlignmentResult
from lotus_recon.alignment.stage import Inputs, run
from lotus_recon.config import Runtime
from lotus_recon.errors import AlignmentError, InputError
from lotus_recon.io.maps import load_prediction, save_prediction
from lotus_recon.types import DepthKind, DepthMap, Prediction, Scene, SparsePoints
from tests.alignment.analytic import Truth, make_scene

CONFIG = AlignmentConfig()


def predict(truth: Truth, folder: Path, kind: DepthKind, bend: float = 0.0, skip: tuple[int, ...] = ()) -> Path:
    """Store maps of the given kind with a random scale and shift per view, and a smooth relative error ``bend``."""
    rng = np.random.default_rng(7)
    for index, (view, depth) in enumerate(zip(truth.scene.views, truth.depths, strict=True)):
        scale, shift = rng.uniform(0.5, 3), rng.uniform(-0.1, 0.5)
        wave = np.sin(np.arange(depth.shape[1]) / 15 + index) * np.ones((depth.shape[0], 1))
        bent = depth * (1 + bend * wave)
        values = {
            DepthKind.AFFINE: scale * bent + shift,
            DepthKind.AFFINE_DISPARITY: scale / bent + shift,
            DepthKind.SCALE_FREE: scale * bent,
            DepthKind.METRIC: bent,
        }[kind]
        if index not in skip:
            save(folder, view.stem, values, kind)
    return folder


def save(folder: Path, stem: str, values: NDArray, kind: DepthKind) -> None:
    depth = DepthMap(values.astype(np.float32), np.ones(values.shape, bool), kind)
    save_prediction(folder / f"{stem}.npz", Prediction(depth, None))


def align(
    truth: Truth, predictions: Path, out: Path, config: AlignmentConfig = CONFIG, seed: int = 0
) -> AlignmentResult:
    out.mkdir(exist_ok=True)
    return run(Inputs(truth.scene, predictions, Runtime(seed=seed)), config, out)


def errors(truth: Truth, result: AlignmentResult) -> NDArray[np.float64]:
    """Median relative depth error of each view."""
    found = []
    for view, depth in zip(truth.scene.views, truth.depths, strict=True):
        aligned = load_prediction(result.depth_file(view.name)).depth
        assert aligned is not None
        assert aligned.kind is DepthKind.SCENE
        found.append(np.median(np.abs(aligned.values / depth - 1)[aligned.valid]))
    return np.array(found)


def test_noise_shrinks_by_what_views_share(tmp_path: Path) -> None:
    """Points off by 3 %, views with some 15 of them: together they are better than each alone."""
    truth = make_scene(views=8, points=120, noise_px=3.0)
    predictions = predict(truth, tmp_path / "p", DepthKind.AFFINE_DISPARITY)
    together = errors(truth, align(truth, predictions, tmp_path / "a"))
    config = AlignmentConfig(advanced=AdvancedAlignment(joint=False))
    alone = errors(truth, align(truth, predictions, tmp_path / "b", config))
    assert np.median(together) < 0.01
    assert together.max() < alone.max()


@pytest.mark.parametrize("kind", [DepthKind.AFFINE, DepthKind.AFFINE_DISPARITY, DepthKind.SCALE_FREE, DepthKind.METRIC])
def test_every_kind_comes_to_scale(tmp_path: Path, kind: DepthKind) -> None:
    truth = make_scene()
    result = align(truth, predict(truth, tmp_path / "p", kind), tmp_path / "a")
    assert errors(truth, result).max() < 0.005
    assert all(view.status == "points" and view.inliers > 0.9 * view.points for view in result.views)


def test_bent_maps_are_corrected_locally(tmp_path: Path) -> None:
    truth = make_scene(points=1500)
    predictions = predict(truth, tmp_path / "p", DepthKind.AFFINE, bend=0.03)
    result = align(truth, predictions, tmp_path / "a")
    medians = result.medians
    assert medians.median_before is not None
    assert medians.median_after is not None
    assert medians.median_before > 0.008
    assert medians.median_after < 0.4 * medians.median_before
    assert errors(truth, result).max() < 0.006


def test_the_error_of_points_is_not_that_of_the_map(tmp_path: Path) -> None:
    noisy, few = make_scene(noise_px=1.0), make_scene(points=100)
    points = dataclasses.replace(few.scene.points, error_px=np.zeros_like(few.scene.points.error_px))
    sure = dataclasses.replace(few, scene=Scene(few.scene.views, points))
    for name, truth, bend, low, high in (("points", noisy, 0.0, 0.0, 0.1), ("map", sure, 0.1, 0.3, 1.0)):
        result = align(truth, predict(truth, tmp_path / f"{name}_maps", DepthKind.AFFINE, bend), tmp_path / name)
        measured, own = (np.median([getattr(v, key) for v in result.views]) for key in ("p90_after", "own_p90_after"))
        assert measured > 0.01
        assert low * measured <= own <= high * measured


def test_views_without_points_follow_their_neighbours(tmp_path: Path) -> None:
    truth = make_scene(views=7, blind=(2, 6))
    predictions = predict(truth, tmp_path / "p", DepthKind.AFFINE_DISPARITY)
    result = align(truth, predictions, tmp_path / "a")
    assert [result.views[i].status for i in (2, 6)] == ["overlap", "overlap"]
    assert [result.views[i].points for i in (2, 6)] == [0, 0]
    assert errors(truth, result)[[2, 6]].max() < 0.01
    alone = align(truth, predictions, tmp_path / "b", AlignmentConfig(advanced=AdvancedAlignment(joint=False)))
    assert [alone.views[i].status for i in (2, 6)] == ["rejected", "rejected"]


def test_strictly_held_out_points_are_never_used(tmp_path: Path) -> None:
    truth = make_scene(points=600, noise_px=0.5)
    predictions = predict(truth, tmp_path / "p", DepthKind.AFFINE, bend=0.03)
    # Views whose held-out points disagree are rejected, so all are accepted here.
    config = AlignmentConfig(holdout_strict=True, advanced=AdvancedAlignment(min_inlier_ratio=0))
    align(truth, predictions, tmp_path / "a", config)
    held = held_out_points(truth.scene, config.holdout, 0)
    assert held.mean() == pytest.approx(0.2, abs=0.01)
    points = truth.scene.points
    moved = np.where(held[:, None], points.xyz * 7 + 3, points.xyz)
    scene = Scene(
        truth.scene.views, dataclasses.replace(points, xyz=moved, error_px=np.where(held, 99, points.error_px))
    )
    align(dataclasses.replace(truth, scene=scene), predictions, tmp_path / "b", config)
    for view in truth.scene.views:
        first, second = (tmp_path / run_dir / f"{view.stem}.npz" for run_dir in "ab")
        assert first.read_bytes() == second.read_bytes()


def test_held_out_points_are_used_in_the_end_unless_strict(tmp_path: Path) -> None:
    truth = make_scene(noise_px=1.0)
    predictions = predict(truth, tmp_path / "p", DepthKind.AFFINE)
    strict = align(truth, predictions, tmp_path / "a", AlignmentConfig(holdout_strict=True))
    final = align(truth, predictions, tmp_path / "b")
    none = align(truth, predictions, tmp_path / "c", AlignmentConfig(holdout=0))
    assert strict.views[0].points < final.views[0].points == none.views[0].points
    assert strict.views[0].median_before == final.views[0].median_before
    assert none.views[0].median_before is None
    assert none.views[0].scale == final.views[0].scale


def test_two_runs_are_the_same(tmp_path: Path) -> None:
    truth = make_scene(noise_px=1.0, points=600)
    predictions = predict(truth, tmp_path / "p", DepthKind.AFFINE_DISPARITY, bend=0.02)
    runs = [align(truth, predictions, tmp_path / name) for name in "ab"]
    assert runs[0].views == runs[1].views
    for file in sorted((tmp_path / "a").iterdir()):
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_result_is_read_back(tmp_path: Path) -> None:
    truth = make_scene(views=4)
    predictions = predict(truth, tmp_path / "p", DepthKind.AFFINE, skip=(1,))
    result = align(truth, predictions, tmp_path / "a")
    assert AlignmentResult.load(tmp_path / "a") == result
    assert result.usable == ("00.jpg", "02.jpg", "03.jpg")


def test_sky_is_cut(tmp_path: Path) -> None:
    """Pixels whose disparity means no finite depth become invalid, the rest of the view stays right."""
    truth = make_scene()
    folder = predict(truth, tmp_path / "p", DepthKind.AFFINE_DISPARITY)
    for view, depth in zip(truth.scene.views, truth.depths, strict=True):
        disparity = 1 / depth + 0.3
        disparity[:10] = 0.0
        save(folder, view.stem, disparity, DepthKind.AFFINE_DISPARITY)
    result = align(truth, folder, tmp_path / "a")
    for view in truth.scene.views:
        aligned = load_prediction(result.depth_file(view.name)).depth
        assert aligned is not None
        assert not aligned.valid[:10].any()
        assert aligned.valid[10:].all()
    assert errors(truth, result).max() < 0.01


def test_far_percentile_drops_the_far_pixels(tmp_path: Path) -> None:
    truth = make_scene()
    folder = predict(truth, tmp_path / "p", DepthKind.AFFINE)
    result = align(truth, folder, tmp_path / "a", AlignmentConfig(far_percentile=60))
    limit = np.percentile(np.stack(truth.depths), 60)
    kept = []
    for view in truth.scene.views:
        aligned = load_prediction(result.depth_file(view.name)).depth
        assert aligned is not None
        assert aligned.values[aligned.valid].max() < 1.01 * limit
        kept.append(aligned.valid.mean())
    assert np.mean(kept) == pytest.approx(0.6, abs=0.02)


def test_metric_depth_passes_through(tmp_path: Path) -> None:
    truth = make_scene(views=3)
    metric = dataclasses.replace(truth, scene=Scene(truth.scene.views, SparsePoints.empty(), metric=True))
    config = AlignmentConfig(align="none")
    folder = predict(truth, tmp_path / "p", DepthKind.METRIC)
    result = align(metric, folder, tmp_path / "a", config)
    passed = load_prediction(result.depth_file("00.jpg")).depth
    assert passed is not None
    assert passed.kind is DepthKind.METRIC
    np.testing.assert_array_equal(passed.values, truth.depths[0].astype(np.float32))
    with pytest.raises(InputError, match="--pose-unit m"):
        align(truth, folder, tmp_path / "b", config)
    with pytest.raises(InputError, match="no depth predictions"):
        align(metric, tmp_path / "empty", tmp_path / "d", config)
    with pytest.raises(InputError, match=r"00\.jpg is AFFINE"):
        align(metric, predict(truth, tmp_path / "q", DepthKind.AFFINE), tmp_path / "c", config)


def test_nothing_to_align_to(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    truth = make_scene(views=3)
    bare = dataclasses.replace(truth, scene=Scene(truth.scene.views, SparsePoints.empty()))
    folder = predict(truth, tmp_path / "p", DepthKind.AFFINE)
    with pytest.raises(AlignmentError, match=r"none of 3 .* too few sparse points \(3 views\)"):
        align(bare, folder, tmp_path / "a")
    with pytest.raises(InputError, match="no depth predictions"):
        align(truth, tmp_path / "empty", tmp_path / "b")
    save(folder, "01", np.ones((4, 4)), DepthKind.AFFINE)
    with pytest.raises(InputError, match=r"01\.npz: depth is 4x4 pixels"):
        align(truth, folder, tmp_path / "c")


def test_a_view_that_fits_nothing_is_rejected_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    truth = make_scene(views=4)
    folder = predict(truth, tmp_path / "p", DepthKind.AFFINE)
    save(folder, "02", -truth.depths[2], DepthKind.AFFINE)
    with caplog.at_level(logging.WARNING, "lotus_recon"):
        result = align(truth, folder, tmp_path / "a")
    assert result.views[2].status == "rejected"
    assert "does not grow" in result.views[2].reason
    assert not result.depth_file("02.jpg").exists()
    assert f"the depth of 02.jpg could not be aligned: {result.views[2].reason}" in caplog.messages


def test_a_map_that_only_its_local_correction_brings_near_is_kept(tmp_path: Path) -> None:
    """By scale and shift alone fewer points agree with it than it takes not to be rejected."""
    truth = make_scene(points=1500)
    folder = predict(truth, tmp_path / "p", DepthKind.AFFINE)
    wave = np.sin(np.arange(truth.depths[2].shape[1]) / 8)
    save(folder, "02", truth.depths[2] * (1 + 0.5 * wave), DepthKind.AFFINE)
    result = align(truth, folder, tmp_path / "a")
    view = result.views[2]
    assert view.status == "points"
    assert view.inliers < 0.2 * view.points < CONFIG.advanced.min_inlier_ratio * view.points
    assert view.held_out_inliers > 0.9 * view.held_out
    assert errors(truth, result).max() < 0.03


def with_shuffled_observations(truth: Truth, index: int) -> Truth:
    """A scene in which one view sees every point where another one is."""
    points = truth.scene.points
    rows, xy = points.rows_of(index), points.obs_xy.copy()
    xy[rows] = xy[np.random.default_rng(0).permutation(rows)]
    scene = Scene(truth.scene.views, dataclasses.replace(points, obs_xy=xy))
    return dataclasses.replace(truth, scene=scene)


def test_a_view_whose_held_out_points_disagree_is_rejected(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    truth = with_shuffled_observations(make_scene(points=1500), 2)
    folder = predict(truth, tmp_path / "p", DepthKind.AFFINE)
    with caplog.at_level(logging.WARNING, "lotus_recon"):
        result = align(truth, folder, tmp_path / "a")
    view = result.views[2]
    assert [each.status for each in result.views] == ["points"] * 2 + ["rejected"] + ["points"] * 3
    assert view.held_out_inliers < CONFIG.advanced.min_inlier_ratio * view.held_out
    assert view.reason == (
        f"{view.held_out_inliers} of {view.held_out} held-out points are within 5% of the corrected map, "
        "not 30% of them (alignment.advanced.min_inlier_ratio)"
    )
    assert f"the depth of 02.jpg could not be aligned: {view.reason}" in caplog.messages
    assert "90th-percentile" not in caplog.text  # one warning of a view is enough
    assert not result.depth_file("02.jpg").exists()
    lenient = AlignmentConfig(advanced=AdvancedAlignment(min_inlier_ratio=0))
    assert align(truth, folder, tmp_path / "b", lenient).views[2].status == "points"


def test_fewer_held_out_points_than_ten_reject_nothing(tmp_path: Path) -> None:
    truth = with_shuffled_observations(make_scene(points=60), 2)
    result = align(truth, predict(truth, tmp_path / "p", DepthKind.AFFINE), tmp_path / "a")
    view = result.views[2]
    assert 0 < view.held_out < 10
    assert view.held_out_inliers < CONFIG.advanced.min_inlier_ratio * view.held_out
    assert view.usable


def test_a_view_that_is_wrong_in_a_part_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    truth = make_scene(views=4)
    folder = predict(truth, tmp_path / "p", DepthKind.AFFINE)
    depth = truth.depths[1].copy()
    depth[:, : depth.shape[1] // 4] *= np.random.default_rng(0).uniform(1.5, 4, (depth.shape[0], 1))
    save(folder, "01", depth, DepthKind.AFFINE)
    with caplog.at_level(logging.WARNING, "lotus_recon"):
        align(truth, folder, tmp_path / "a")
    warned = [message for message in caplog.messages if "90th-percentile held-out depth error" in message]
    assert len(warned) == 1
    assert "01.jpg" in warned[0]
    assert "00.jpg" not in warned[0]
    assert "try another --model, or more photos that overlap these" in warned[0]


def test_expected_error_of_points_follows_the_baseline() -> None:
    """For two views side by side, depth z from disparity f b / z has the error z^2 / (f b) per pixel of disparity."""
    truth = make_scene(views=2, points=300)
    points = truth.scene.points
    sigma = relative_depth_sigma(truth.scene)
    view = truth.scene.views[0]
    baseline = np.linalg.norm(truth.scene.views[1].center_in_world - view.center_in_world)
    depth = np.array([view.cam_from_world[2, :3] @ points.xyz[p] + view.cam_from_world[2, 3] for p in points.obs_point])
    # Each of the two pixels is off by 0.5, their difference by 0.5 * sqrt(2).
    expected = 0.5 * np.sqrt(2) * depth / (view.camera.fx * baseline)
    own = points.obs_view == 0
    np.testing.assert_allclose(sigma[own], expected[own], rtol=0.15)


@pytest.mark.parametrize("unit", [0.01, 300.0])
def test_the_unit_of_the_scene_does_not_matter(tmp_path: Path, unit: float) -> None:
    truth = make_scene(points=300, noise_px=0.5)
    predictions = predict(truth, tmp_path / "p", DepthKind.AFFINE, bend=0.02)
    poses = [view.cam_from_world.copy() for view in truth.scene.views]
    for pose in poses:
        pose[:3, 3] *= unit
    views = [dataclasses.replace(v, cam_from_world=p) for v, p in zip(truth.scene.views, poses, strict=True)]
    points = dataclasses.replace(truth.scene.points, xyz=unit * truth.scene.points.xyz)
    scaled = Truth(Scene(tuple(views), points), tuple(unit * depth for depth in truth.depths))
    one, other = (align(t, predictions, tmp_path / name) for t, name in ((truth, "one"), (scaled, "other")))
    for a, b in zip(one.views, other.views, strict=True):
        assert b.scale == pytest.approx(unit * a.scale, rel=1e-3)  # type: ignore[operator]
        assert b.median_after == pytest.approx(a.median_after, rel=0.02)
        depths = [load_prediction(result.depth_file(a.name)).depth for result in (one, other)]
        assert depths[0] is not None
        assert depths[1] is not None
        np.testing.assert_allclose(depths[1].values / unit, depths[0].values, rtol=2e-3)
