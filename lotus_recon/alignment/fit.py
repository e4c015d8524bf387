"""Scale and shift of one predicted map from points of known depth, robust against wrong points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon.alignment.config import AlignmentConfig
from lotus_recon.alignment.control_points import ControlPoints
from lotus_recon.compiled import kernel
from lotus_recon.geometry.points import MAD_TO_SIGMA
from lotus_recon.types import DepthKind, FloatArray

_IRLS_STEPS = 20


@dataclass(frozen=True)
class DepthFit:
    """``target = scale * value + shift``, where target is 1 / depth for AFFINE_DISPARITY and depth otherwise."""

    kind: DepthKind
    scale: float
    shift: float

    @property
    def inverse(self) -> bool:
        """Whether the target is 1 / depth."""
        return self.kind is DepthKind.AFFINE_DISPARITY

    def depth(self, values: FloatArray) -> NDArray[np.float64]:
        """Depth of predicted values (any shape); NaN where it would not be positive."""
        target = self.scale * np.asarray(values, np.float64) + self.shift
        target = np.where(target > 0, target, np.nan)
        return 1.0 / target if self.inverse else target

    def log_depth(self, values: FloatArray) -> NDArray[np.float64]:
        """Logarithm of the depth of predicted values (any shape); NaN where it would not be positive."""
        with np.errstate(invalid="ignore"):
            return np.log(self.depth(values))


def target_of(kind: DepthKind, depth: FloatArray) -> NDArray[np.float64]:
    """What ``scale * value + shift`` must give at pixels of known depth (N,)."""
    depth = np.asarray(depth, np.float64)
    return np.asarray(1.0 / depth if kind is DepthKind.AFFINE_DISPARITY else depth, np.float64)


@dataclass(frozen=True, eq=False)
class Limits:
    """What a fit must keep: depth of a view's predicted values within (nearest, farthest), unit of the scene."""

    low: float  # a low percentile of the predicted values
    high: float  # a high percentile of the predicted values
    nearest: float
    farthest: float

    def floor(self, kind: DepthKind) -> float:
        """Smallest target allowed at ``low``: it keeps every pixel positive and below ``farthest``."""
        return 1.0 / self.farthest if kind is DepthKind.AFFINE_DISPARITY else self.nearest


@dataclass(frozen=True, eq=False)
class FitOutcome:
    """A fit and how it came about; ``fit`` is None when the points allow none, and ``reason`` says why."""

    fit: DepthFit | None
    inliers: int = 0
    scale_only: bool = False
    reason: str = ""


def fit_view(
    kind: DepthKind, points: ControlPoints, limits: Limits, config: AlignmentConfig, rng: np.random.Generator
) -> FitOutcome:
    """Robust fit of one view: RANSAC, then reweighted least squares, both on relative error in the model's own space.

    Falls back to the scale alone when the points are few or lie at one depth.
    """
    if len(points) < config.advanced.min_points_scale:
        return FitOutcome(None, reason=f"too few sparse points: {len(points)} where depth is predicted")
    x, target = points.value, target_of(kind, points.depth)
    spread = np.subtract(*np.percentile(np.log(points.depth), [90, 10]))
    affine = kind.has_shift and len(points) >= config.advanced.min_points and spread >= config.advanced.min_depth_spread
    if affine:
        start = _ransac(x, target, limits, kind, config, rng)
        if start is None:
            return FitOutcome(
                None, reason="no positive scale: the map does not grow with the depth of the sparse points"
            )
        scale, shift = _refine_affine(x, target, points.sigma, start, limits.low, limits.floor(kind), config)
    else:
        if not (x > 0).any():
            return FitOutcome(
                None,
                reason="no shift: too few or too flat sparse points, and the predicted values there are not positive",
            )
        scale, shift = _refine_scale(x, target, points.sigma, config), 0.0
    fit, scale_only = DepthFit(kind, scale, shift), not affine and kind.has_shift
    inliers = int((relative_error(fit, points) < config.inlier_threshold).sum())
    if inliers == 0 or not np.isfinite([scale, shift]).all():
        return FitOutcome(None, inliers, scale_only, "sparse points disagree: none is near the map at any scale")
    return FitOutcome(fit, inliers, scale_only)


def relative_error(fit: DepthFit, points: ControlPoints) -> NDArray[np.float64]:
    """(N,) |depth of the map / depth of the point - 1|; infinite where the map has no positive depth."""
    error = np.abs(fit.depth(points.value) / points.depth - 1)
    return np.where(np.isfinite(error), error, np.inf)


