"""The slant of a prior after its predicted normals, which are sharper than its depth."""

from __future__ import annotations

import torch
from torch import Tensor

from lotus_recon.refinement.matching import rays
from lotus_recon.refinement.offsets import Edges, scattered_flow, solve_field
from lotus_recon.types import Camera

_GRAZING = 0.1  # cosine between surface and ray below which a normal says nothing of the slope
_SLOPE_SCALE = 0.05  # difference of slope, in log depth per pixel, at which normals and depth show different surfaces


def slanted(depth: Tensor, normals: Tensor, known: Tensor, camera: Camera, edges: Edges, window_px: float) -> Tensor:
    """(H, W) offset of log depth that turns windows after the normals; depth itself stays over ``window_px`` pixels.

    On a surface with normal n (3, H, W, camera axes) along rays r, z (n . r) is constant, so the slope of log z along x
    is -n_x / (fx n . r), and along y likewise. Minimises
    sum |u|^2 / window^2 + sum bond |grad (log depth + u) - slope|^2; normals are valid where ``known`` (H, W).
    """
    toward = (normals * rays(camera, depth.device)).sum(0)
    usable = known & (toward < -_GRAZING)
    toward = torch.where(usable, toward, -1.0)
    log_depth = depth.log()
    lacking_x = _between(-normals[0] / (camera.fx * toward), 1) - log_depth.diff(dim=1)
    lacking_y = _between(-normals[1] / (camera.fy * toward), 0) - log_depth.diff(dim=0)
    right = edges.right * (usable[:, 1:] & usable[:, :-1]) * _confidence(lacking_x)
    below = edges.below * (usable[1:] & usable[:-1]) * _confidence(lacking_y)
    prior_weight = torch.full_like(depth, 1 / window_px**2)
    force = scattered_flow(right * lacking_x, below * lacking_y)
    return solve_field(prior_weight, force, Edges(right, below), 1.0, torch.zeros_like(depth))


def _between(values: Tensor, axis: int) -> Tensor:
    """Mean of neighbours along ``axis``."""
    length = values.shape[axis] - 1
    return (values.narrow(axis, 0, length) + values.narrow(axis, 1, length)) / 2


def _confidence(lacking: Tensor) -> Tensor:
    return torch.exp(-0.5 * (lacking / _SLOPE_SCALE) ** 2)
