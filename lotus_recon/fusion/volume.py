"""The plan of the voxel volume: size of the voxels, blocks, memory. Made before anything is allocated."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import FusionError
from lotus_recon.fusion.blocks import blocks_per_view
from lotus_recon.fusion.memory import MemoryModel
from lotus_recon.fusion.views import DepthScan
from lotus_recon.fusion.volume_config import TsdfConfig

log = logging.getLogger(__name__)

# Half width of the averaged band, in voxels. Depth that photos do not decide may be as noisy as a sensor's.
_SURE_BAND, _NOISY_BAND = 4.0, 8.0
MAX_COARSENING = 4.0  # voxels grow at most by this factor to fit the budget; beyond, the mesh would be another one


@dataclass(frozen=True, eq=False)
class VolumePlan:
    """Where voxels are needed. Lengths in units of the scene."""

    voxel_size: float
    truncation: float
    blocks_of_view: list[NDArray[np.int64]]  # packed
    blocks: NDArray[np.int64]  # packed, of all views
    memory_bytes: int  # estimated


def plan_volume(scan: DepthScan, config: TsdfConfig, memory: MemoryModel, budget_bytes: int) -> VolumePlan:
    """The finest volume that fits the budget, at most as fine as asked for; a warning tells when it is coarser.

    Raises FusionError when even ``MAX_COARSENING`` times coarser voxels need more.
    """
    asked = config.voxel_size or config.voxel_footprints * scan.footprint
    first = plan = _plan(scan, asked, config, memory)
    while plan.memory_bytes > budget_bytes:
        # Surface and band both scale with the voxel, so the number of blocks goes with its inverse square.
        voxel_size = plan.voxel_size * max(1.02, (plan.memory_bytes / budget_bytes) ** 0.5)
        if voxel_size > MAX_COARSENING * asked:
            raise FusionError(_refusal(asked, first.memory_bytes, budget_bytes))
        plan = _plan(scan, voxel_size, config, memory)
    if plan is not first:
        log.warning(
            "voxels of %.4g would take %.1f GB, the budget is %.1f GB: coarser voxels of %.4g are used (--memory-gb)",
            asked,
            first.memory_bytes / 1e9,
            budget_bytes / 1e9,
            plan.voxel_size,
        )
    return plan


def _plan(scan: DepthScan, voxel_size: float, config: TsdfConfig, memory: MemoryModel) -> VolumePlan:
    voxels = config.advanced.truncation_voxels or (_SURE_BAND if scan.sure else _NOISY_BAND)
    truncation = voxels * voxel_size
    of_view = blocks_per_view(scan, voxel_size, truncation)
    blocks = np.unique(np.concatenate(of_view))
    return VolumePlan(voxel_size, truncation, of_view, blocks, memory.estimate_bytes(len(blocks)))


def _refusal(voxel_size: float, needed_bytes: int, budget_bytes: int) -> str:
    return (
        f"fusion with voxels of {voxel_size:.4g} would take {needed_bytes / 1e9:.2f} GB; the budget is "
        f"{budget_bytes / 1e9:.2f} GB and voxels {MAX_COARSENING:g} times as large do not fit either. "
        "Raise --memory-gb or --voxel-size, or lower --max-depth-ratio"
    )
