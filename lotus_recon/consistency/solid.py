"""Which pixels of a depth map are on a surface: neither flying at depth edges nor seen edge-on."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lotus_recon.consistency.config import ConsistencyConfig
from lotus_recon.geometry.depth import depth_edges, grazing
from lotus_recon.geometry.normals import normals_from_depth
from lotus_recon.io.scene_maps import ViewMaps
from lotus_recon.types import BoolArray, Camera, View


def without_flying(view: View, maps: ViewMaps, config: ConsistencyConfig, device: torch.device) -> BoolArray:
    """(H, W) valid pixels away from depth edges and from surfaces seen edge-on, where there is any confidence.

    Computed with CUDA where that is the ``device``, and copied back once.
    """
    depth, advanced = maps.required_depth, config.advanced
    if device.type == "cuda":
        values, valid = torch.from_numpy(depth.values).to(device), torch.from_numpy(depth.valid).to(device)
        limits = advanced.edge_jump, advanced.min_grazing_deg
        solid: BoolArray = solid_pixels(values, valid, view.camera, *limits).cpu().numpy()
    else:
        normals, known = normals_from_depth(depth.values, depth.valid, view.camera)
        edges = depth_edges(depth.values, depth.valid, advanced.edge_jump)
        flat = known & grazing(normals, view.camera, advanced.min_grazing_deg)
        solid = depth.valid & ~edges & ~flat
    return solid if maps.confidence is None else solid & (maps.confidence > 0)


def solid_pixels(depth: Tensor, valid: Tensor, camera: Camera, edge_jump: float, min_grazing_deg: float) -> Tensor:
    """(H, W) bool: the same of tensors (H, W), as ``depth_edges``, ``normals_from_depth`` and ``grazing`` find it."""
    clean = torch.where(valid, depth, 1)
    return (
        valid & ~_edges(clean, valid & (depth > 0), valid, edge_jump) & ~_grazing(clean, valid, camera, min_grazing_deg)
    )


def _edges(clean: Tensor, positive: Tensor, valid: Tensor, edge_jump: float) -> Tensor:
    """A jump counts by how much it exceeds the smaller of the two steps beside it in the same direction."""
    log_depth = torch.log(torch.where(positive, clean, 1))
    edges = torch.zeros_like(valid)
    for dim in (0, 1):
        length = valid.shape[dim] - 1
        if length < 1:
            continue
        both = valid.narrow(dim, 0, length) & valid.narrow(dim, 1, length)
        step = torch.where(both, log_depth.diff(dim=dim), 0).abs()
        place = torch.arange(length, device=step.device)
        beside = [step.index_select(dim, (place + by).clamp(0, length - 1)) for by in (1, -1)]
        jump = both & (step - torch.minimum(*beside) > np.log1p(edge_jump))
        edges.narrow(dim, 0, length).logical_or_(jump)
        edges.narrow(dim, 1, length).logical_or_(jump)
    return edges


def _grazing(clean: Tensor, valid: Tensor, camera: Camera, min_angle_deg: float) -> Tensor:
    """Where the normal is known and the surface is seen at less than this angle."""
    height, width = valid.shape
    x = (torch.arange(width, device=clean.device, dtype=torch.float64) + 0.5 - camera.cx) / camera.fx
    y = (torch.arange(height, device=clean.device, dtype=torch.float64) + 0.5 - camera.cy) / camera.fy
    rays = torch.stack(
        [x.expand(height, -1), y[:, None].expand(-1, width), torch.ones_like(clean, dtype=torch.float64)]
    )
    points = rays * clean
    (down, known_down), (across, known_across) = (_nearer_step(points, valid, dim) for dim in (0, 1))
    normals = torch.linalg.cross(down, across, dim=0)
    length = normals.norm(dim=0)
    normals = normals / length.clamp(min=1e-12)
    cosine = (normals * rays).sum(0).abs() / rays.norm(dim=0)
    known = valid & known_down & known_across & (length > 1e-12)
    return known & (cosine < np.sin(np.radians(min_angle_deg)))


def _nearer_step(points: Tensor, valid: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """(3, H, W) to the next or from the previous pixel, whichever changes z less, and where there is one (H, W)."""
    length = valid.shape[dim] - 1
    step = points.diff(dim=dim + 1)
    usable = valid.narrow(dim, 0, length) & valid.narrow(dim, 1, length)
    size = torch.where(usable, step[2].abs(), torch.inf)
    zero, none = torch.zeros_like(points.narrow(dim + 1, 0, 1)), torch.full_like(points[2].narrow(dim, 0, 1), torch.inf)
    ahead, ahead_size = torch.cat([step, zero], dim + 1), torch.cat([size, none], dim)
    behind, behind_size = torch.cat([zero, step], dim + 1), torch.cat([none, size], dim)
    best = torch.where(ahead_size <= behind_size, ahead, behind)
    return best, torch.minimum(ahead_size, behind_size).isfinite()
