"""Which blocks of voxels the surface band touches: found from depth samples before anything is allocated."""

from __future__ import annotations

import functools
import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import FusionError
from lotus_recon.fusion.views import SAMPLE_STRIDE, Survey, worker_count
from lotus_recon.types import View

BLOCK_RESOLUTION = 16  # voxels along the edge of a block

# Depths at which the band is sampled, in half widths: at most half a block apart for the usual 8 voxels.
_BAND = np.linspace(-1, 1, 5)
_BITS = 21  # of each coordinate in a packed block
_MASK = 2**_BITS - 1
_LIMIT = 2 ** (_BITS - 1)  # coordinates lie between -_LIMIT and _LIMIT


def blocks_per_view(survey: Survey, voxel_size: float, truncation: float) -> list[NDArray[np.int64]]:
    """For every view the packed coordinates, sorted, of the blocks that lie within ``truncation`` of its surface.

    Raises FusionError when the scene is too large for voxels this small.
    """
    block_size = voxel_size * BLOCK_RESOLUTION
    with ThreadPoolExecutor(worker_count()) as pool:
        touched = functools.partial(_touched, block_size=block_size, truncation=truncation)
        return list(pool.map(touched, survey.views, survey.samples))


def _touched(view: View, sample: NDArray[np.float32], block_size: float, truncation: float) -> NDArray[np.int64]:
    row, col = np.nonzero(sample)
    camera, first = view.camera, SAMPLE_STRIDE // 2 + 0.5
    x = (col * SAMPLE_STRIDE + first - camera.cx) / camera.fx
    y = (row * SAMPLE_STRIDE + first - camera.cy) / camera.fy
    R = view.cam_from_world[:3, :3]
    rays = (np.stack([x, y, np.ones_like(x)], axis=1) @ R / block_size).astype(np.float32)  # z = 1, in blocks
    center = (view.center_in_world / block_size).astype(np.float32)
    z = np.maximum(sample[row, col] + (_BAND * truncation).astype(np.float32)[:, None], 0)
    if z.max(initial=0) * np.abs(rays).max(initial=0) + np.abs(center).max() >= _LIMIT:
        raise FusionError(f"voxels of {block_size / BLOCK_RESOLUTION:g} are too small for a scene of this extent")
    points = z[..., None] * rays + center  # (band, samples, 3)
    # A sample stands for the pixels around it: it touches the blocks of all corners of a box of their size.
    reach = z[..., None] * np.float32(SAMPLE_STRIDE / 2 / min(camera.fx, camera.fy) / block_size)
    return _corner_blocks(pack(np.floor(points - reach)), pack(np.floor(points + reach)))


def _corner_blocks(low: NDArray[np.int64], high: NDArray[np.int64]) -> NDArray[np.int64]:
    """The blocks, sorted, that hold a corner of one of the boxes, from the packed blocks of two opposite corners."""
    is_new = (np.diff(low, prepend=-1) != 0) | (np.diff(high, prepend=-1) != 0)  # neighbours are mostly alike
    low, high = low[is_new], high[is_new]
    masks = [(_MASK << (_BITS * axis)) for axis in range(3)]
    corners = []
    for choice in itertools.product((False, True), repeat=3):
        from_high = sum(mask for mask, chosen in zip(masks, choice, strict=True) if chosen)
        corners.append((high & from_high) | (low & ~from_high))
    return np.unique(np.concatenate(corners))


def pack(blocks: NDArray) -> NDArray[np.int64]:
    """(N,) one integer for each block coordinate triple (..., 3)."""
    x, y, z = (blocks.reshape(-1, 3).T + _LIMIT).astype(np.int64)
    return (x << 2 * _BITS) | (y << _BITS) | z


def unpack(packed: NDArray[np.int64]) -> NDArray[np.int32]:
    """(N, 3) block coordinates, in units of blocks, of packed ones."""
    triple = np.stack([packed >> 2 * _BITS, (packed >> _BITS) & _MASK, packed & _MASK], axis=1)
    return (triple - _LIMIT).astype(np.int32)
