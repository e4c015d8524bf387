"""Look-up of map values between pixel centres, without mixing the two sides of a depth edge."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lotus_recon.types import BoolArray, FloatArray


def sample_without_jumps(values: FloatArray, valid: BoolArray, xy: FloatArray, jump: float) -> NDArray[np.float64]:
    """(N,) values of a map (H, W) at positions ``xy`` (N, 2), first pixel centre at (0.5, 0.5).

    Bilinear over those of the four pixels that are valid and differ by at most ``jump`` (unit of ``values``) from the
    pixel that holds the position. NaN where that pixel is invalid or outside.
    """
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


def value_range(values: FloatArray, valid: BoolArray) -> float:
    """Spread of the valid values of a map (H, W): between their 2nd and 98th percentile."""
    low, high = np.percentile(values[valid], [2, 98])
    return float(high - low)
