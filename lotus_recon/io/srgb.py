"""Between the sRGB values that files hold and linear light (IEC 61966-2-1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lotus_recon.types import FloatArray


def linear_of_srgb(encoded: FloatArray) -> NDArray[np.float64]:
    """Linear values in [0, 1] of sRGB values in [0, 1]; any shape."""
    encoded = np.asarray(encoded, np.float64)
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def linear_of_bytes(srgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Linear values in [0, 1] of 8-bit sRGB; any shape."""
    return _LINEAR_OF_BYTE[srgb]


def srgb_of_linear(linear: FloatArray) -> NDArray[np.float64]:
    """sRGB values in [0, 1] of linear ones; what is outside [0, 1] is clipped. Any shape."""
    linear = np.clip(np.asarray(linear, np.float64), 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)


_LINEAR_OF_BYTE = linear_of_srgb(np.arange(256) / 255).astype(np.float32)
