"""Truncated signed distance fusion on Open3D's VoxelBlockGrid (CPU or CUDA).

Curless and Levoy, "A volumetric method for building complex models from range images", SIGGRAPH 1996: every voxel
near a surface holds the weighted mean of its truncated distances to the depth maps; the mesh is the zero crossing.

VoxelBlockGrid truncates when it picks the pixel of a voxel, so K with the first pixel centre at 0.5 is passed as it is.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import Any

import numpy as np
import open3d
from numpy.typing import NDArray

from lotus_recon.config import Runtime
from lotus_recon.errors import FusionError
from lotus_recon.fusion.blocks import BLOCK_RESOLUTION, unpack
from lotus_recon.fusion.confidence import vertex_confidence
from lotus_recon.fusion.config import FusionConfig
from lotus_recon.fusion.crop import cropped
from lotus_recon.fusion.free_space import blocks_before
from lotus_recon.fusion.memory import FREE_SHARE, INTEGRATION_STEP, MemoryModel, free_memory_bytes
from lotus_recon.fusion.views import DepthScan, FusionMap, FusionViews, worker_count
from lotus_recon.fusion.volume import VolumePlan, plan_volume
from lotus_recon.fusion.volume_config import TsdfConfig
from lotus_recon.fusion.weighted import WeightedIntegrator
from lotus_recon.types import Mesh, View

log = logging.getLogger(__name__)
core: Any = open3d.core  # its type stubs do not know the constructors used here

# Open3D knows two layouts. Counted views and 16-bit colours take 12 bytes a voxel, weights between 0 and 1 need floats.
_COUNTED = ((core.float32, core.uint16, core.uint16), 12)
_WEIGHTED = ((core.float32, core.float32, core.float32), 20)
# Open3D stores 255 times the value of a float image and divides by it again when it extracts: colours from 0 to 255
# therefore fill the 16 bits, and the running mean, which is rounded, neither sticks nor overflows.


def fuse(
    views: FusionViews, config: FusionConfig, options: TsdfConfig, runtime: Runtime
) -> tuple[Mesh, dict[str, Any]]:
    """The surface of all views in world axes, and the figures of its making.

    Raises FusionError when no pixel or no surface is left, or memory does not suffice.
    """
    device = _device(runtime.device)
    started = time.monotonic()
    scan = views.scan(config.max_depth_ratio, config.crop)
    plan = _plan(scan, config, options, device)
    scanned = time.monotonic()
    grid = _Grid(plan, scan, device)
    for (view, depth_map, rgb), packed in zip(views.maps(scan.max_depth), plan.blocks_of_view, strict=True):
        # Only confidence tells which depth is evidence that the space before it is free.
        carved = blocks_before(view, depth_map, plan.blocks, plan.voxel_size) if scan.weighted else packed[:0]
        grid.integrate(view, depth_map, rgb, unpack(np.union1d(packed, carved)))
    integrated = time.monotonic()
    # The volume ends with its blocks, around the box.
    mesh = cropped(grid.mesh(options.advanced.min_fused_weight), scan.box)
    if len(mesh.triangles) == 0:
        raise FusionError(
            f"the fused volume of {len(plan.blocks)} blocks holds no surface with a summed weight above "
            f"{options.advanced.min_fused_weight:g} (tsdf.advanced.min_fused_weight): {scan.cuts}"
        )
    extracted = time.monotonic()
    confidence = np.ones(len(mesh.vertices), np.float32)
    if scan.weighted:
        confidence = vertex_confidence(mesh.vertices, views.depth_maps(scan.max_depth), plan.truncation)
    seconds = {
        "scan": scanned - started,
        "integration": integrated - scanned,
        "extraction": extracted - integrated,
        "confidence": time.monotonic() - extracted,
    }
    return replace(mesh, confidence=confidence), {**_figures(scan, plan, device), "seconds": seconds}


def _device(asked: str) -> str:
    kind, _, index = asked.partition(":")
    available = bool(core.cuda.is_available())
    if kind == "cuda" and not available:
        log.warning("this Open3D has no CUDA device: depth maps are fused on the CPU")
    return f"CUDA:{index or 0}" if available and kind in ("auto", "cuda") else "CPU:0"


def _plan(scan: DepthScan, config: FusionConfig, options: TsdfConfig, device: str) -> VolumePlan:
    memory = MemoryModel(
        voxel_bytes=(_WEIGHTED if scan.weighted else _COUNTED)[1],
        scan_bytes=scan.nbytes,
        frame_pixels=scan.largest,
        workers=worker_count() if scan.weighted else 0,
    )
    budget = FREE_SHARE * free_memory_bytes(device) if config.memory_gb is None else config.memory_gb * 1e9
    return plan_volume(scan, options, memory, int(budget))


def _figures(scan: DepthScan, plan: VolumePlan, device: str) -> dict[str, Any]:
    return {
        "device": device,
        "views": len(scan.views),
        "weighted": scan.weighted,
        "voxel_size": plan.voxel_size,
        "truncation": plan.truncation,
        "max_depth": scan.max_depth,
        "crop": None if scan.box is None else scan.box.numbers,
        "pixel_footprint": scan.footprint,
        "blocks": len(plan.blocks),
        "estimated_memory_mb": plan.memory_bytes / 2**20,
        "pixels": {
            "all": scan.cuts.pixels,
            "invalid": scan.cuts.invalid,
            "unconfident": scan.cuts.unconfident,
            "far": scan.cuts.far,
        },
    }


class _Grid:
    """A VoxelBlockGrid with all its blocks in place from the start."""

    def __init__(self, plan: VolumePlan, scan: DepthScan, device: str) -> None:
        self._device = core.Device(device)
        self._truncation_voxels = plan.truncation / plan.voxel_size
        voxel_block_grid: Any = open3d.t.geometry.VoxelBlockGrid
        self._grid = voxel_block_grid(
            ("tsdf", "weight", "color"),
            (_WEIGHTED if scan.weighted else _COUNTED)[0],
            (1, 1, 3),
            voxel_size=plan.voxel_size,
            block_resolution=BLOCK_RESOLUTION,
            # Activating blocks, even ones that are there, doubles the whole grid when size plus request exceed this.
            block_count=len(plan.blocks) + INTEGRATION_STEP,
            device=self._device,
        )
        self._grid.hashmap().activate(self._tensor(unpack(plan.blocks)))
        self._weighted = None
        if scan.weighted:
            self._weighted = WeightedIntegrator(self._grid, plan.voxel_size, plan.truncation, scan.sigma)

    def _tensor(self, array: NDArray) -> Any:
        return core.Tensor(np.ascontiguousarray(array), device=self._device)

    def integrate(self, view: View, depth_map: FusionMap, rgb: NDArray[np.uint8], blocks: NDArray[np.int32]) -> None:
        """Average one depth map into the given blocks (N, 3)."""
        if self._weighted is not None:
            self._weighted.integrate(view, depth_map, rgb, self._tensor(blocks))
            return
        depth = open3d.t.geometry.Image(self._tensor(depth_map.depth))
        color = open3d.t.geometry.Image(self._tensor(rgb.astype(np.float32)))
        K, cam_from_world = core.Tensor(view.camera.K), core.Tensor(view.cam_from_world)
        for start in range(0, len(blocks), INTEGRATION_STEP):
            self._grid.integrate(
                self._tensor(blocks[start : start + INTEGRATION_STEP]),
                depth,
                color,
                K,
                cam_from_world,
                depth_scale=1.0,
                depth_max=float("inf"),
                trunc_voxel_multiplier=self._truncation_voxels,
            )

    def mesh(self, min_weight: float) -> Mesh:
        """The zero crossing between voxels of a summed weight above ``min_weight``, in no defined order."""
        surface = self._grid.extract_triangle_mesh(weight_threshold=min_weight).cpu()
        if "indices" not in surface.triangle or len(surface.triangle.indices) == 0:
            return Mesh(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32))
        return Mesh(
            surface.vertex.positions.numpy().astype(np.float32),
            surface.triangle.indices.numpy().astype(np.int32),
            np.clip(surface.vertex.colors.numpy().round(), 0, 255).astype(np.uint8),
        )
