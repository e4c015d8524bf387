"""Integrated depth maps: detail from normals, the large shape and the scale from the depth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.config import Runtime
from lotus_recon.errors import InputError
from lotus_recon.geometry.normals import angle_deg, normalized, normals_from_depth
from lotus_recon.io.maps import load_prediction, save_maps, save_prediction
from lotus_recon.io.scene_maps import SceneMaps, ViewMaps
from lotus_recon.normal_integration import scale
from lotus_recon.normal_integration import stage as normal_integration
from lotus_recon.normal_integration.config import NormalIntegrationConfig
from lotus_recon.normal_integration.guided import GuidedViews
from lotus_recon.types import DepthKind, DepthMap, NormalMap, Prediction, Scene, SparsePoints, View
from tests.alignment.analytic import CAMERA, true_depth, views_on_arc

SIZE = (96, 72)
CONFIG = NormalIntegrationConfig()


def the_views() -> tuple[View, ...]:
    return tuple(replace(view, camera=CAMERA.resized(*SIZE)) for view in views_on_arc(2, 0.35))


def ripple(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """A relative error of the depth, different in every pixel."""
    return 1 + 0.005 * np.random.default_rng(0).standard_normal(shape)


def write(root: Path, normals: bool = True, confidence: float | None = None) -> normal_integration.Inputs:
    seen = the_views()
    for view in seen:
        truth = true_depth(view)
        valid = np.ones(truth.shape, bool)
        valid[:5] = False
        depth = DepthMap((truth * ripple(truth.shape)).astype(np.float32), valid, DepthKind.SCENE)
        found, known = normals_from_depth(truth, np.ones_like(valid), view.camera)
        weight = None if confidence is None else np.full(truth.shape, confidence)
        save_maps(root / "depth" / f"{view.stem}.npz", depth, confidence=weight)
        predicted = Prediction(depth, NormalMap(found, known) if normals else None)
        save_prediction(root / "prediction" / f"{view.stem}.npz", predicted)
    (root / "out").mkdir()
    return normal_integration.Inputs(
        Scene(seen, SparsePoints.empty()), root / "depth", root / "prediction", np.zeros(0, bool), Runtime(device="cpu")
    )


def maps_of(folder: Path, view: View) -> ViewMaps:
    return SceneMaps(folder).load(view)


def test_ripples_of_the_depth_go_and_its_shape_stays(tmp_path: Path) -> None:
    inputs = write(tmp_path, confidence=0.7)
    result = normal_integration.run(inputs, CONFIG, tmp_path / "out")
    assert [view.status for view in result.views] == ["integrated"] * 2
    assert normal_integration.IntegratedViews.load(tmp_path / "out") == result
    for view, report in zip(inputs.scene.views, result.views, strict=True):
        before, after = (maps_of(tmp_path / name, view).required_depth for name in ("depth", "out"))
        assert after.kind is DepthKind.SCENE
        np.testing.assert_array_equal(after.valid, before.valid)
        np.testing.assert_allclose(maps_of(tmp_path / "out", view).weight, 0.7)
        truth = true_depth(view)
        errors = [float(np.median(np.abs(d.values / truth - 1)[d.valid])) for d in (before, after)]
        assert errors[1] < 0.5 * errors[0]
        predicted = load_prediction(tmp_path / "prediction" / f"{view.stem}.npz").normals
        assert predicted is not None
        own, known = normals_from_depth(after.values, after.valid, view.camera)
        assert np.median(angle_deg(own, predicted.values)[known & predicted.valid]) < 2
        assert report.normals_before_deg is not None
        assert report.normals_after_deg is not None
        assert report.normals_after_deg < 0.3 * report.normals_before_deg
        assert report.discontinuities is not None
        assert 0.001 < report.discontinuities < 0.1, "the outlines of the balls, not the surfaces"


def test_normals_that_are_all_turned_do_not_bend_the_surface(tmp_path: Path) -> None:
    inputs = write(tmp_path)
    for view in inputs.scene.views:
        path = tmp_path / "prediction" / f"{view.stem}.npz"
        stored = load_prediction(path)
        assert stored.normals is not None
        turned = normalized(stored.normals.values + np.array([0.05, 0, 0])).astype(np.float32)
        save_prediction(path, Prediction(stored.depth, NormalMap(turned, stored.normals.valid)))
    normal_integration.run(inputs, replace(CONFIG, integration_scale=0.05), tmp_path / "out")
    for view in inputs.scene.views:
        after = maps_of(tmp_path / "out", view).required_depth
        assert np.abs(after.values / true_depth(view) - 1)[after.valid].mean() < 0.012


def test_points_that_are_scored_are_no_control_points(tmp_path: Path) -> None:
    """Points that lie off the surface by a tenth: used they dent it, scored they do not."""
    inputs = write(tmp_path)
    view = inputs.scene.views[0]
    depth, xy = true_depth(view), np.array([[40.5, 30.5], [60.5, 50.5]])
    rays = np.concatenate([xy, np.ones((2, 1))], 1) @ np.linalg.inv(view.camera.K).T
    in_cam = rays * 1.1 * depth[[30, 50], [40, 60], None]
    world = (in_cam - view.cam_from_world[:3, 3]) @ view.cam_from_world[:3, :3]
    zero = np.zeros(2, np.int64)
    points = SparsePoints(world, np.zeros((2, 3), np.uint8), np.ones(2), np.arange(2), zero, xy)
    scene = Scene(inputs.scene.views, points)
    dents = []
    for scored in (True, False):
        out = tmp_path / f"scored-{scored}"
        out.mkdir()
        given = replace(inputs, scene=scene, scored_points=np.full(2, scored))
        report = normal_integration.run(
            given, replace(CONFIG, advanced=replace(CONFIG.advanced, point_weight=10.0)), out
        ).views[0]
        assert report.points == (2 if scored else 0)
        found = maps_of(out, view).required_depth
        dents.append(float(np.abs(found.values[30, 40] / depth[30, 40] - 1)))
    assert dents[0] < 0.02 < dents[1]


def test_views_without_normals_keep_their_depth(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    inputs = write(tmp_path)
    view = inputs.scene.views[1]
    path = tmp_path / "prediction" / f"{view.stem}.npz"
    save_prediction(path, Prediction(load_prediction(path).depth, None))
    result = normal_integration.run(inputs, CONFIG, tmp_path / "out")
    assert [one.status for one in result.views] == ["integrated", "no_normals"]
    assert view.name in caplog.text
    before, after = (maps_of(tmp_path / name, view).required_depth for name in ("depth", "out"))
    np.testing.assert_array_equal(before.values[before.valid], after.values[after.valid])


def test_a_view_without_a_valid_pixel_passes(tmp_path: Path) -> None:
    inputs = write(tmp_path)
    view = inputs.scene.views[1]
    depth = maps_of(tmp_path / "depth", view).required_depth
    SceneMaps(tmp_path / "depth").save(view, replace(depth, valid=np.zeros_like(depth.valid)))
    result = normal_integration.run(inputs, replace(CONFIG, consensus_iterations=1), tmp_path / "out")
    assert [one.status for one in result.views] == ["integrated", "no_normals"]
    assert not maps_of(tmp_path / "out", view).required_depth.valid.any()


def test_what_cannot_be_integrated_is_refused(tmp_path: Path) -> None:
    inputs = write(tmp_path, normals=False)
    with pytest.raises(InputError, match="no view has any"):
        normal_integration.run(inputs, CONFIG, tmp_path / "out")
    with pytest.raises(InputError, match="no aligned depth maps"):
        normal_integration.run(replace(inputs, depth_dir=tmp_path / "nowhere"), CONFIG, tmp_path / "out")
    view = inputs.scene.views[0]
    small = NormalMap(np.tile(np.array([0, 0, -1], np.float32), (10, 12, 1)), np.ones((10, 12), bool))
    save_prediction(tmp_path / "prediction" / f"{view.stem}.npz", Prediction(None, small))
    with pytest.raises(InputError, match="must agree"):
        normal_integration.run(inputs, CONFIG, tmp_path / "other")


@pytest.mark.parametrize("every", [2, 3])
def test_subsampled_maps_are_those_of_the_subsampled_cameras(every: int, tmp_path: Path) -> None:
    """A map with fewer pixels is the analytic scene as its camera sees it; points stay on their pixels."""
    inputs = write(tmp_path)
    view = inputs.scene.views[0]
    xy = np.array([[40.5, 30.5], [61.2, 50.9]])
    points = SparsePoints(
        np.ones((2, 3)), np.zeros((2, 3), np.uint8), np.ones(2), np.arange(2), np.zeros(2, np.int64), xy
    )
    inputs = replace(inputs, scene=replace(inputs.scene, points=points))
    thin = GuidedViews(inputs.scene, inputs.depth_dir, inputs.prediction_dir).subsampled(every)
    start, thin_view = every // 2, thin.scene.views[0]
    np.testing.assert_allclose(true_depth(thin_view), true_depth(view)[start::every, start::every], rtol=1e-9)
    np.testing.assert_allclose((xy - start - 0.5) / every + 0.5, thin.scene.points.obs_xy)
    assert thin.depth(0).shape == thin.load(0).confidence.shape == true_depth(thin_view).shape


def test_the_scale_does_not_depend_on_the_size_of_the_maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = write(tmp_path)
    found = []
    for px in (10_000, 48):
        monkeypatch.setattr(scale, "_TRIAL_PX", px)
        (tmp_path / f"{px}").mkdir()
        found.append(normal_integration.run(inputs, CONFIG, tmp_path / f"{px}").integration_scale)
    assert abs(np.log(found[1] / found[0])) < np.log(4), "one step of the scales at most"
