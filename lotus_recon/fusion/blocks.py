"""Which blocks of voxels the surface band touches: found from depth samples before anything is allocated."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import FusionError
from lotus_recon.fusion.views import SAMPLE_STRIDE, DepthScan, worker_count
from lotus_recon.types import View

BLOCK_RESOLUTION = 16  # voxels along the edge of a block

_BITS = 20  # of each coordinate in a packed block: 3 more are needed for the box in _corner_blocks
_MASK = 2**_BITS - 1
_LIMIT = 2 ** (_BITS - 1)  # coordinates lie between -_LIMIT and _LIMIT


def blocks_per_view(scan: DepthScan, voxel_size: float, truncation: float) -> list[NDArray[np.int64]]:
    """For every view the packed coordinates (N,), sorted, of the blocks within ``truncation`` of its surface.

    Raises FusionError when the scene is too large for voxels this small.
    """
    block_size = voxel_size * BLOCK_RESOLUTION
    with ThreadPoolExecutor(worker_count()) as pool:
        touched = functools.partial(_touched, block_size=block_size, truncation=truncation)
        return list(pool.map(touched, scan.views, scan.samples))


def _touched(view: View, sample: NDArray[np.float32], block_size: float, truncation: float) -> NDArray[np.int64]:
    row, col = np.nonzero(sample)
    camera, first = view.camera, SAMPLE_STRIDE // 2 + 0.5
    x = (col * SAMPLE_STRIDE + first - camera.cx) / camera.fx
    y = (row * SAMPLE_STRIDE + first - camera.cy) / camera.fy
    R = view.cam_from_world[:3, :3]
    rays = (R.T @ np.stack([x, y, np.ones_like(x)]) / block_size).astype(np.float32)  # (3, samples), z = 1, in blocks
    center = (view.center_in_world / block_size).astype(np.float32)[:, None]
    band = np.linspace(-truncation, truncation, 2 * int(np.ceil(4 * truncation / block_size)) + 1)  # 1/4 block apart
    z = np.maximum(sample[row, col] + band.astype(np.float32)[:, None], 0)  # (band, samples)
    if z.max(initial=0) * np.abs(rays).max(initial=0) + np.abs(center).max() >= _LIMIT:
        raise FusionError(f"voxels of {block_size / BLOCK_RESOLUTION:g} are too small for a scene of this extent")
    points = z[:, None] * rays + center  # (band, 3, samples)
    # A sample stands for the pixels around it: it touches the blocks of all corners of a box of their size.
    reach = z[:, None] * np.float32(SAMPLE_STRIDE / 2 / min(camera.fx, camera.fy) / block_size)
    low, high = np.floor(points - reach), np.floor(points + reach)
    return _corner_blocks(pack(low.swapaxes(0, 1)).ravel(), pack(high.swapaxes(0, 1)).ravel())


def _corner_blocks(low: NDArray[np.int64], high: NDArray[np.int64]) -> NDArray[np.int64]:
    """The blocks, sorted, that hold a corner of one of the boxes, from the packed blocks of two opposite corners."""
    across = high - low
    box = low << 3
    for axis in range(3):  # bit ``axis`` of a box: it reaches into the next block along that axis
        box |= ((across >> _BITS * axis & _MASK) > 0).astype(np.int64) << axis
    box = np.unique(box[np.diff(box, prepend=-1) != 0])  # neighbours are mostly alike: less is left for unique
    corners = box >> 3
    for axis in range(3):
        step = (box >> axis & 1) << _BITS * axis
        corners = np.concatenate([corners, corners + np.tile(step, 2**axis)])
    return np.unique(corners)


def pack(blocks: NDArray) -> NDArray[np.int64]:
    """(...) one integer for each block: coordinates (3, ...) along x, y and z."""
    x, y, z = (axis.astype(np.int64) + _LIMIT for axis in blocks)
    return (x << 2 * _BITS) | (y << _BITS) | z


def unpack(packed: NDArray[np.int64]) -> NDArray[np.int32]:
    """(N, 3) block coordinates, in units of blocks, of packed ones."""
    triple = np.stack([packed >> 2 * _BITS, (packed >> _BITS) & _MASK, packed & _MASK], axis=1)
    return (triple - _LIMIT).astype(np.int32)
