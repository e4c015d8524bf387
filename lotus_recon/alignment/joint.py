"""Scales and shifts of all views together, so that overlapping maps agree on what they both see.

Unknowns are, per view, the logarithms of the slope and of the target (depth or 1 / depth) at a typical predicted
value: both factors stay positive and of order one. Residuals are relative depth errors: of the map against the sparse
points, and of the depth of one map reprojected into another view against that view's map. Gauss-Newton with robust
weights; the pixels are matched again in every step. How much the overlaps count follows from the spread of both
residuals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import spsolve

from lotus_recon.alignment.config import AlignmentConfig
from lotus_recon.alignment.fit import DepthFit, robust_sigma, robust_weights
from lotus_recon.alignment.overlap import Reprojected, image_cell, sources_of
from lotus_recon.alignment.sampling import sample_without_jumps
from lotus_recon.alignment.views import AlignedView
from lotus_recon.alignment.work import WorkingMaps
from lotus_recon.threads import in_threads
from lotus_recon.types import DepthMap, FloatArray

_STEPS = 12
_CONVERGED = 1e-5  # step of the logarithms
_PROBE = 1e-3  # relative step of depth for numeric derivatives
_MAX_STEP = 0.2  # of the logarithms, per iteration
_MAX_SLOPE = 5.0  # of a residual by log depth: beyond, the pixel slides along a surface seen edge-on
_MIN_SIGMA = 1e-4  # relative; residuals never count as better than this
_OVERLAP_WEIGHTS = (1e-3, 1e2)  # bounds of the extra weight of overlaps
_DAMPING = 1e-6  # relative, of the normal equations: keeps what nothing determines where it is


@dataclass(frozen=True, eq=False)
class _Residuals:
    """N linearised residuals: relative depth errors and their derivatives by the unknowns of at most two views."""

    error: NDArray[np.float64]  # (N,)
    first: NDArray[np.int64]  # (N,) view
    second: NDArray[np.int64]  # (N,) view
    by_first: NDArray[np.float64]  # (N, 2)
    by_second: NDArray[np.float64]  # (N, 2)
    weight: NDArray[np.float64]  # (N,) first the expected own error, then 1 / variance
    cell: NDArray[np.int64]  # (N,) residuals of one cell may share an error


class _Unknowns:
    """Slope and level (target at the reference value) of every view, in logarithms, and what follows from them."""

    def __init__(self, views: Sequence[AlignedView], maps: WorkingMaps) -> None:
        self.kinds = [v.fit.kind for v in views]
        self.reference = np.array([_reference(v, maps) for v in views])
        slope = np.array([v.fit.scale for v in views])
        self.log_slope = np.log(slope)
        self.log_level = np.log(slope * self.reference + np.array([v.fit.shift for v in views]))

    def move(self, step: FloatArray) -> None:
        self.log_slope += step[0::2]
        self.log_level += step[1::2]

    def fit(self, index: int) -> DepthFit:
        slope = float(np.exp(self.log_slope[index]))
        shift = float(np.exp(self.log_level[index])) - slope * float(self.reference[index])
        kind = self.kinds[index]
        return DepthFit(kind, slope, shift if kind.has_shift else 0.0)

    def log_depth(self, index: int, value: FloatArray) -> NDArray[np.float64]:
        return self.fit(index).log_depth(value)

    def derivatives(self, index: int, value: FloatArray) -> NDArray[np.float64]:
        """(N, 2) derivative of log depth by log slope and log level."""
        fit = self.fit(index)
        if not fit.kind.has_shift:
            return np.tile([1.0, 0.0], (len(value), 1))
        sign = -1.0 if fit.inverse else 1.0
        slope, level = np.exp(self.log_slope[index]), np.exp(self.log_level[index])
        run = value - self.reference[index]
        target = level + slope * run
        return sign * np.stack([slope * run / target, level / target], axis=1)


def _reference(view: AlignedView, maps: WorkingMaps) -> float:
    """A typical predicted value, about which slope and level are nearly independent."""
    values = view.points.value if len(view.points) else _valid_values(maps.prediction(view.view))
    positive = values[np.isfinite(view.fit.depth(values))]
    return float(np.median(positive))


def _valid_values(prediction: DepthMap) -> NDArray[np.float64]:
    return prediction.values[prediction.valid].astype(np.float64)


def refine_jointly(
    views: Sequence[AlignedView], neighbours: Sequence[NDArray[np.int64]], maps: WorkingMaps, config: AlignmentConfig
) -> list[AlignedView]:
    """The views, fits refined together. ``neighbours``: per view the indices (K,) of those to compare with."""
    unknowns = _Unknowns(views, maps)
    sources = sources_of(neighbours)
    for _ in range(_STEPS):
        points = [_point_residuals(i, v, unknowns, config) for i, v in enumerate(views) if len(v.points)]
        samples = [_Samples.of(i, view, unknowns) for i, view in enumerate(views)]

        def compare(target: int, samples: Sequence[_Samples] = samples) -> _Residuals:
            seen = [samples[i] for i in sources[target]]
            return _overlap_residuals(seen, target, views[target], maps, unknowns, config)

        overlaps = list(in_threads(compare, [j for j, some in enumerate(sources) if len(some)]))
        overlap_weight = _overlap_weight(points, overlaps)
        step = _solve(_balanced(points, config) + _balanced(overlaps, config, overlap_weight), len(views))
        unknowns.move(np.clip(step, -_MAX_STEP, _MAX_STEP))
        if np.abs(step).max() < _CONVERGED:
            break
    return [replace(view, fit=unknowns.fit(i)) for i, view in enumerate(views)]


@dataclass(frozen=True, eq=False)
class _Samples:
    """The N samples of a view under the current unknowns."""

    index: int
    view: AlignedView
    log_depth: NDArray[np.float64]  # (N,)
    derivatives: NDArray[np.float64]  # (N, 2) of log depth by the unknowns of the view

    @classmethod
    def of(cls, index: int, view: AlignedView, unknowns: _Unknowns) -> _Samples:
        value = view.predicted.sparse.value
        return cls(index, view, unknowns.log_depth(index, value), unknowns.derivatives(index, value))

    def reprojected(self, target: AlignedView, shift: float = 0.0) -> Reprojected:
        """The samples, all log depths moved by ``shift``, as another view sees them."""
        return Reprojected.of(self.view.view, self.view.predicted.sparse, self.log_depth + shift, target.view)

    def cells(self) -> NDArray[np.int64]:
        return image_cell(self.index, self.view.predicted.sparse.xy, self.view.view.camera.size)


def _overlap_residuals(
    sources: Sequence[_Samples],
    index: int,
    target: AlignedView,
    maps: WorkingMaps,
    unknowns: _Unknowns,
    config: AlignmentConfig,
) -> _Residuals:
    """log(depth of a sample reprojected into the target / depth that the target's map has there), where both exist."""
    prediction = maps.prediction(target.view)

    def difference(shift: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(N,) residuals, NaN where the target says nothing, and the target's predicted values there."""
        seen = Reprojected.joined([samples.reprojected(target, shift) for samples in sources])
        value = sample_without_jumps(prediction.values, prediction.valid, seen.xy, target.predicted.jump)
        return seen.log_depth - unknowns.log_depth(index, value), value

    error, value = difference(0.0)
    # The pixel slides over the target's map when its depth changes: a numeric derivative has that in it.
    slope = (difference(_PROBE)[0] - error) / _PROBE
    advanced = config.advanced
    keep = np.isfinite(slope) & (np.abs(error) < advanced.overlap_gate) & (np.abs(slope) < _MAX_SLOPE)
    first = np.concatenate([np.full(len(samples.log_depth), samples.index) for samples in sources])
    by_first = np.concatenate([samples.derivatives for samples in sources])
    cell = np.concatenate([samples.cells() for samples in sources])
    return _Residuals(
        error=error[keep],
        first=first[keep],
        second=np.full(int(keep.sum()), index),
        by_first=by_first[keep] * slope[keep, None],
        by_second=-unknowns.derivatives(index, value[keep]),
        weight=np.zeros(int(keep.sum())),
        cell=cell[keep],
    )


def _point_residuals(index: int, view: AlignedView, unknowns: _Unknowns, config: AlignmentConfig) -> _Residuals:
    """log(depth of the map / depth of the sparse point)."""
    error = unknowns.log_depth(index, view.points.value) - np.log(view.points.depth)
    keep = np.abs(error) < config.advanced.overlap_gate  # also drops NaN
    points, error = view.points.where(keep), error[keep]
    by_first = unknowns.derivatives(index, points.value)
    first = np.full(len(error), index)
    cell = image_cell(index, points.xy, view.view.camera.size)
    return _Residuals(error, first, first, by_first, np.zeros_like(by_first), points.sigma, cell)


def _overlap_weight(points: Sequence[_Residuals], overlaps: Sequence[_Residuals]) -> float:
    """Extra weight of the overlaps: the squared variance of the points over that of the overlaps, within bounds.

    Weights 1 / variance alone would be right for noise. But where maps disagree by more than the points scatter, it is
    because their shapes differ, which no scale and shift mends: overlaps must not drag such maps off their points.
    """
    if not any(len(r.error) for r in points) or not any(len(r.error) for r in overlaps):
        return 1.0
    spread = [max(robust_sigma(np.concatenate([r.error for r in sort])), _MIN_SIGMA) for sort in (points, overlaps)]
    return float(np.clip((spread[0] / spread[1]) ** 4, *_OVERLAP_WEIGHTS))


def _balanced(residuals: Sequence[_Residuals], config: AlignmentConfig, extra_weight: float = 1.0) -> list[_Residuals]:
    """Residuals of one sort with weights 1 / variance, lowered for what they share within a cell."""
    residuals = [r for r in residuals if len(r.error)]
    if not residuals:
        return []
    error, cell = (np.concatenate([getattr(r, name) for r in residuals]) for name in ("error", "cell"))
    share = extra_weight / _design_effect(error, cell)
    return [replace(r, weight=share * robust_weights(r.error, r.weight + _MIN_SIGMA, config)) for r in residuals]


def _design_effect(error: FloatArray, cell: NDArray[np.int64]) -> float:
    """How many residuals of a cell count as one: 1 when they are independent, their number when they are all alike.

    Ratio of the variance of cell means to what independent residuals would give (Kish, "Survey Sampling", 1965).
    """
    limit = 3 * robust_sigma(error)
    clipped = np.clip(error, -limit, limit)
    _, index, count = np.unique(cell, return_inverse=True, return_counts=True)
    means = np.bincount(index, clipped) / count
    return max(1.0, float((count * means**2).mean()) / max(float((clipped**2).mean()), 1e-300))


def _solve(residuals: Sequence[_Residuals], views: int) -> NDArray[np.float64]:
    """(2 V,) Gauss-Newton step from the weighted normal equations, which are sparse: a view has few neighbours."""
    H: Any = sparse.csc_array((2 * views, 2 * views))
    g = np.zeros(2 * views)
    parts = []
    for r in residuals:
        rows = np.repeat(np.arange(len(r.error)), 4)
        cols = np.stack([2 * r.first, 2 * r.first + 1, 2 * r.second, 2 * r.second + 1], axis=1).ravel()
        values = np.hstack([r.by_first, r.by_second]) * np.sqrt(r.weight)[:, None]
        J: Any = sparse.csr_array((values.ravel(), (rows, cols)), (len(r.error), 2 * views))
        parts.append((J.T @ J).tocoo())
        g -= J.T @ (r.error * np.sqrt(r.weight))
    if parts:
        data, row, col = (np.concatenate([getattr(part, name) for part in parts]) for name in ("data", "row", "col"))
        H = sparse.coo_array((data, (row, col)), H.shape).tocsc()
    diagonal = H.diagonal()
    damping = _DAMPING * np.maximum(diagonal, diagonal.max(initial=1e-12))
    return np.asarray(spsolve(H + sparse.diags_array(damping, format="csc"), g), np.float64)
