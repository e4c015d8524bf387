"""Smooth local correction of an aligned depth map, in log depth, from the sparse points near each pixel.

Inverse-distance weighting of the log residuals of the nearest points (Shepard, 1968), with three parameters that the
points themselves choose by leave-one-out cross-validation over all views: a distance below which points are averaged
(noise), a distance beyond which the correction fades to nothing, and its strength. Points across a depth edge do not
count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from lotus_recon.geometry.camera import pixel_index
from lotus_recon.types import BoolArray, Camera, FloatArray

# Surfaces seen at a smaller angle than this are taken for the two sides of a depth edge.
_EDGE_ANGLE_DEG = 6.0
# Candidates of the cross-validation.
_NEAR = (0.003, 0.006, 0.012, 0.025, 0.05, 0.1)
_FAR = (0.05, 0.1, 0.2, 0.4, 1.0)
_STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
_OUTLIER = 6.0  # times the median error of cross-validation
_CHUNK = 200_000  # pixels at a time: bounds memory


@dataclass(frozen=True)
class Smoothing:
    """How residuals spread. Lengths as a share of the longer side of the picture."""

    near: float  # points closer than this weigh alike
    far: float  # beyond this the correction fades
    strength: float  # 0 switches the correction off


NONE = Smoothing(near=0.01, far=0.1, strength=0.0)


@dataclass(frozen=True, eq=False)
class Barriers:
    """Depth edges between pixels, summed along rows and columns, so that crossings are counted by differences.

    ``across`` (H, W): edges passed on the way from column 0 to a column of the same row; ``down``: from row 0.
    """

    across: NDArray[np.int32]
    down: NDArray[np.int32]

    @classmethod
    def of(cls, depth: FloatArray, valid: BoolArray, camera: Camera) -> Barriers:
        """Edges where depth changes, from one pixel to the next, as only a surface seen edge-on would."""
        steepest = 1.0 / np.tan(np.radians(_EDGE_ANGLE_DEG))
        log_depth = np.log(np.where(valid, depth, 1.0))
        across, down = np.zeros(depth.shape, np.int32), np.zeros(depth.shape, np.int32)
        both = valid[:, 1:] & valid[:, :-1]
        np.cumsum(both & (np.abs(np.diff(log_depth, axis=1)) > steepest / camera.fx), axis=1, out=across[:, 1:])
        both = valid[1:] & valid[:-1]
        np.cumsum(both & (np.abs(np.diff(log_depth, axis=0)) > steepest / camera.fy), axis=0, out=down[1:])
        return cls(across, down)

    def between(self, row: NDArray, col: NDArray, other_row: NDArray, other_col: NDArray) -> BoolArray:
        """Whether both of the two rectangular ways from one pixel to the other cross an edge."""
        rows_first = (self.down[row, col] != self.down[other_row, col]) | (
            self.across[other_row, col] != self.across[other_row, other_col]
        )
        cols_first = (self.across[row, col] != self.across[row, other_col]) | (
            self.down[row, other_col] != self.down[other_row, other_col]
        )
        return rows_first & cols_first


@dataclass(frozen=True, eq=False)
class Residuals:
    """What is left of the points of one view after the global fit: N of them."""

    xy: NDArray[np.float64]  # (N, 2) pixels
    log_ratio: NDArray[np.float64]  # (N,) log(depth of the point / depth of the map)
    weight: NDArray[np.float64]  # (N,) relative precision of the point, at most 1


@dataclass(frozen=True, eq=False)
class Nearest:
    """The points near each of Q positions, as far as no depth edge lies between: K columns, nearest first."""

    squared: NDArray[np.float64]  # (Q, K) squared distance, as a share of the longer side
    log_ratio: NDArray[np.float64]  # (Q, K)
    weight: NDArray[np.float64]  # (Q, K), 0 across an edge

    def correction(self, smoothing: Smoothing) -> NDArray[np.float64]:
        """(Q,) correction of log depth: 0 far from all points."""
        weight = self.weight / (self.squared + smoothing.near**2)
        rest = 1.0 / smoothing.far**2
        return smoothing.strength * (weight * self.log_ratio).sum(1) / (weight.sum(1) + rest)


class LocalField:
    """The points of one view and its depth edges: looks up what is near any position."""

    def __init__(self, residuals: Residuals, barriers: Barriers, neighbours: int) -> None:
        self.residuals = residuals
        self.barriers = barriers
        self.neighbours = neighbours
        self.shape = barriers.across.shape
        self.row, self.col = pixel_index(residuals.xy, *self.shape)

    def near(self, xy: FloatArray) -> Nearest:
        """The nearest points of positions (Q, 2)."""
        return self._gather(xy, *self._query(xy, self.neighbours))

    def near_others(self) -> Nearest:
        """The nearest other points of every point (N rows), for cross-validation."""
        distance, index = self._query(self.residuals.xy, self.neighbours + 1)
        own = index == np.arange(len(index))[:, None]
        own[~own.any(1), -1] = True  # hidden behind points at the same place: drop the last instead
        shape = (len(index), index.shape[1] - 1)
        return self._gather(self.residuals.xy, distance[~own].reshape(shape), index[~own].reshape(shape))

    def _query(self, xy: FloatArray, count: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        count = min(count, len(self.residuals.xy))
        if count == 0:
            return np.zeros((len(xy), 0)), np.zeros((len(xy), 0), np.int64)
        nearest = range(1, count + 1)  # a range keeps the axis of length 1 that a single neighbour would lose
        distance, index = cKDTree(self.residuals.xy).query(xy, k=nearest, workers=-1)
        return np.asarray(distance), np.asarray(index)

    def _gather(self, xy: FloatArray, distance: FloatArray, index: NDArray[np.int64]) -> Nearest:
        row, col = (a[:, None] for a in pixel_index(xy, *self.shape))
        blocked = self.barriers.between(row, col, self.row[index], self.col[index])
        weight = np.where(blocked, 0.0, self.residuals.weight[index])
        return Nearest((distance / max(self.shape)) ** 2, self.residuals.log_ratio[index], weight)

    def without(self, drop: BoolArray) -> LocalField:
        """The field without some of its points."""
        r = self.residuals
        kept = Residuals(r.xy[~drop], r.log_ratio[~drop], r.weight[~drop])
        return LocalField(kept, self.barriers, self.neighbours)


@dataclass(frozen=True, eq=False)
class Matched:
    """Pixels of overlapping views that show the same surface: how much their depth disagrees, and what is near both."""

    log_ratio: NDArray[np.float64]  # (N,) log(depth carried over from the source / depth of the target)
    source: Nearest
    target: Nearest

    def disagreement(self, smoothing: Smoothing) -> NDArray[np.float64]:
        """(N,) the log ratio after both views were corrected."""
        return self.log_ratio + self.source.correction(smoothing) - self.target.correction(smoothing)


def choose_smoothing(fields: Sequence[LocalField], matched: Sequence[Matched]) -> Smoothing:
    """The parameters that predict points best from other points, at the strength at which views also agree best.

    Points alone would not do: their errors repeat between neighbouring views, so that a correction that follows them
    may tear apart maps that agree. The strength minimises the sum of the logarithms of both spreads, the likelihood of
    Laplace-distributed residuals with unknown scales.
    """
    near = [field.near_others() for field in fields if len(field.residuals.xy) > 1]
    if not near:
        return NONE
    truth = np.concatenate([field.residuals.log_ratio for field in fields if len(field.residuals.xy) > 1])

    def points_left(smoothing: Smoothing) -> float:
        return _spread(truth - np.concatenate([n.correction(smoothing) for n in near]))

    shapes = [Smoothing(a, b, 1.0) for a, b in product(_NEAR, _FAR)]
    best = min(shapes, key=points_left)

    overlaps = [m for m in matched if len(m.log_ratio)]

    def cost(smoothing: Smoothing) -> float:
        between = [m.disagreement(smoothing) for m in overlaps]
        return np.log(points_left(smoothing)) + (np.log(_spread(np.concatenate(between))) if between else 0.0)

    return min((replace(best, strength=s) for s in _STRENGTHS), key=cost)


def _spread(values: FloatArray) -> float:
    """Mean absolute value, outliers clipped."""
    size = np.abs(values)
    return float(np.minimum(size, 4 * np.median(size)).mean()) + 1e-9


def drop_outliers(field: LocalField, smoothing: Smoothing) -> LocalField:
    """The field without points that contradict those around them."""
    if len(field.residuals.xy) < 3:
        return field
    left = field.residuals.log_ratio - field.near_others().correction(replace(smoothing, strength=1.0))
    return field.without(np.abs(left) > _OUTLIER * np.median(np.abs(left)))


def corrected(depth: FloatArray, valid: BoolArray, field: LocalField, smoothing: Smoothing) -> NDArray[np.float64]:
    """The depth map (H, W) with the correction applied where it is valid."""
    if not len(field.residuals.xy):
        return np.asarray(depth, np.float64)
    row, col = np.nonzero(valid)
    result = np.array(depth, np.float64)
    for part in np.array_split(np.arange(len(row)), max(1, len(row) // _CHUNK)):
        xy = np.stack([col[part] + 0.5, row[part] + 0.5], axis=1)
        result[row[part], col[part]] *= np.exp(field.near(xy).correction(smoothing))
    return result
