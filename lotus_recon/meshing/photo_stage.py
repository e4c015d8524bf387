"""Stage ``mesh`` of a single photo: points.ply, mesh.ply and mesh.glb of its calibrated depth."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lotus_recon.calibration.stage import Calibrated
from lotus_recon.config import Runtime
from lotus_recon.geometry.devices import pick_device
from lotus_recon.io.meshes import write_glb, write_ply
from lotus_recon.meshing.config import SurfaceConfig
from lotus_recon.meshing.depth_surface import surface_from_depth
from lotus_recon.normal_integration.config import NormalIntegrationConfig
from lotus_recon.normal_integration.guided import integrated_depth
from lotus_recon.types import DepthMap, NormalMap

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Inputs:
    """The photo (H, W, 3), its predicted normals, and its camera and depth."""

    name: str
    rgb: NDArray[np.uint8]
    normals: NormalMap | None
    calibrated: Calibrated
    runtime: Runtime


def run(inputs: Inputs, surface: SurfaceConfig, integration: NormalIntegrationConfig, out_dir: Path) -> None:
    """Write the point cloud and the mesh (camera axes; the GLB has y up); nothing for a photo without depth."""
    depth, camera = inputs.calibrated.depth, inputs.calibrated.camera
    if depth is None:
        return
    if surface.surface == "integrated":
        depth = _integrated(depth, inputs, integration)
    points, mesh = surface_from_depth(depth, inputs.rgb, camera, inputs.normals, surface)
    write_ply(out_dir / "points.ply", points)
    write_ply(out_dir / "mesh.ply", mesh)
    write_glb(out_dir / "mesh.glb", mesh)


def _integrated(depth: DepthMap, inputs: Inputs, config: NormalIntegrationConfig) -> DepthMap:
    """The depth whose small shapes come from the normals, where they are known."""
    normals = inputs.normals
    if normals is None or not (depth.valid & normals.valid).any():
        log.warning("%s has no normals where it has depth: its surface is that of the depth", inputs.name)
        return depth
    camera = inputs.calibrated.camera
    device = pick_device(inputs.runtime.device)
    surface = integrated_depth(depth, np.ones(depth.shape), normals, camera, None, config, device).depth
    return DepthMap(np.where(np.isfinite(surface), surface, depth.values), depth.valid, depth.kind)
