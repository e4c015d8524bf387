"""Integration with a weight per pixel, which VoxelBlockGrid does not offer: the same rule, written on its buffers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from lotus_recon.fusion.blocks import BLOCK_RESOLUTION
from lotus_recon.fusion.views import SURE, FusionMap, worker_count
from lotus_recon.types import View

_BLOCKS_AT_ONCE = {"cpu": 16, "cuda": 1024}  # on a processor the temporaries then stay in the cache of one core

# Range of the weights that standard deviations give, about that of the median: no pixel decides alone.
_LEAST_PRECISION, _MOST_PRECISION = 1e-3, 10.0

_STORED_COLOR = 255.0  # Open3D stores colours times this and divides by it when it extracts the mesh


@contextmanager
def _one_thread_per_operation() -> Iterator[None]:
    """On arrays this small torch's own threads wait for each other longer than they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class WeightedIntegrator:
    """Averages depth maps into the buffers of a VoxelBlockGrid with float attributes, each pixel with its weight."""

    def __init__(self, grid: Any, voxel_size: float, truncation: float, sigma: float | None = None) -> None:
        """sigma: standard deviation of depth, in units of the scene, at which a fully confident pixel weighs 1."""
        self._grid, self._truncation, self._sigma = grid, truncation, sigma
        self._block_size = voxel_size * BLOCK_RESOLUTION
        # Shared memory: what is written here is what Open3D reads. (capacity * 4096,) and (capacity * 4096, 3)
        self._tsdf = from_dlpack(grid.attribute("tsdf").to_dlpack()).view(-1)
        self._weight = from_dlpack(grid.attribute("weight").to_dlpack()).view(-1)
        self._color = from_dlpack(grid.attribute("color").to_dlpack()).view(-1, 3)
        steps = torch.arange(BLOCK_RESOLUTION, dtype=torch.float64) * voxel_size
        z, y, x = torch.meshgrid(steps, steps, steps, indexing="ij")  # x varies fastest in a block
        self._voxels = torch.stack([x, y, z]).view(3, -1)  # (3, 4096) relative to the corner of the block

    def integrate(self, view: View, depth_map: FusionMap, rgb: NDArray[np.uint8], blocks: Any) -> None:
        """Average one view into ``blocks``, an Open3D tensor (N, 3) of block coordinates."""
        device = self._tsdf.device
        frame = _Frame(view, depth_map, rgb, self._sigma, device)
        # Homogeneous pixels (col * z, row * z, z) are linear in the place of a voxel: block corner plus voxel in block.
        image_from_world = torch.from_numpy(view.camera.K @ view.cam_from_world[:3])
        corners = from_dlpack(blocks.to_dlpack()).to(torch.float64).cpu() * self._block_size  # (N, 3)
        corners_in_image = (corners @ image_from_world[:, :3].T + image_from_world[:, 3]).float().to(device)  # (N, 3)
        voxels_in_image = (image_from_world[:, :3] @ self._voxels).float().to(device)  # (3, 4096)
        rows, _ = self._grid.hashmap().find(blocks)
        rows = from_dlpack(rows.to_dlpack()).to(torch.int64)
        step = _BLOCKS_AT_ONCE[device.type]
        parts = [slice(start, start + step) for start in range(0, len(rows), step)]
        # The parts write different voxels, so their order does not matter.
        with _one_thread_per_operation(), ThreadPoolExecutor(worker_count() if device.type == "cpu" else 1) as pool:
            jobs = [
                pool.submit(self._integrate_part, frame, rows[p], corners_in_image[p], voxels_in_image) for p in parts
            ]
        for job in jobs:
            job.result()

    def _integrate_part(self, frame: _Frame, rows: Tensor, corners_in_image: Tensor, voxels_in_image: Tensor) -> None:
        x, y, z = (corners_in_image[:, i, None] + voxels_in_image[i] for i in range(3))  # each (n, 4096)
        pixel, inside = frame.pixels(x, y, z)
        depth = frame.depth[pixel]
        distance = depth - z
        weight = frame.weight[pixel]
        seen = inside & (depth > 0) & (distance >= -self._truncation)
        # Depth that is not sure says nothing of the space before it.
        seen &= frame.sure[pixel] | (distance <= self._truncation)
        block, offset = seen.nonzero(as_tuple=True)
        voxel = rows[block] * voxels_in_image.shape[1] + offset  # (m,) into the buffers
        pixel, distance, new = pixel[seen], distance[seen], weight[seen]
        old = self._weight[voxel]
        share = new / (old + new)
        self._weight[voxel] = old + new
        self._tsdf[voxel] = torch.lerp(self._tsdf[voxel], (distance / self._truncation).clamp(max=1), share)
        self._color[voxel] = torch.lerp(self._color[voxel], frame.color[pixel], share[:, None])


class _Frame:
    """One view on the device, pixels in one row: depth, weight, sure (H * W,), color (H * W, 3).

    The weight is the confidence that a pixel is right at all, over its variance if it is.
    """

    def __init__(
        self, view: View, depth_map: FusionMap, rgb: NDArray[np.uint8], sigma: float | None, device: torch.device
    ) -> None:
        self.camera = view.camera
        self.depth = torch.from_numpy(depth_map.depth).view(-1).to(device)
        weight = np.ones_like(depth_map.depth) if depth_map.weight is None else depth_map.weight
        self.weight = torch.from_numpy(weight).view(-1).to(device)
        self.sure = self.weight >= SURE
        if sigma is not None and depth_map.sigma is not None:
            own = torch.from_numpy(depth_map.sigma).view(-1).to(device)
            self.weight = self.weight * (sigma / own).square().clamp(_LEAST_PRECISION, _MOST_PRECISION)
        self.color = torch.from_numpy(rgb).view(-1, 3).to(device, torch.float32) * _STORED_COLOR

    def pixels(self, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Index of the pixel that each homogeneous pixel position falls into, and whether it falls into one."""
        camera = self.camera
        col, row = torch.floor(x / z), torch.floor(y / z)
        inside = (z > 0) & (col >= 0) & (col < camera.width) & (row >= 0) & (row < camera.height)
        row, col = (torch.where(inside, value, 0).long() for value in (row, col))
        return row * camera.width + col, inside
