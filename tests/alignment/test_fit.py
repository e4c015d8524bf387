"""The fit of one view: planted scale and shift come back, nothing turns negative, too little gives less."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from lotus_recon.alignment.config import AlignmentConfig
from lotus_recon.alignment.control_points import ControlPoints
from lotus_recon.alignment.fit import FitOutcome, Limits, fit_view, target_of
from lotus_recon.types import DepthKind, FloatArray

CONFIG = AlignmentConfig()


def points_of(value: FloatArray, depth: FloatArray) -> ControlPoints:
    n = len(value)
    return ControlPoints(np.arange(n), np.zeros((n, 2)), np.asarray(depth), np.full(n, 1e-3), np.asarray(value))


def fit(kind: DepthKind, points: ControlPoints, low: float | None = None, farthest: float = 1e3) -> FitOutcome:
    limits = Limits(points.value.min() if low is None else low, points.value.max(), 1e-3, farthest)
    return fit_view(kind, points, limits, CONFIG, np.random.default_rng(0))


@pytest.mark.parametrize("kind", [DepthKind.AFFINE, DepthKind.AFFINE_DISPARITY, DepthKind.SCALE_FREE, DepthKind.METRIC])
def test_planted_scale_and_shift_survive_outliers(kind: DepthKind) -> None:
    rng = np.random.default_rng(3)
    depth = rng.uniform(1, 6, 300)
    scale, shift = 2.5, 0.3 if kind in (DepthKind.AFFINE, DepthKind.AFFINE_DISPARITY) else 0.0
    value = (target_of(kind, depth) - shift) / scale
    seen = depth * (1 + 0.005 * rng.standard_normal(300))
    wrong = rng.permutation(300)[:90]
    seen[wrong] = rng.uniform(0.5, 12, 90)
    outcome = fit(kind, points_of(value, seen))
    assert outcome.fit is not None
    assert not outcome.scale_only
    np.testing.assert_allclose(outcome.fit.depth(value), depth, rtol=0.01)
    assert outcome.fit.scale == pytest.approx(scale, rel=0.01)
    assert outcome.fit.shift == pytest.approx(shift, abs=0.01)


def test_far_pixels_stay_positive_and_finite() -> None:
    """Points near the camera alone would put the horizon, at value 0, behind infinity."""
    rng = np.random.default_rng(0)
    depth = rng.uniform(1.0, 1.5, 60)
    value = 1 / depth + 0.02 + 0.01 * rng.standard_normal(60)
    free = fit(DepthKind.AFFINE_DISPARITY, points_of(value, depth)).fit
    guarded = fit(DepthKind.AFFINE_DISPARITY, points_of(value, depth), low=0.0, farthest=50.0).fit
    assert free is not None
    assert guarded is not None
    assert np.isnan(free.depth(np.zeros(1)))[0]
    assert 0 < guarded.depth(np.zeros(1))[0] <= 50.0 * (1 + 1e-9)
    np.testing.assert_allclose(guarded.depth(value), depth, rtol=0.05)


def test_a_bound_that_the_points_contradict_does_not_bend_the_fit() -> None:
    depth = np.linspace(1, 10, 100)
    value = 1 / depth + 0.3  # a model whose values never come near its own zero
    guarded = fit(DepthKind.AFFINE_DISPARITY, points_of(value, depth), low=0.0, farthest=50.0).fit
    assert guarded is not None
    np.testing.assert_allclose(guarded.depth(value), depth, rtol=1e-3)
    assert np.isnan(guarded.depth(np.zeros(1)))[0]


@pytest.mark.parametrize("kind", [DepthKind.AFFINE, DepthKind.AFFINE_DISPARITY])
def test_few_points_give_the_scale_alone(kind: DepthKind) -> None:
    depth = np.array([1.0, 2.0, 4.0, 5.0])
    outcome = fit(kind, points_of(target_of(kind, depth) / 3, depth))
    assert outcome.scale_only
    assert outcome.fit is not None
    assert outcome.fit.shift == 0
    assert outcome.fit.scale == pytest.approx(3)


def test_points_at_one_depth_give_the_scale_alone() -> None:
    rng = np.random.default_rng(0)
    depth = 2 * (1 + 0.01 * rng.standard_normal(50))
    outcome = fit(DepthKind.AFFINE, points_of(depth / 4, depth))
    assert outcome.scale_only
    assert outcome.fit is not None
    assert outcome.fit.scale == pytest.approx(4, rel=0.01)


def test_reasons_for_no_fit() -> None:
    depth = np.linspace(1, 5, 40)
    few = fit(DepthKind.AFFINE, points_of(depth[:2], depth[:2]))
    reverse = fit(DepthKind.AFFINE, points_of(-depth, depth))
    unrelated = fit(DepthKind.SCALE_FREE, points_of(np.array([1.0, 10.0, 100.0, 1000.0]), np.ones(4)))
    assert [o.fit for o in (few, reverse, unrelated)] == [None] * 3
    assert "too few" in few.reason
    assert "does not grow" in reverse.reason
    assert "disagree" in unrelated.reason


def test_a_fit_is_not_judged_by_how_many_points_agree() -> None:
    """Its local correction comes first."""
    value = np.exp(2 * np.random.default_rng(0).standard_normal(200))
    outcome = fit(DepthKind.SCALE_FREE, points_of(value, np.ones(200)))
    assert outcome.fit is not None
    assert 0 < outcome.inliers < 0.1 * 200


def test_sure_points_count_more() -> None:
    depth = np.tile(np.linspace(1, 5, 50), 2)
    biased = depth * np.repeat([1.0, 1.02], 50)
    points = dataclasses.replace(points_of(depth, biased), sigma=np.repeat([1e-3, 0.05], 50))
    outcome = fit(DepthKind.SCALE_FREE, points)
    assert outcome.fit is not None
    assert outcome.fit.scale == pytest.approx(1.0, abs=0.003)
