"""Between the sRGB of files and the linear light that renderers compute with (IEC 61966-2-1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lotus_recon.types import FloatArray


def linear_rgb(srgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Linear values in [0, 1] of 8-bit sRGB; any shape."""
    return _LINEAR_OF_BYTE[srgb]


def srgb_encoded(linear: FloatArray) -> NDArray[np.float32]:
    """sRGB values in [0, 1] of linear ones; what is outside [0, 1] is clipped."""
    linear = np.clip(linear, 0, 1)
    power = 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055
    return np.asarray(np.where(linear <= 0.0031308, 12.92 * linear, power), np.float32)


def _linear(encoded: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


_LINEAR_OF_BYTE = _linear(np.arange(256) / 255).astype(np.float32)
