"""Maps read at positions between their pixels, never blurred across edges. Pixel centres at (0.5, 0.5).

Between four pixels that lie on one surface the value is bilinear, otherwise it is that of the pixel the position is in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lotus_recon.geometry.normals import normalized
from lotus_recon.types import BoolArray, DepthMap, FloatArray, IntArray, NormalMap, Prediction

# Positions nearer to a pixel centre than this are on it: half a float32 step at 8,000 pixels, times two.
_SNAP_PX = 1e-3
_MAX_DEPTH_JUMP = 0.03  # of depth, beyond the slope of the surface
_MAX_AFFINE_JUMP = 0.01  # of the range of an affine map, whose own zero means nothing
_MAX_CREASE_DEG = 20.0  # between the normals of neighbours


@dataclass(frozen=True, eq=False)
class Sampling:
    """Where in a source map of ``shape`` (H, W) each pixel of the result lies: (h, w, 2) x and y in pixels."""

    xy: NDArray[np.float64]
    shape: tuple[int, int]

    @property
    def inside(self) -> BoolArray:
        """(h, w) True where the position lies in the source."""
        height, width = self.shape
        x, y = self.xy[..., 0], self.xy[..., 1]
        return (x >= 0) & (x <= width) & (y >= 0) & (y <= height)  # NaN compares False

    def nearest(self) -> tuple[IntArray, IntArray]:
        """Row and column (h, w) of the pixel that each position is in, clipped to the source."""
        height, width = self.shape
        xy = np.where(self.inside[..., None], self.xy, 0.0)
        row = np.clip(np.floor(xy[..., 1]), 0, height - 1).astype(np.int64)
        col = np.clip(np.floor(xy[..., 0]), 0, width - 1).astype(np.int64)
        return row, col

    def cells(self) -> tuple[IntArray, IntArray, NDArray[np.float64], NDArray[np.float64]]:
        """Upper left of the four pixels around each position, column and row (H, W); shares of the others in [0, 1].

        Beyond the outermost pixel centres the position is moved onto them: the border repeats.
        """
        height, width = self.shape
        xy = np.where(self.inside[..., None], self.xy, 0.5) - 0.5
        whole = np.round(xy)
        xy = np.where(np.abs(xy - whole) < _SNAP_PX, whole, xy)
        x, y = np.clip(xy[..., 0], 0, width - 1), np.clip(xy[..., 1], 0, height - 1)
        col = np.clip(np.floor(x), 0, max(width - 2, 0)).astype(np.int64)
        row = np.clip(np.floor(y), 0, max(height - 2, 0)).astype(np.int64)
        return row, col, y - row, x - col


def sample_depth(depth: DepthMap, sampling: Sampling) -> DepthMap:
    """A depth or disparity map at other positions; positions outside it and in invalid pixels are invalid."""
    values, valid = _sample(depth.values[..., None], depth.valid, sampling, _depth_breaks(depth))
    return DepthMap(values[..., 0], valid, depth.kind)


def sample_normals(normals: NormalMap, sampling: Sampling, depth: DepthMap | None) -> NormalMap:
    """A normal map at other positions, not blended across creases, nor across edges of ``depth`` (same size)."""
    breaks = _crease_breaks(normals)
    if depth is not None:
        breaks |= _depth_breaks(depth)
    values, valid = _sample(normals.values, normals.valid, sampling, breaks)
    exact = np.abs(np.linalg.norm(values, axis=-1, keepdims=True) - 1) < 1e-6
    return NormalMap(np.where(exact, values, normalized(values)).astype(np.float32), valid)


def sample_prediction(prediction: Prediction, sampling: Sampling) -> Prediction:
    """All maps at other positions; sigmas are those of the nearest pixel."""
    depth, normals, nearest = prediction.depth, prediction.normals, sampling.nearest()
    return replace(
        prediction,
        depth=None if depth is None else sample_depth(depth, sampling),
        normals=None if normals is None else sample_normals(normals, sampling, depth),
        depth_sigma=None if prediction.depth_sigma is None else prediction.depth_sigma[nearest],
        normals_sigma_deg=None if prediction.normals_sigma_deg is None else prediction.normals_sigma_deg[nearest],
    )


def sample_mask(mask: BoolArray, sampling: Sampling) -> BoolArray:
    """(h, w) the mask (H, W) at other positions; False outside it."""
    return np.asarray(mask[sampling.nearest()] & sampling.inside)


def _sample(
    values: NDArray[np.float32], valid: BoolArray, sampling: Sampling, breaks: BoolArray
) -> tuple[NDArray[np.float32], BoolArray]:
    """Values (H, W, C) at the positions, and where they are known. ``breaks``: see ``_cell_breaks``."""
    row, col, down, right = sampling.cells()
    below, beside = np.minimum(row + 1, sampling.shape[0] - 1), np.minimum(col + 1, sampling.shape[1] - 1)
    corners = ((row, col), (row, beside), (below, col), (below, beside))
    weights = ((1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right)
    smooth = ~breaks[row, col]
    blended = np.zeros((*row.shape, values.shape[2]))
    finite = np.where(np.isfinite(values), values, 0.0)  # 0 x infinity, from an invalid pixel, would be NaN
    for corner, weight in zip(corners, weights, strict=True):
        smooth &= valid[corner]
        blended += weight[..., None] * finite[corner]
    nearest = sampling.nearest()
    result = np.where(smooth[..., None], blended, values[nearest]).astype(np.float32)
    return result, np.asarray(valid[nearest] & sampling.inside)


def _depth_breaks(depth: DepthMap) -> BoolArray:
    """Cells of four pixels that an edge of the depth crosses.

    Depth that is positive and true up to a factor is compared by ratio. An affine map has no zero: there a step
    counts by its share of the map's range, without the outermost 2 % of the values at either end.
    """
    known = depth.values[depth.valid]
    if depth.kind.has_shift:
        low, high = np.percentile(known, [2, 98]) if known.size else (0.0, 1.0)
        scaled = np.where(depth.valid, depth.values, 0.0) / max(float(high - low), 1e-12)
        return _cell_breaks(scaled[..., None], depth.valid, _MAX_AFFINE_JUMP)
    log_depth = np.log(np.where(depth.valid, depth.values, 1.0))
    return _cell_breaks(log_depth[..., None], depth.valid, float(np.log1p(_MAX_DEPTH_JUMP)))


def _crease_breaks(normals: NormalMap) -> BoolArray:
    """Cells of four pixels across which the normals bend sharply."""
    values = np.where(normals.valid[..., None], normals.values, 0.0)
    return _cell_breaks(values, normals.valid, 2 * float(np.sin(np.radians(_MAX_CREASE_DEG) / 2)))


def _cell_breaks(values: FloatArray, valid: BoolArray, max_jump: float) -> BoolArray:
    """(H, W) True where two neighbours among the pixels (row, col) .. (row + 1, col + 1) of ``values`` (H, W, C) differ
    by more than ``max_jump`` beyond what the surface does on both sides of them: a steep smooth slope is no break."""
    down, right = _jumps(values, valid, 0) > max_jump, _jumps(values, valid, 1) > max_jump
    breaks = np.zeros(valid.shape, bool)
    breaks[:-1] |= down
    breaks[:-1, :-1] |= down[:, 1:]
    breaks[:, :-1] |= right
    breaks[:-1, :-1] |= right[1:]
    return breaks


def _jumps(values: FloatArray, valid: BoolArray, axis: int) -> NDArray[np.float64]:
    """Size of each step along ``axis`` beyond the smaller of the steps before and after it; 0 beside invalid pixels."""
    values, valid = np.moveaxis(np.asarray(values, np.float64), axis, 0), np.moveaxis(valid, axis, 0)
    step = np.linalg.norm(np.diff(values, axis=0), axis=-1) * (valid[1:] & valid[:-1])
    before, after = np.concatenate([step[:1], step[:-1]]), np.concatenate([step[1:], step[-1:]])
    return np.moveaxis(step - np.minimum(before, after), 0, axis)
