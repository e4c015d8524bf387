"""The look-ups of alignment written plainly: a k-d tree for every call, and arrays of all queries at once.

Slow, and easy to check: the oracle of the compiled ones, and what ``make bench`` measures them against.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from lotus_recon.alignment.local import DepthDiscontinuities, LocalField, NearestOthers, Smoothing
from lotus_recon.geometry.camera import pixel_index
from lotus_recon.types import BoolArray, FloatArray

_CHUNK = 200_000  # pixels at a time


def between(
    discontinuities: DepthDiscontinuities, row: NDArray, col: NDArray, other_row: NDArray, other_col: NDArray
) -> BoolArray:
    """Whether both rectangular ways from pixels to others cross a discontinuity."""
    across, down = discontinuities.across, discontinuities.down
    rows_first = (down[row, col] != down[other_row, col]) | (across[other_row, col] != across[other_row, other_col])
    cols_first = (across[row, col] != across[row, other_col]) | (down[row, other_col] != down[other_row, other_col])
    return np.asarray(rows_first & cols_first)


def correction(field: LocalField, xy: FloatArray, smoothing: Smoothing) -> NDArray[np.float64]:
    """(Q,) correction of log depth at positions (Q, 2)."""
    return _gather(field, xy, *_query(field, xy, field.neighbours)).correction(smoothing)


def map_correction(field: LocalField, valid: BoolArray, smoothing: Smoothing) -> NDArray[np.float64]:
    """(H, W) correction of log depth at all ``valid`` pixels (H, W)."""
    result = np.zeros(valid.shape)
    row, col = np.nonzero(valid)
    for part in np.array_split(np.arange(len(row)), max(1, len(row) // _CHUNK)):
        xy = np.stack([col[part] + 0.5, row[part] + 0.5], axis=1)
        result[row[part], col[part]] = correction(field, xy, smoothing)
    return result


def near_others(field: LocalField) -> NearestOthers:
    """The nearest other points of every point."""
    distance, index = _query(field, field.residuals.xy, field.neighbours + 1)
    own = index == np.arange(len(index))[:, None]
    own[~own.any(1), -1] = True  # hidden behind points at the same place: drop the last instead
    shape = (len(index), max(index.shape[1] - 1, 0))
    return _gather(field, field.residuals.xy, distance[~own].reshape(shape), index[~own].reshape(shape))


def _query(field: LocalField, xy: FloatArray, count: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    count = min(count, len(field.residuals.xy))
    if count == 0:
        return np.zeros((len(xy), 0)), np.zeros((len(xy), 0), np.int64)
    distance, index = cKDTree(field.residuals.xy).query(xy, k=range(1, count + 1), workers=-1)
    return np.asarray(distance), np.asarray(index)


def _gather(field: LocalField, xy: FloatArray, distance: FloatArray, index: NDArray[np.int64]) -> _PlainOthers:
    row, col = (a[:, None] for a in pixel_index(xy, *field.shape))
    point_row, point_col = pixel_index(field.residuals.xy, *field.shape)
    blocked = between(field.discontinuities, row, col, point_row[index], point_col[index])
    weight = np.where(blocked, 0.0, field.residuals.weight[index])
    squared = np.asarray(distance, np.float64) ** 2
    return _PlainOthers(squared, field.residuals.log_ratio[index], weight, max(field.shape))


class _PlainOthers(NearestOthers):
    def correction(self, smoothing: Smoothing) -> NDArray[np.float64]:
        weight = self.weight / (self.squared / self.longer_side**2 + smoothing.near**2)
        total = (weight * self.log_ratio).sum(1)
        return np.asarray(smoothing.strength * total / (weight.sum(1) + 1.0 / smoothing.far**2))


def sample_without_jumps(values: FloatArray, valid: BoolArray, xy: FloatArray, jump: float) -> NDArray[np.float64]:
    """(N,) values of a map (H, W) at positions (N, 2)."""
    H, W = values.shape
    inside = (xy[:, 0] >= 0) & (xy[:, 0] < W) & (xy[:, 1] >= 0) & (xy[:, 1] < H)
    x, y = np.where(inside, xy[:, 0], 0.5), np.where(inside, xy[:, 1], 0.5)
    row, col = y.astype(np.int64), x.astype(np.int64)
    center = values[row, col].astype(np.float64)
    known = inside & valid[row, col]
    left, top = np.floor(x - 0.5).astype(np.int64), np.floor(y - 0.5).astype(np.int64)
    total, weights = np.zeros(len(x)), np.zeros(len(x))
    for dy in (0, 1):
        for dx in (0, 1):
            r, c = np.clip(top + dy, 0, H - 1), np.clip(left + dx, 0, W - 1)
            value = values[r, c].astype(np.float64)
            weight = (1 - np.abs(y - 0.5 - (top + dy))) * (1 - np.abs(x - 0.5 - (left + dx)))
            weight = weight * (valid[r, c] & (np.abs(value - center) <= jump))
            total += weight * np.where(weight > 0, value, 0)
            weights += weight
    return np.where(known, total / np.where(known, np.maximum(weights, 1e-12), 1), np.nan)


@contextlib.contextmanager
def plain_look_ups() -> Iterator[None]:
    """Let alignment use these look-ups meanwhile."""
    rooms = ("control_points", "joint", "start", "views")
    with contextlib.ExitStack() as stack:
        for function in (correction, map_correction, near_others):
            stack.enter_context(mock.patch.object(LocalField, function.__name__, function))
        for room in rooms:
            name = f"lotus_recon.alignment.{room}.sample_without_jumps"
            stack.enter_context(mock.patch(name, sample_without_jumps))
        yield
