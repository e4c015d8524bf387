"""Depth scores by the protocol of MoGe (Wang et al., CVPR 2025): alignments that outliers do not pull.

Scale, or scale and shift, minimise the weighted sum of absolute errors, weight 1 / depth of the ground truth, over a
64 x 64 nearest-neighbour sample of the valid pixels; with ``truncation`` each term counts at most that much, as in the
training objective of the paper. Disparity is fitted by least squares over all pixels and clipped at the smallest
disparity of the ground truth. Each is scored by rel = mean |d - g| / g and delta1, over all valid pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.types import BoolArray, DepthKind, FloatArray

GRID = 64
# Truncated sums have many minima: descent starts from the untruncated one and from this many lines through two points.
_STARTS = 32
_MAX_STEPS = 200
_EPS = 1e-6  # of the official code, so that a zero in the ground truth divides

Vector = NDArray[np.float64]
Line = tuple[float, float]  # scale and shift


def robust_metrics(
    pred: FloatArray, gt: FloatArray, valid: BoolArray, kind: DepthKind, truncation: float | None = None
) -> dict[str, float]:
    """Scores of ``pred`` (H, W) against depth ``gt`` (H, W) where ``valid``, aligned in every way it allows.

    METRIC: metric, scale, affine and disparity; SCALE_FREE: the last three; AFFINE and AFFINE_DISPARITY: their own.
    Returns ``<alignment>_rel`` and ``<alignment>_delta1``. Raises InputError when nothing can be compared, ``pred`` is
    not finite there, or is not positive where the kind says it is.
    """
    predicted, true, valid = np.asarray(pred, np.float64), np.asarray(gt, np.float64), np.asarray(valid, bool)
    if not predicted.shape == true.shape == valid.shape or predicted.ndim != 2:
        raise InputError(f"depth: pred {pred.shape}, gt {gt.shape} and valid {valid.shape} must be one (H, W)")
    valid = valid & np.isfinite(true) & (true > 0)
    if not valid.any():
        raise InputError("depth: no valid pixel with ground truth to compare")
    if not np.isfinite(predicted[valid]).all():
        raise InputError("depth: pred is NaN or infinite at pixels that have ground truth; take them out of 'valid'")
    positive = kind in (DepthKind.METRIC, DepthKind.SCENE, DepthKind.SCALE_FREE)
    if positive and not (predicted[valid] > 0).all():
        raise InputError(f"depth: {kind.value} prediction is not positive at pixels that have ground truth")
    sample = grid_sample(valid)
    sample, count = np.unique(sample, return_counts=True)  # a pixel that comes up twice counts twice
    few_pred, few_gt = predicted.ravel()[sample], true.ravel()[sample]
    x, y = predicted[valid], true[valid]
    aligned: dict[str, Vector] = {}
    if kind in (DepthKind.METRIC, DepthKind.SCENE):
        aligned["metric"] = x
    if positive:
        aligned["scale"] = x * robust_scale(few_pred, few_gt, 1 / few_gt, truncation, count)
    if kind is not DepthKind.AFFINE_DISPARITY:
        scale, shift = robust_line(few_pred, few_gt, 1 / few_gt, truncation, count)
        aligned["affine"] = scale * x + shift
    if kind is not DepthKind.AFFINE:
        aligned["disparity"] = _of_disparity(1 / x if positive else x, y)
    return {name: value for key, depth in aligned.items() for name, value in _scores(key, depth, y).items()}


def _scores(name: str, depth: Vector, gt: Vector) -> dict[str, float]:
    # As in the official code, a negative aligned depth counts as near for delta1 (both ratios are negative).
    with np.errstate(divide="ignore"):  # an aligned depth of zero is infinitely wrong
        ratio = np.maximum(gt / depth, depth / gt)
    rel = (np.abs(depth - gt) / (gt + _EPS)).mean()
    return {f"{name}_rel": float(rel), f"{name}_delta1": float((ratio < 1.25).mean())}


def _of_disparity(disparity: Vector, gt: Vector) -> Vector:
    inverse = 1 / gt
    centered = disparity - disparity.mean()
    power = centered @ centered
    flat = power <= len(centered) * (1e-11 * max(abs(disparity.mean()), 1e-300)) ** 2
    scale = 0.0 if flat else centered @ (inverse - inverse.mean()) / power
    return np.asarray(1 / np.maximum(scale * centered + inverse.mean(), inverse.min()))


def grid_sample(valid: BoolArray, size: int = GRID) -> NDArray[np.int64]:
    """(N,) flat indices of the valid pixels (H, W) that MoGe's evaluation fits, at ``size`` x ``size`` grid points.

    Around each point a window as large as the spacing, rounded up, is searched for the valid pixel nearest to it.
    Points without one give none. Windows overlap where sizes do not divide, so a pixel can come up more than once.
    """
    rows, off_y = _windows(valid.shape[0], size)
    columns, off_x = _windows(valid.shape[1], size)
    shape = (size, size, rows.shape[1], columns.shape[1])
    index = np.broadcast_to((rows * valid.shape[1])[:, None, :, None] + columns[None, :, None, :], shape)
    inside = (rows >= 0) & (rows < valid.shape[0]), (columns >= 0) & (columns < valid.shape[1])
    usable = inside[0][:, None, :, None] & inside[1][None, :, None, :]
    usable = usable & valid.ravel()[np.where(usable, index, 0)]
    squared = np.where(usable, off_y[:, None, :, None] ** 2 + off_x[None, :, None, :] ** 2, np.float32(np.inf))
    nearest = squared.reshape(size * size, -1).argmin(1)
    sampled = index.reshape(size * size, -1)[np.arange(size * size), nearest]
    return np.asarray(sampled[usable.reshape(size * size, -1).any(1)], np.int64)


def _windows(length: int, size: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(size, n) pixels of the window around each point of one axis, and how far their centres are from the point."""
    spacing = max(1.0, length / size)
    point = ((np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size)) * np.float32(length)
    first = np.round(point - np.float32(spacing / 2)).astype(np.int64)
    pixels = first[:, None] + np.arange(int(np.ceil(spacing)))
    return pixels, (pixels + np.float32(0.5)).astype(np.float32) - point[:, None]


