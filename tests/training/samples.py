"""Samples whose pixels can be told apart."""

from __future__ import annotations

import numpy as np

from lotus_recon.datasets.samples import Sample


def numbered(height: int = 12, width: int = 16) -> Sample:
    """Every pixel's depth and colour say which it is; some are invalid, some sky."""
    number = np.arange(height * width).reshape(height, width)
    valid, sky = number % 7 != 3, number % 7 == 3
    normals = np.stack([number, number, number], -1).astype(np.float32)
    rgb = np.stack([number % 256] * 3, -1).astype(np.uint8)
    return Sample("numbered", rgb, number.astype(np.float32) + 1, valid, sky, normals, valid)
