"""Compiled look-ups give what plain ones give, at random points and for a scene; equal distances have an order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.alignment.local import DepthDiscontinuities, LocalField, Residuals, Smoothing
from lotus_recon.alignment.sampling import sample_without_jumps
from lotus_recon.io.maps import load_prediction
from lotus_recon.types import BoolArray, Camera, DepthKind
from tests.alignment import plain
from tests.alignment.analytic import Truth, make_scene
from tests.alignment.test_stage import align, predict

H, W = 60, 80
SMOOTHING = Smoothing(near=0.01, far=0.2, strength=0.7)


def stairs() -> DepthDiscontinuities:
    """A map with some dozens of steps, so that about half of the points are parted from a pixel."""
    steps = np.random.default_rng(0).random((H, W)) < 0.01
    depth = 3 + 0.5 * np.cumsum(steps, axis=1)
    return DepthDiscontinuities.of(depth, np.ones((H, W), bool), Camera.from_fov_deg(60, W, H))


def random_field(count: int, neighbours: int, whole_pixels: bool = False) -> LocalField:
    """Points in and around the image; with ``whole_pixels`` many at one place or at one distance."""
    rng = np.random.default_rng(count)
    xy = rng.uniform(-5, [W + 5, H + 5], (count, 2))
    xy = np.round(xy / 4) * 4 if whole_pixels else xy
    return LocalField(Residuals(xy, rng.normal(size=count), rng.random(count)), stairs(), neighbours)


def random_xy(count: int = 2000) -> NDArray[np.float64]:
    return np.random.default_rng(1).uniform(-60, [W + 60, H + 60], (count, 2))


@pytest.mark.parametrize("count", [0, 1, 2, 7, 40, 3000])
@pytest.mark.parametrize("neighbours", [1, 8, 12])
def test_corrections_are_those_of_the_plain_code(count: int, neighbours: int) -> None:
    field, valid = random_field(count, neighbours), np.random.default_rng(2).random((H, W)) < 0.7
    xy = random_xy()
    np.testing.assert_allclose(field.correction(xy, SMOOTHING), plain.correction(field, xy, SMOOTHING), atol=1e-12)
    expected = plain.map_correction(field, valid, SMOOTHING)
    np.testing.assert_allclose(field.map_correction(valid, SMOOTHING), expected, atol=1e-12)
    if count == 0:
        return
    others = field.near_others().correction(SMOOTHING)
    np.testing.assert_allclose(others, plain.near_others(field).correction(SMOOTHING), atol=1e-12)


def by_sorting(field: LocalField, xy: NDArray[np.float64], skip: int = -1) -> float:
    """The correction at one position: of points at one distance those given first are nearer."""
    squared = ((field.residuals.xy - xy) ** 2).sum(1)
    order = np.lexsort((np.arange(len(squared)), squared))
    chosen = np.sort([i for i in order if i != skip][: field.neighbours])
    part = Residuals(*(getattr(field.residuals, name)[chosen] for name in ("xy", "log_ratio", "weight")))
    few = LocalField(part, field.discontinuities, field.neighbours)
    return float(plain.correction(few, xy[None], SMOOTHING)[0])


def test_of_points_at_one_distance_the_first_are_nearer() -> None:
    field = random_field(600, 8, whole_pixels=True)
    xy = np.round(random_xy(50) / 2) * 2
    expected = [by_sorting(field, position) for position in xy]
    np.testing.assert_allclose(field.correction(xy, SMOOTHING), expected, atol=1e-12)
    others = field.near_others().correction(SMOOTHING)[:50]
    expected = [by_sorting(field, field.residuals.xy[i], skip=i) for i in range(50)]
    np.testing.assert_allclose(others, expected, atol=1e-12)


def test_a_map_is_corrected_as_its_pixels_are() -> None:
    """Also where points are at one distance: the search along a row has the order of the other."""
    field, valid = random_field(600, 8, whole_pixels=True), np.random.default_rng(3).random((H, W)) < 0.5
    row, col = np.nonzero(valid)
    at_pixels = field.correction(np.stack([col + 0.5, row + 0.5], axis=1), SMOOTHING)
    np.testing.assert_allclose(field.map_correction(valid, SMOOTHING)[valid], at_pixels, atol=1e-12)


def test_samples_are_those_of_the_plain_code() -> None:
    rng = np.random.default_rng(0)
    values = rng.random((H, W)).astype(np.float32)
    valid: BoolArray = rng.random((H, W)) < 0.8
    xy = np.concatenate([random_xy(), np.round(random_xy(200))])
    found = sample_without_jumps(values, valid, xy, 0.3)
    np.testing.assert_allclose(found, plain.sample_without_jumps(values, valid, xy, 0.3), atol=1e-12)
    assert 0.1 < np.isfinite(found).mean() < 0.9


def without_ties(truth: Truth) -> Truth:
    """The scene, no two of its observations at one distance from a pixel: a k-d tree has no order for these."""
    points, rng = truth.scene.points, np.random.default_rng(0)
    moved = points.obs_xy + rng.normal(0, 1e-3, points.obs_xy.shape)
    return replace(truth, scene=replace(truth.scene, points=replace(points, obs_xy=moved)))


def test_a_scene_is_aligned_as_with_the_plain_code(tmp_path: Path) -> None:
    truth = without_ties(make_scene(views=5, points=900, noise_px=1.0))
    predictions = predict(truth, tmp_path / "p", DepthKind.AFFINE_DISPARITY, bend=0.03)
    result = align(truth, predictions, tmp_path / "compiled")
    with plain.plain_look_ups():
        expected = align(truth, predictions, tmp_path / "plain")
    assert result.local_strength == expected.local_strength > 0
    for view in truth.scene.views:
        found, plainly = (load_prediction(r.depth_file(view.name)).depth for r in (result, expected))
        assert found is not None
        assert plainly is not None
        assert (found.valid == plainly.valid).all()
        np.testing.assert_allclose(found.values, plainly.values, rtol=1e-6)
