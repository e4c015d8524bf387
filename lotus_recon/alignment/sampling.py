"""Look-up of map values between pixel centres, without mixing the two sides of a depth edge."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lotus_recon.alignment import look_up
from lotus_recon.types import BoolArray, FloatArray


def sample_without_jumps(values: FloatArray, valid: BoolArray, xy: FloatArray, jump: float) -> NDArray[np.float64]:
    """(N,) values of a map (H, W) at positions ``xy`` (N, 2), first pixel centre at (0.5, 0.5).

    Bilinear over those of the four pixels that are valid and differ by at most ``jump`` (unit of ``values``) from the
    pixel that holds the position. NaN where that pixel is invalid or outside.
    """
    out = np.empty(len(xy))
    look_up.sample(values, valid, np.asarray(xy, np.float64), jump, out)
    return out


def value_range(values: FloatArray, valid: BoolArray) -> float:
    """Spread of the valid values of a map (H, W): between their 2nd and 98th percentile."""
    low, high = np.percentile(values[valid], [2, 98])
    return float(high - low)
