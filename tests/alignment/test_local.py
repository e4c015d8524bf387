"""The local correction: exact at points, nothing across an edge, nothing where points are noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lotus_recon.alignment.local import (
    CrossValidation,
    DepthDiscontinuities,
    LocalField,
    Matched,
    Residuals,
    Smoothing,
    corrected,
    drop_outliers,
)
from lotus_recon.types import BoolArray, Camera

H, W = 60, 80
CAMERA = Camera.from_fov_deg(60, W, H)
ALL: BoolArray = np.ones((H, W), bool)
SMOOTHING = Smoothing(near=0.01, far=1.0, strength=1.0)


def field_of(xy: NDArray, log_ratio: NDArray, depth: NDArray) -> LocalField:
    residuals = Residuals(xy, log_ratio, np.ones(len(xy)))
    return LocalField(residuals, DepthDiscontinuities.of(depth, ALL, CAMERA), 8)


def choose_smoothing(
    fields: list[LocalField], where: NDArray | None = None, log_ratio: NDArray | None = None
) -> Smoothing:
    """The smoothing that points choose, and maps of the first two views that differ by ``log_ratio`` at ``where``."""
    validation = CrossValidation(fields)
    shape = validation.best_shape()
    assert shape is not None
    if where is None or log_ratio is None:
        return validation.best_strength(shape, [])
    first, second = (field.correction(where, shape) for field in fields[:2])
    return validation.best_strength(shape, [Matched(log_ratio, first, second)])


def random_xy(count: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).uniform(0, [W, H], (count, 2))


def test_two_planes_are_corrected_apart() -> None:
    depth = np.where(np.arange(W) < W // 2, 1.0, 2.0) * np.ones((H, 1))
    xy = random_xy(200)
    log_ratio = np.where(xy[:, 0] < W // 2, 0.04, -0.03)
    result = corrected(depth, ALL, field_of(xy, log_ratio, depth), SMOOTHING) / depth
    left, right = result[:, : W // 2], result[:, W // 2 :]
    assert left.min() > 1
    assert right.max() < 1
    assert np.abs(np.log(left) - 0.04).max() < 0.004
    assert np.abs(np.log(right) + 0.03).max() < 0.004


def test_without_an_edge_the_same_points_mix() -> None:
    """The oracle of the test above: it is the edge, not the distance, that keeps the sides apart."""
    depth = np.ones((H, W))
    xy = random_xy(200)
    log_ratio = np.where(xy[:, 0] < W // 2, 0.04, -0.03)
    seam = np.log(corrected(depth, ALL, field_of(xy, log_ratio, depth), SMOOTHING))[:, W // 2 - 1]
    assert np.abs(seam).mean() < 0.03


def test_a_plane_seen_at_a_slant_has_no_discontinuities() -> None:
    rows = np.linspace(-1, 1, H)[:, None]
    depth = 1 / (0.5 - 0.35 * rows) * np.ones((1, W))
    discontinuities = DepthDiscontinuities.of(depth, ALL, CAMERA)
    assert discontinuities.across.max() == 0
    assert discontinuities.down.max() == 0


def test_smooth_error_is_removed() -> None:
    depth = np.full((H, W), 3.0)
    wave = 0.03 * np.sin(np.arange(W) / 15) * np.ones((H, 1))
    xy = random_xy(300)
    field = field_of(xy, wave[xy[:, 1].astype(int), xy[:, 0].astype(int)], depth)
    smoothing = choose_smoothing([field])
    assert smoothing.strength == 1
    left = np.log(corrected(depth, ALL, field, smoothing) / depth) - wave
    assert np.abs(left).mean() < 0.1 * np.abs(wave).mean()


def test_noise_is_not_followed() -> None:
    depth = np.full((H, W), 3.0)
    noise = 0.02 * np.random.default_rng(1).standard_normal(300)
    smoothing = choose_smoothing([field_of(random_xy(300), noise, depth)])
    result = np.log(corrected(depth, ALL, field_of(random_xy(300), noise, depth), smoothing) / depth)
    assert np.abs(result).mean() < 0.004


def test_views_that_agree_stay_in_agreement() -> None:
    """Points that all err smoothly in one view, while the maps agree: the error is in the points."""
    depth = np.full((H, W), 3.0)
    xy = random_xy(200)
    noise = 0.01 * np.random.default_rng(5).standard_normal(200)
    first, second = (field_of(xy, sign * 0.02 + noise, depth) for sign in (1, -1))
    where = random_xy(500, seed=2)
    agree = 0.001 * np.random.default_rng(0).standard_normal(500)
    assert choose_smoothing([first, second]).strength == 1
    assert choose_smoothing([first, second], where, agree).strength <= 0.25


def test_a_contradicting_point_is_dropped() -> None:
    depth = np.full((H, W), 3.0)
    xy = random_xy(200)
    log_ratio = 0.02 + 0.001 * np.random.default_rng(0).standard_normal(200)
    log_ratio[17] = 0.4
    kept = drop_outliers(field_of(xy, log_ratio, depth), SMOOTHING)
    assert 0.4 not in kept.residuals.log_ratio
    assert len(kept.residuals.xy) >= 190


def test_far_from_all_points_nothing_happens() -> None:
    depth = np.full((H, W), 3.0)
    field = field_of(np.array([[1.0, 1.0]]), np.array([0.1]), depth)
    result = np.log(corrected(depth, ALL, field, Smoothing(near=0.01, far=0.05, strength=1.0)) / depth)
    assert abs(result[1, 1] - 0.1) < 0.01
    assert abs(result[-1, -1]) < 1e-3
