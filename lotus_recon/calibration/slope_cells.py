"""Small cells of a depth map with normals: slope of the depth and mean normal of each, and how sure both are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lotus_recon.geometry.normals import normalized
from lotus_recon.types import BoolArray, FloatArray

CELLS_ACROSS = 64  # of the longer side of the photo
MIN_CELL_PX = 4
# Cells with less are left out: that many of their pixels are usable; their mean normal is that long (a mean of normals
# that are 45 degrees to either side of one direction).
_MIN_SHARE = 0.5
_MIN_MEAN_NORMAL = 0.7
# A cell whose normals scatter more than this many times the usual holds more than one surface.
_MIXED_SCATTER = 1.5
# Neighbours that far apart, in cells, mostly lie on one plane: the quarter of them that differ least is compared.
_LAG = 3
_LOW_SHARE = 0.25
_LOW_CHI2 = -2 * np.log(1 - _LOW_SHARE)  # that quantile for two degrees of freedom


@dataclass(frozen=True, eq=False)
class SlopeCells:
    """M square cells of a photo of ``width`` x ``height`` pixels; ``index``: place in ``grid`` (rows, columns)."""

    width: int
    height: int
    grid: tuple[int, int]
    index: NDArray[np.int64]  # (M,) row-major
    xy: NDArray[np.float64]  # (M, 2) pixels, first pixel centre at 0.5
    value: NDArray[np.float64]  # (M,) of the map, in the middle of the usable pixels
    slope: NDArray[np.float64]  # (M, 2) of the map, per pixel
    slope_variance: NDArray[np.float64]  # (M,) from what a plane leaves unexplained, per axis
    normal: NDArray[np.float64]  # (M, 3) unit
    normal_variance: NDArray[np.float64]  # (M,) of the mean normal, radians squared per tangent direction

    def __len__(self) -> int:
        return len(self.value)


def slope_cells(values: FloatArray, normals: FloatArray, usable: BoolArray) -> SlopeCells:
    """Cells of a map (H, W) that is locally affine, with unit normals (H, W, 3), from the ``usable`` pixels (H, W).

    A plane is affine in disparity anywhere, and in depth nearly so within a cell.
    """
    height, width = values.shape
    size = max(MIN_CELL_PX, round(max(height, width) / CELLS_ACROSS))
    grid = -(-height // size), -(-width // size)
    row, column = np.nonzero(usable)
    cell = (row // size) * grid[1] + column // size
    count = np.bincount(cell, minlength=grid[0] * grid[1])

    def mean(of: FloatArray) -> NDArray[np.float64]:
        return np.bincount(cell, of, len(count)) / np.maximum(count, 1)

    x, y, d = column + 0.5, row + 0.5, np.asarray(values, np.float64)[usable]
    center = np.stack([mean(x), mean(y), mean(d)], axis=-1)
    x, y, d = x - center[cell, 0], y - center[cell, 1], d - center[cell, 2]
    xx, xy, yy, xd, yd, dd = mean(x * x), mean(x * y), mean(y * y), mean(x * d), mean(y * d), mean(d * d)
    determinant = xx * yy - xy * xy
    mean_normal = np.stack([mean(np.asarray(normals, np.float64)[..., k][usable]) for k in range(3)], axis=-1)
    length = np.linalg.norm(mean_normal, axis=-1)
    # A square cell has xx = yy = size^2 / 12; usable pixels along a line give no slope across it.
    keep = (count >= _MIN_SHARE * size**2) & (determinant > 0.1 * (size**2 / 12) ** 2) & (length > _MIN_MEAN_NORMAL)
    safe = np.where(keep, determinant, 1.0)
    slope = np.stack([yy * xd - xy * yd, xx * yd - xy * xd], axis=-1) / safe[:, None]
    unexplained = np.maximum(dd - slope[:, 0] * xd - slope[:, 1] * yd, 0) * count / np.maximum(count - 3, 1)
    # A step or a crease inside the cell is one error, not one for each pixel: no division by their number.
    slope_variance = unexplained / np.maximum((xx + yy) / 2, 1e-12)
    return SlopeCells(
        width,
        height,
        grid,
        np.flatnonzero(keep),
        center[keep, :2],
        center[keep, 2],
        slope[keep],
        slope_variance[keep],
        normalized(mean_normal[keep]),
        _normal_variance(np.maximum(1 - length[keep] ** 2, 0) / 2, count[keep]),
    )


def _normal_variance(scatter: FloatArray, count: NDArray[np.int64]) -> NDArray[np.float64]:
    """(M,) scatter that all cells have averages out over pixels; more than that is more than one surface."""
    if not len(scatter):
        return np.zeros(0)
    usual = float(np.median(scatter))
    return usual / count + 0.5 * np.maximum(scatter - _MIXED_SCATTER * usual, 0)


def neighbours(cells: SlopeCells) -> NDArray[np.int64]:
    """(P, 2) pairs of cells that are a few cells apart along a row or a column."""
    place = np.full(cells.grid[0] * cells.grid[1], -1)
    place[cells.index] = np.arange(len(cells))
    place = place.reshape(cells.grid)
    across = np.stack([place[:, :-_LAG].ravel(), place[:, _LAG:].ravel()], axis=-1)
    down = np.stack([place[:-_LAG].ravel(), place[_LAG:].ravel()], axis=-1)
    pairs = np.concatenate([across, down])
    return np.asarray(pairs[(pairs >= 0).all(axis=-1)])


def neighbour_variance(pairs: NDArray[np.int64], vectors: FloatArray) -> float:
    """Variance of each of two components of vectors (M, D) that would be alike on one plane, were there no errors."""
    if not len(pairs):
        return 0.0
    squared = ((vectors[pairs[:, 0]] - vectors[pairs[:, 1]]) ** 2).sum(-1)
    return float(np.quantile(squared, _LOW_SHARE)) / (2 * _LOW_CHI2)