def _ransac(
    x: FloatArray,
    target: FloatArray,
    limits: Limits,
    kind: DepthKind,
    config: AlignmentConfig,
    rng: np.random.Generator,
) -> tuple[float, float] | None:
    """The (scale, shift) through two points that most points agree with (truncated squared error, as in MSAC)."""
    first, second = rng.integers(len(x), size=(2, config.advanced.ransac_iterations))
    run = x[first] - x[second]
    usable = np.abs(run) > 1e-3 * np.ptp(x)
    scale = (target[first] - target[second])[usable] / run[usable]
    shift = target[first][usable] - scale * x[first][usable]
    positive = scale > 0
    scale, shift = scale[positive], shift[positive]
    if not len(scale):
        return None
    # A start whose far pixels are not positive is no worse than its points say: the refinement bends or cuts it.
    best = _cheapest(x, target, scale, shift, config.inlier_threshold)
    return float(scale[best]), float(shift[best])


@kernel
def _cheapest(x: Any, target: Any, scale: Any, shift: Any, threshold: float) -> int:
    """The first line of least truncated cost; a line is left as soon as it costs more than the best."""
    best, least = 0, np.inf
    for line in range(len(scale)):
        cost = 0.0
        for i in range(len(x)):
            error = ((scale[line] * x[i] + shift[line]) / target[i] - 1) / threshold
            cost += min(error * error, 1.0)
            if cost >= least:
                break
        if cost < least:
            best, least = line, cost
    return best


def _refine_affine(
    x: FloatArray,
    target: FloatArray,
    sigma: FloatArray,
    start: tuple[float, float],
    low: float,
    floor: float,
    config: AlignmentConfig,
) -> tuple[float, float]:
    """Reweighted least squares from ``start``; the constrained solution where the points allow it."""
    free = _irls_affine(x, target, sigma, start, None, config)
    if free[0] * low + free[1] >= floor:
        return free
    bound = _irls_affine(x, target, sigma, free, (low, floor), config)
    costs = [_robust_cost(x, target, fit, config) for fit in (free, bound)]
    # Where the points clearly contradict the bound (a sky that the model puts nearer than infinity would allow), the
    # fit follows the points, and pixels beyond the limits become invalid instead.
    return bound if costs[1] <= config.advanced.positivity_tolerance * costs[0] else free


def _robust_cost(x: FloatArray, target: FloatArray, fit: tuple[float, float], config: AlignmentConfig) -> float:
    error = (fit[0] * x + fit[1]) / target - 1
    return float(np.minimum((error / config.inlier_threshold) ** 2, 1).mean())


def _irls_affine(
    x: FloatArray,
    target: FloatArray,
    sigma: FloatArray,
    start: tuple[float, float],
    bound: tuple[float, float] | None,
    config: AlignmentConfig,
) -> tuple[float, float]:
    """Cauchy-weighted fit of relative error. ``bound`` (low, floor) puts the line through that point instead."""
    scale, shift = start
    for _ in range(_IRLS_STEPS):
        root = np.sqrt(robust_weights((scale * x + shift) / target - 1, sigma, config)) / target
        if bound is None:
            A = np.stack([x, np.ones_like(x)], axis=1) * root[:, None]
            scale, shift = np.linalg.lstsq(A, target * root, rcond=None)[0]
        else:
            dx = (x - bound[0]) * root
            scale = max(float(dx @ ((target - bound[1]) * root)) / max(float(dx @ dx), 1e-300), 1e-12)
            shift = bound[1] - scale * bound[0]
        if scale <= 0:  # the points do not support a positive scale beyond the start
            return start
    return float(scale), float(shift)


def _refine_scale(x: FloatArray, target: FloatArray, sigma: FloatArray, config: AlignmentConfig) -> float:
    keep = x > 0
    ratio, sigma = target[keep] / x[keep], sigma[keep]
    scale = float(np.median(ratio))
    for _ in range(_IRLS_STEPS):
        weight = robust_weights(scale / ratio - 1, sigma, config)
        scale = float(np.exp((weight * np.log(ratio)).sum() / weight.sum()))
    return scale


def robust_weights(error: FloatArray, sigma: FloatArray, config: AlignmentConfig) -> NDArray[np.float64]:
    """(N,) weights of relative errors: precision of each point times the Cauchy weight of its error.

    The error of a map adds to that of its points; its variance is what the points' own ``sigma`` leaves unexplained.
    """
    spread = robust_sigma(error)
    own = np.maximum(spread**2 - np.median(sigma) ** 2, (0.5 * spread) ** 2)
    expected = np.sqrt(own + sigma**2) + 1e-9
    return 1.0 / expected**2 / (1.0 + (error / (config.advanced.cauchy_scale * expected)) ** 2)


def robust_sigma(values: FloatArray) -> float:
    """Standard deviation about zero of values (N,), from the median of their absolute values."""
    return float(MAD_TO_SIGMA * np.median(np.abs(values))) if len(values) else 0.0
