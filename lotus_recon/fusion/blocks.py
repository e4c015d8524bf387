"""Which blocks of voxels the surface band touches: found from depth samples before anything is allocated."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import FusionError
from lotus_recon.fusion.views import SAMPLE_STRIDE, Survey
from lotus_recon.types import View

BLOCK_RESOLUTION = 16  # voxels along the edge of a block

# Depths at which the band is sampled, in half widths: at most half a block apart for the usual 8 voxels.
_BAND = np.linspace(-1, 1, 5)
_BITS = 21  # of each coordinate in a packed block


def blocks_per_view(survey: Survey, voxel_size: float, truncation: float) -> list[NDArray[np.int64]]:
    """For every view the packed coordinates, sorted, of the blocks that lie within ``truncation`` of its surface.

    Raises FusionError when the scene is too large for voxels this small.
    """
    block_size = voxel_size * BLOCK_RESOLUTION
    return [
        _touched(view, sample, block_size, truncation)
        for view, sample in zip(survey.views, survey.samples, strict=True)
    ]


def _touched(view: View, sample: NDArray[np.float32], block_size: float, truncation: float) -> NDArray[np.int64]:
    row, col = np.nonzero(sample)
    camera, first = view.camera, SAMPLE_STRIDE // 2 + 0.5
    x = (col * SAMPLE_STRIDE + first - camera.cx) / camera.fx
    y = (row * SAMPLE_STRIDE + first - camera.cy) / camera.fy
    R = view.cam_from_world[:3, :3]
    rays = (np.stack([x, y, np.ones_like(x)], axis=1) @ R / block_size).astype(np.float32)  # z = 1, in blocks
    center = (view.center_in_world / block_size).astype(np.float32)
    z = np.maximum(sample[row, col] + (_BAND * truncation).astype(np.float32)[:, None], 0)
    blocks = np.floor(z[..., None] * rays + center)  # (band, samples, 3)
    if len(row) and np.abs(blocks).max() >= 2 ** (_BITS - 1):
        raise FusionError(f"voxels of {block_size / BLOCK_RESOLUTION:g} are too small for a scene of this extent")
    return np.unique(pack(blocks.reshape(-1, 3).astype(np.int64)))


def pack(blocks: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) one integer for each block coordinate triple (N, 3)."""
    x, y, z = (blocks + 2 ** (_BITS - 1)).T
    return (x << 2 * _BITS) | (y << _BITS) | z


def unpack(packed: NDArray[np.int64]) -> NDArray[np.int32]:
    """(N, 3) block coordinates, in units of blocks, of packed ones."""
    mask = 2**_BITS - 1
    triple = np.stack([packed >> 2 * _BITS, (packed >> _BITS) & mask, packed & mask], axis=1)
    return (triple - 2 ** (_BITS - 1)).astype(np.int32)
