"""From decoded maps to typed depth and normals. B images of H x W pixels."""

from __future__ import annotations

import numpy as np
import torch

from lotus_recon.errors import ModelError
from lotus_recon.types import DepthKind, DepthMap, NormalMap

# A decoded normal is of unit length give or take the network's error; a much shorter vector has no direction.
_MIN_LENGTH = 0.3
# The camera is not known here. Up to 60 degrees off the axis, nothing with n_z above this can face the camera.
_MAX_Z = float(np.sin(np.radians(60)))


def to_depth(raw: torch.Tensor, kind: DepthKind) -> list[DepthMap]:
    """Depth or disparity of raw maps (B, 3, H, W): the mean over the three channels, as in the official code."""
    values = _to_host(raw.mean(dim=1))  # B H W
    return [DepthMap(depth, np.ones(depth.shape, bool), kind) for depth in values]


def to_normals(raw: torch.Tensor) -> list[NormalMap]:
    """Normals of raw maps (B, 3, H, W).

    The released checkpoints write x left, y up, z to the camera as (n + 1) / 2; OpenCV axes are the opposite of all
    three: n = -(2 raw - 1). Invalid where the vector is too short to have a direction or cannot face a camera.
    """
    vectors = 1 - 2 * raw  # B 3 H W
    length = vectors.norm(dim=1, keepdim=True)
    unit = torch.where(length > 0, vectors / length.clamp_min(1e-12), 0.0)
    valid = (length[:, 0] > _MIN_LENGTH) & (unit[:, 2] < _MAX_Z)
    values, masks = _to_host(unit.permute(0, 2, 3, 1)), valid.cpu().numpy()
    return [NormalMap(normals, mask) for normals, mask in zip(values, masks, strict=True)]


def _to_host(values: torch.Tensor) -> np.ndarray:
    array = values.contiguous().cpu().numpy()
    if not np.isfinite(array).all():
        raise ModelError("the network's output is not finite: half precision overflowed; try --dtype float32")
    return array
