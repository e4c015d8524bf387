"""All colours of a room in one array, smaller and smaller copies too: texture lookups for many rays at once."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from lotus_recon.io.srgb import linear_of_bytes
from lotus_recon.synthetic.rooms.scene import Material

_LEVELS = 10  # each half as large as the one before (Williams, "Pyramidal parametrics", 1983)


class TextureAtlas:
    """Reflected or emitted colours of materials at texture coordinates."""

    def __init__(self, materials: Sequence[Material]) -> None:
        levels = [level for material in materials for level in _pyramid(material)]
        sizes = np.array([level.shape[:2] for level in levels])
        self._texels = np.concatenate([level.reshape(-1, 3) for level in levels])
        self._start = np.concatenate([[0], np.cumsum(sizes.prod(1))[:-1]])
        self._height, self._width = sizes.T
        self._texture_area = sizes[::_LEVELS].prod(1).astype(np.float64)  # per material, in texels

    def colors(
        self, material: NDArray[np.int64], uv: NDArray[np.float64], footprint: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """(N, 3) linear RGB of materials (N,) at ``uv`` (N, 2), repeated; ``footprint`` (N,) is an area in uv units."""
        texels = np.maximum(footprint * self._texture_area[material], 1.0)
        level = material * _LEVELS + np.minimum(0.5 * np.log2(texels), _LEVELS - 1).astype(np.int64)
        width, height = self._width[level], self._height[level]
        column = np.minimum((uv[:, 0] % 1.0 * width).astype(np.int64), width - 1)
        row = np.minimum(((1 - uv[:, 1]) % 1.0 * height).astype(np.int64), height - 1)
        return self._texels[self._start[level] + row * width + column]


def _pyramid(material: Material) -> list[NDArray[np.float32]]:
    """Linear images of a material, from full size to one texel; for sources of light, what they emit."""
    if material.texture is None:
        color = material.emission if material.shines else material.color
        return [np.array(color, np.float32).reshape(1, 1, 3)] * _LEVELS
    factor = np.array(material.emission if material.shines else (1, 1, 1), np.float32)
    image = linear_of_bytes(material.texture) * factor
    levels: list[NDArray[np.float32]] = [image]
    while len(levels) < _LEVELS:
        height, width = (max(1, side // 2) for side in levels[-1].shape[:2])
        half = cv2.resize(levels[-1], (width, height), interpolation=cv2.INTER_AREA)
        levels.append(np.asarray(half, np.float32).reshape(height, width, 3))
    return levels