def robust_scale(
    x: Vector, y: Vector, weight: Vector, truncation: float | None = None, count: NDArray | None = None
) -> float:
    """The factor a that minimises sum w |a x - y|, or sum min(w |a x - y|, truncation).

    The minimum lies where one residual is zero. Without truncation it is a weighted median; with it every such place is
    tried. ``count`` (N,): how often each term is there. Raises InputError when all of ``x`` (N,) is zero.
    """
    count = np.ones(len(x)) if count is None else count
    used = x != 0
    if not used.any():
        raise InputError("depth: the prediction is zero everywhere, so it has no scale")
    x, y, weight, count = x[used], y[used], weight[used], count[used]
    candidates = y / x
    if truncation is None:
        return float(candidates[_weighted_median(candidates, count * weight * np.abs(x))])
    costs = [
        np.minimum(weight * np.abs(part[:, None] * x - y), truncation) @ count
        for part in np.array_split(candidates, max(1, len(x) // 256))
    ]
    return float(candidates[np.argmin(np.concatenate(costs))])


def robust_line(
    x: Vector, y: Vector, weight: Vector, truncation: float | None = None, count: NDArray | None = None
) -> Line:
    """Scale a and shift b that minimise sum w |a x + b - y|; ``truncation`` caps every term, ``count`` repeats it.

    Without truncation the problem is convex and the result exact. With it the sum is not convex: the best of descents
    from the convex optimum and from seeded lines through two points. ``x`` (N,) that is all equal gives scale 0.
    """
    terms = _Terms(x, y, weight, np.ones(len(x)) if count is None else count)
    if np.ptp(x) == 0:
        return 0.0, float(y[_weighted_median(y, terms.count * weight)])
    start = _least_absolute(x, y, terms.count * weight)
    if not _is_optimal(start, x, y, terms.count * weight):
        start = _by_linear_programme(x, y, terms.count * weight)
    if truncation is None:
        return start
    rng = np.random.default_rng(0)
    lines = [start]
    for i, j in rng.integers(0, len(x), (_STARTS, 2)):
        if x[i] != x[j]:
            scale = (y[j] - y[i]) / (x[j] - x[i])
            lines.append((scale, y[i] - scale * x[i]))
    ends = [_descend(line, terms, truncation) for line in lines]
    return min(ends, key=lambda line: terms.cost(line, truncation))


@dataclass(frozen=True, eq=False)
class _Terms:
    """The terms count w |a x + b - y| of a sum."""

    x: Vector
    y: Vector
    weight: Vector
    count: NDArray

    def residuals(self, line: Line) -> Vector:
        return self.weight * np.abs(line[0] * self.x + line[1] - self.y)

    def cost(self, line: Line, truncation: float) -> float:
        return float(np.minimum(self.residuals(line), truncation) @ self.count)


def _descend(line: Line, terms: _Terms, truncation: float) -> Line:
    """Fit what is below the truncation again until the sum stays; it never grows: what is above counts a constant."""
    best = terms.cost(line, truncation)
    for _ in range(_MAX_STEPS):
        near = terms.residuals(line) < truncation
        if near.sum() < 2 or np.ptp(terms.x[near]) == 0:
            break
        fitted = _least_absolute(terms.x[near], terms.y[near], (terms.count * terms.weight)[near])
        cost = terms.cost(fitted, truncation)
        if cost >= best * (1 - 1e-12):
            break
        line, best = fitted, cost
    return line


def _least_absolute(x: Vector, y: Vector, weight: Vector) -> Line:
    """Weighted least absolute deviations of a line; exact but for degenerate points.

    An optimal line passes through two points. Along the pencil of lines through one, the best slope is a weighted
    median (Boscovich, Laplace), and it names the other point: from there the next pencil is searched, until the sum
    falls no more (Wesolowsky, "A new descent algorithm for the least absolute value regression problem", 1981).
    """
    pivot = int(np.argmin(np.abs(x - np.median(x))))
    line, best = (0.0, float(y[pivot])), np.inf
    for _ in range(_MAX_STEPS):
        dx, dy = x - x[pivot], y - y[pivot]
        away = np.flatnonzero(dx != 0)
        slopes = dy[away] / dx[away]
        chosen = _weighted_median(slopes, weight[away] * np.abs(dx[away]))
        slope = float(slopes[chosen])
        cost = float((weight * np.abs(dy - slope * dx)).sum())
        if cost >= best * (1 - 1e-13):
            break
        best, line, pivot = cost, (slope, float(y[pivot] - slope * x[pivot])), int(away[chosen])
    return line


def _is_optimal(line: Line, x: Vector, y: Vector, weight: Vector) -> bool:
    """Whether zero is a subgradient: the pull of the points off the line is met by what those on it can take up."""
    from scipy.optimize import linprog

    residual = line[0] * x + line[1] - y
    on = np.abs(residual) <= 1e-9 * (np.abs(y) + np.abs(line[0] * x))
    pull = np.array([(weight * np.sign(residual))[~on].sum(), (weight * np.sign(residual) * x)[~on].sum()])
    design = np.stack([np.ones(on.sum()), x[on]])
    if on.sum() == 2 and np.ptp(x[on]) > 0:  # two points leave no choice
        return bool((np.abs(np.linalg.solve(design, -pull)) <= weight[on] * (1 + 1e-9)).all())
    limits = [(-float(top) * (1 + 1e-9), float(top) * (1 + 1e-9)) for top in weight[on]]
    return bool(linprog(np.zeros(on.sum()), A_eq=design, b_eq=-pull, bounds=limits, method="highs").success)


def _by_linear_programme(x: Vector, y: Vector, weight: Vector) -> Line:
    """Minimise w . (p + q) with a x + b - y = p - q and p, q >= 0."""
    from scipy.optimize import linprog
    from scipy.sparse import csr_array, eye_array, hstack

    n = len(x)
    lines = csr_array(np.stack([x, np.ones(n)], axis=1))
    constraint = hstack([lines, -eye_array(n), eye_array(n)], format="csr")
    costs = np.concatenate([[0, 0], weight, weight])
    bounds = [(None, None)] * 2 + [(0, None)] * (2 * n)
    solved = linprog(costs, A_eq=constraint, b_eq=y, bounds=bounds, method="highs")
    if not solved.success:
        raise InputError(f"depth: no robust line could be fitted: {solved.message}")
    scale, shift = np.asarray(solved.x)[:2]
    return float(scale), float(shift)


def _weighted_median(values: Vector, weight: Vector) -> int:
    """Index of the value at which the sum of the weights of smaller and equal values reaches half."""
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weight[order])
    return int(order[min(int(np.searchsorted(total, total[-1] / 2)), len(order) - 1)])
