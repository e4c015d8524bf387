"""Predictors of surfaces whose shape is known."""

from __future__ import annotations

import numpy as np
import pytest

from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.io.scene_maps import ViewMaps
from lotus_recon.types import Camera, DepthKind, DepthMap, NormalMap
from lotus_recon.uncertainty.predictors import (
    photo_predictors,
    point_predictor,
    shape_predictors,
    spread_predictor,
    view_predictors,
)

CAMERA = Camera(80, 60, 70.0, 70.0, 40.0, 30.0)
DIAGONAL = 100.0
INNER = np.s_[12:-12, 12:-12]


def plane(normal: tuple[float, float, float]) -> DepthMap:
    """A plane through (0, 0, 2) with this normal."""
    n = np.array(normal) / np.linalg.norm(normal)
    depth = 2 * n[2] / (rays_in_cam(CAMERA) @ n)
    return DepthMap(depth.astype(np.float32), np.ones((60, 80), bool), DepthKind.SCENE)


def test_slant_is_that_of_the_plane() -> None:
    n = np.array([0.5, 0.0, -1.0]) / np.linalg.norm([0.5, 0.0, -1.0])
    rays = rays_in_cam(CAMERA)
    cosine = -(rays @ n) / np.linalg.norm(rays, axis=-1)
    found = shape_predictors(plane((0.5, 0.0, -1.0)), None, CAMERA)
    assert found["slant"][INNER] == pytest.approx(-np.log(cosine)[INNER], abs=0.02)
    assert "bent" not in found


@pytest.mark.parametrize("turned_deg", [0.0, 5.0, 30.0])
def test_bent_is_the_angle_to_the_predicted_normals(turned_deg: float) -> None:
    a = np.radians(turned_deg)
    values = np.broadcast_to(np.array([np.sin(a), 0, -np.cos(a)], np.float32), (60, 80, 3))
    normals = NormalMap(values, np.ones((60, 80), bool))
    found = shape_predictors(plane((0.0, 0.0, -1.0)), normals, CAMERA)
    assert np.exp(found["bent"][INNER]) - 1 == pytest.approx(np.full((36, 56), turned_deg), abs=0.05)


def test_edge_grows_towards_a_step_and_a_hole() -> None:
    values = np.full((60, 80), 2.0, np.float32)
    values[:, 40:] = 3.0
    depth = DepthMap(values, np.ones((60, 80), bool), DepthKind.SCENE)
    edge = shape_predictors(depth, None, CAMERA)["edge"][30]
    assert np.exp(-edge[20]) * DIAGONAL == pytest.approx(19)  # columns 39 and 40 are the edge
    assert (np.diff(edge[:39]) > 0).all()
    assert (np.diff(edge[41:]) < 0).all()
    holed = DepthMap(np.full((60, 80), 2.0, np.float32), np.arange(80) != 10 + np.zeros((60, 1)), DepthKind.SCENE)
    assert shape_predictors(holed, None, CAMERA)["edge"][30].argmax() == 10


def test_doubt_is_that_of_the_views_and_not_that_of_stereo() -> None:
    stereo = np.full((60, 80), 0.5, np.float32)
    stereo[:, 40:] = 0.02
    agreement = np.linspace(0.2, 1, 60, dtype=np.float32)[:, None] * np.ones((1, 80), np.float32)
    maps = ViewMaps(plane((0.0, 0.0, -1.0)), confidence=stereo * agreement)
    found = view_predictors(maps, stereo)
    assert np.exp(-found["doubt"]) == pytest.approx(agreement, rel=1e-4)
    assert np.exp(-found["unmatched"]) == pytest.approx(stereo, rel=1e-4)
    alone = view_predictors(ViewMaps(maps.depth, confidence=agreement), None)
    assert set(alone) == {"doubt"}
    assert np.exp(-alone["doubt"]) == pytest.approx(agreement, rel=1e-4)


def test_distance_from_the_nearest_point() -> None:
    found = np.exp(point_predictor(np.array([[10.5, 30.5], [70.5, 30.5]]), 60, 80)) * DIAGONAL
    assert found[30, 20] == pytest.approx(10)
    assert found[30, 65] == pytest.approx(5)
    assert found[30, 10] == pytest.approx(0.1)  # as near as it gets
    far = point_predictor(np.zeros((0, 2)), 60, 80)
    assert (far >= point_predictor(np.array([[0.5, 0.5]]), 60, 80)).all(), "no point is as far as one can be"


@pytest.mark.parametrize("kind", [DepthKind.AFFINE, DepthKind.AFFINE_DISPARITY, DepthKind.SCALE_FREE])
def test_spread_is_that_of_depth_whatever_the_model_predicts(kind: DepthKind) -> None:
    random = np.random.default_rng(0)
    depth = random.uniform(1, 20, (60, 80))
    members = depth * np.exp(random.normal(0, 0.01, (2000, 60, 80)))
    predicted = 1 / members if kind is DepthKind.AFFINE_DISPARITY else members
    relative = np.exp(spread_predictor(predicted.std(axis=0), depth, kind))
    assert relative == pytest.approx(np.full((60, 80), 0.01), rel=0.1)


def test_single_photos_are_worse_far_from_their_median_and_under_the_sky() -> None:
    values, valid = np.full((40, 50), 2.0, np.float32), np.ones((40, 50), bool)
    values[:, :10], values[:, -5:], valid[:8] = 4.0, 1.0, False
    found = photo_predictors(DepthMap(values, valid, DepthKind.SCALE_FREE))
    np.testing.assert_allclose(np.exp(found["middle"][20, [0, 25, 49]]), [np.log(2), 0.03, np.log(2)], rtol=1e-5)
    np.testing.assert_allclose(np.exp(found["empty"]), 0.2, rtol=1e-5)
    indoors = photo_predictors(DepthMap(values, np.ones((40, 50), bool), DepthKind.SCALE_FREE))
    np.testing.assert_allclose(np.exp(indoors["empty"]), 0.01, rtol=1e-5)
