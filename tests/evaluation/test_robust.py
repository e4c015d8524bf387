"""Robust alignments against linear programmes, exhaustive search and planted answers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog

from lotus_recon.errors import InputError
from lotus_recon.evaluation.robust import grid_sample, robust_line, robust_metrics, robust_scale
from lotus_recon.types import DepthKind

RNG = np.random.default_rng(5)
ALL = np.ones((2, 2), bool)
GT = np.array([[1.0, 2.0], [4.0, 8.0]])


def cost(scale: float, shift: float, x: np.ndarray, y: np.ndarray, w: np.ndarray, top: float = np.inf) -> float:
    return float(np.minimum(w * np.abs(scale * x + shift - y), top).sum())


@pytest.mark.parametrize("decimals", [None, 1])  # rounded values give many points on one line
def test_the_line_is_that_of_a_linear_programme(decimals: int | None) -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        x, w = rng.uniform(0, 5, 60), rng.uniform(0.1, 2, 60)
        y = 2 * x + 1 + rng.standard_t(1.5, 60)
        if decimals is not None:
            x, y = x.round(decimals), y.round(decimals)
        # minimise w . t subject to -t <= a x + b - y <= t
        design = np.stack([x, np.ones(60)], axis=1)
        A = np.block([[design, -np.eye(60)], [-design, -np.eye(60)]])
        bounds = [(None, None)] * 2 + [(0, None)] * 60
        best = linprog(np.concatenate([[0, 0], w]), A_ub=A, b_ub=np.concatenate([y, -y]), bounds=bounds).fun
        assert cost(*robust_line(x, y, w), x, y, w) == pytest.approx(best, rel=1e-9)


def test_the_scale_is_the_best_of_all_candidates() -> None:
    x, y, w = RNG.uniform(-1, 5, 50), RNG.uniform(1, 9, 50), RNG.uniform(0.1, 2, 50)
    for top in (None, 0.5):
        limit = np.inf if top is None else top
        best = min(cost(a, 0, x, y, w, limit) for a in y / x)
        assert cost(robust_scale(x, y, w, top), 0, x, y, w, limit) == pytest.approx(best, rel=1e-12)


def test_truncation_ignores_a_third_of_outliers_that_pull_the_line() -> None:
    x = np.linspace(1, 9, 90)
    y = 0.5 * x + 2
    y[x > 6.3] = 30.0
    scale, shift = robust_line(x, y, 1 / y, truncation=0.05)
    assert (scale, shift) == pytest.approx((0.5, 2.0), abs=1e-9)


def test_every_alignment_undoes_its_own_transformation() -> None:
    gt = RNG.uniform(1, 8, (90, 70))
    valid = RNG.random(gt.shape) < 0.7
    scaled = robust_metrics(3 * gt, gt, valid, DepthKind.SCALE_FREE)
    assert scaled["scale_rel"] < 1e-6  # the epsilon of the official code remains
    assert scaled["affine_rel"] < 1e-6
    assert scaled["disparity_rel"] < 1e-6
    affine = robust_metrics(3 * gt - 2, gt, valid, DepthKind.AFFINE)
    assert set(affine) == {"affine_rel", "affine_delta1"}
    assert affine["affine_rel"] < 1e-6
    disparity = robust_metrics(0.2 / gt + 0.4, gt, valid, DepthKind.AFFINE_DISPARITY)
    assert set(disparity) == {"disparity_rel", "disparity_delta1"}
    assert disparity["disparity_rel"] < 1e-6
    assert robust_metrics(gt, gt, valid, DepthKind.METRIC)["metric_delta1"] == 1


@pytest.mark.parametrize("truncation", [None, 0.3])
def test_scores_do_not_depend_on_the_units_of_the_prediction(truncation: float | None) -> None:
    gt = RNG.uniform(1, 8, (40, 30))
    pred = gt + RNG.standard_t(2, gt.shape) * 0.3
    one = robust_metrics(pred, gt, gt > 0, DepthKind.AFFINE, truncation)
    other = robust_metrics(50 * pred + 7, gt, gt > 0, DepthKind.AFFINE, truncation)
    assert one == pytest.approx(other, rel=1e-6)


def test_disparity_by_hand() -> None:
    # 1 / gt = 1, .5, .25, .125; the least-squares line through a prediction of 0, 0, 0, 1 has the values 7/12 and 1/8
    pred = np.array([[0.0, 0.0], [0.0, 1.0]])
    scores = robust_metrics(pred, GT, ALL, DepthKind.AFFINE_DISPARITY)
    depth = np.array([12 / 7, 12 / 7, 12 / 7, 8])
    expected = np.mean(np.abs(depth - GT.ravel()) / (GT.ravel() + 1e-6))
    assert scores["disparity_rel"] == pytest.approx(expected)
    assert scores["disparity_delta1"] == 0.5  # 2 is within 1.25 of 12 / 7, and 8 is 8


def test_a_constant_prediction_has_defined_scores() -> None:
    ones = np.ones((2, 2))
    assert robust_metrics(ones, GT, ALL, DepthKind.AFFINE)["affine_rel"] == pytest.approx(
        np.mean([abs(1 - 1) / 1, 1 / 2, 3 / 4, 7 / 8]), abs=1e-5
    )  # the median with weights 1, 1/2, 1/4, 1/8 is 1
    disparity = robust_metrics(ones, GT, ALL, DepthKind.AFFINE_DISPARITY)
    assert np.isfinite(list(disparity.values())).all()


def test_each_cell_of_the_grid_gives_the_pixel_nearest_its_centre() -> None:
    valid = np.ones((64 * 5, 64 * 3), bool)
    rows, columns = np.divmod(grid_sample(valid), valid.shape[1])
    assert (rows[:64] == 2).all()
    assert columns[:3].tolist() == [1, 4, 7]
    valid[2, 1] = False
    rows, columns = np.divmod(grid_sample(valid), valid.shape[1])
    first = (int(rows[0]), int(columns[0]))
    assert abs(first[0] - 2) + abs(first[1] - 1) == 1
    valid[:5, :3] = False
    assert len(grid_sample(valid)) == 64 * 64 - 1
    small = grid_sample(np.ones((3, 4), bool))  # smaller than the grid: pixels come up again and again
    assert len(small) == 64 * 64
    assert sorted(set(small)) == list(range(12))


def test_a_window_is_as_large_as_the_spacing_rounded_up() -> None:
    # 4 points over 10 pixels: at 1.25, 3.75, 6.25, 8.75 with windows of 3 from 0, 2 (2.5 to even), 5, 8 (7.5 to even)
    valid = np.zeros((10, 10), bool)
    valid[:, 4] = True
    columns = grid_sample(valid, size=4) % 10
    assert columns.tolist() == [4] * 4  # only the second point's window, 2 to 4, reaches column 4
    valid[:, 5] = True
    assert sorted(set(grid_sample(valid, size=4) % 10)) == [4, 5]


@pytest.mark.parametrize(
    ("pred", "valid", "kind", "message"),
    [
        (GT, np.zeros((2, 2), bool), DepthKind.AFFINE, "no valid pixel"),
        (np.full((2, 2), np.nan), ALL, DepthKind.AFFINE, "NaN"),
        (-GT, ALL, DepthKind.METRIC, "not positive"),
        (np.ones((3, 2)), ALL, DepthKind.AFFINE, r"\(3, 2\)"),
    ],
)
def test_bad_input_is_refused(pred: np.ndarray, valid: np.ndarray, kind: DepthKind, message: str) -> None:
    with pytest.raises(InputError, match=message):
        robust_metrics(pred, GT, valid, kind)
    with pytest.raises(InputError, match="zero"):
        robust_scale(np.zeros(3), np.ones(3), np.ones(3))
