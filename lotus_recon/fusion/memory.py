"""How much memory fusion will take, known before it is taken, and how much there is."""

from __future__ import annotations

from dataclasses import dataclass

import psutil

from lotus_recon.fusion.blocks import BLOCK_RESOLUTION
from lotus_recon.measuring import room_below_limits

FREE_SHARE = 0.6  # of the free memory is the budget when none is given
INTEGRATION_STEP = 256  # blocks integrated by one call; the grid must have room for them (see tsdf.py)

_VOXELS = BLOCK_RESOLUTION**3
_EXTRACTION_BYTES = 16  # per voxel, Open3D's marching cubes: three vertex indices and the case, int32
# Upper bounds seen on curved, noisy surface; a plane through the middle of a block has 256 and 512.
_VERTICES, _TRIANGLES = 256, 512  # per block
_VERTEX_BYTES, _TRIANGLE_BYTES = 36, 12  # position, normal, colour; three indices
_ORDERING_BYTES = 160  # per triangle: edges, labels and sorting keys as 64-bit integers
_FRAME_BYTES = 72  # per pixel of one view: photo, its float copies, decoding
_WORKER_BYTES = 16 << 20  # temporaries of one thread of the weighted integration
_FIXED_BYTES = 40 << 20  # thread pools, code of the libraries, small arrays


@dataclass(frozen=True)
class MemoryModel:
    """What the estimate depends on besides the number of blocks."""

    voxel_bytes: int
    scan_bytes: int  # depth samples, held until the end
    frame_pixels: int
    workers: int  # threads of the weighted integration

    def estimate_bytes(self, n_blocks: int) -> int:
        """Peak of the memory that fusing ``n_blocks`` blocks adds to the process."""
        grid = (n_blocks + INTEGRATION_STEP) * (_VOXELS * self.voxel_bytes + 256)
        extraction = n_blocks * (_VOXELS * _EXTRACTION_BYTES + _VERTICES * _VERTEX_BYTES + _TRIANGLES * _TRIANGLE_BYTES)
        integration = self.frame_pixels * _FRAME_BYTES + self.workers * _WORKER_BYTES  # freed late, by the allocator
        ordering = n_blocks * _TRIANGLES * _ORDERING_BYTES
        return _FIXED_BYTES + self.scan_bytes + max(grid + integration + extraction, ordering)


def free_memory_bytes(device: str) -> int:
    """Memory that can be taken now on ``device`` ("CPU:0", "CUDA:0"), within the limits of a container."""
    if device.startswith("CUDA"):
        import torch

        return int(torch.cuda.mem_get_info()[0])
    return min([psutil.virtual_memory().available, *room_below_limits()])


def resident_bytes() -> int:
    """Memory the process holds now."""
    return int(psutil.Process().memory_info().rss)
