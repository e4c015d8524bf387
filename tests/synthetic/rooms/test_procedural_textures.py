"""Computed bitmaps."""

from __future__ import annotations

import numpy as np
import pytest

from lotus_recon.synthetic.rooms.procedural_textures import PATTERNS


@pytest.mark.parametrize("kind", ["tiles-0", "cloth-0", "plaster-1", "bands-0", "marble-0", "grain-1", "wallpaper-3"])
def test_textures_have_no_seam(kind: str) -> None:
    bitmap = PATTERNS[kind].bitmap().astype(float)
    width, height = PATTERNS[kind].size_m
    assert bitmap.shape[0] / bitmap.shape[1] == pytest.approx(height / width, rel=0.02)
    for axis in (0, 1):
        steps = np.abs(np.diff(bitmap, axis=axis)).mean(tuple({0, 1, 2} - {axis}))
        seam = np.abs(bitmap.take(0, axis) - bitmap.take(-1, axis)).mean()
        assert seam <= 1.5 * np.quantile(steps, 0.99) + 1
