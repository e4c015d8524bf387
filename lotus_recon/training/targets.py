"""From ground truth to the targets of the network: values in [-1, 1], and masks of the pixels that count."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.models.base import TASKS
from lotus_recon.training.config import ObjectiveConfig
from lotus_recon.types import BoolArray

Normalization = Literal["trunc_disparity", "disparity", "truncnorm", "instnorm"]

# What depth is affine in after each normalisation.
DEPTH_SPACES: dict[str, Literal["disparity", "depth"]] = {
    "trunc_disparity": "disparity",
    "disparity": "disparity",
    "truncnorm": "depth",
    "instnorm": "depth",
}
CUT_PERCENT = {"trunc_disparity": 2.0, "disparity": 0.0, "truncnorm": 2.0, "instnorm": 0.0}
# A narrower range, as a share of the largest value, is the rounding of a map that has only one depth.
NARROWEST_RANGE = 1e-5


def check_targets(objective: ObjectiveConfig) -> None:
    """Raise InputError unless the tasks exist and the depth space is that of the normalisation."""
    tasks = objective.tasks
    if not tasks or set(tasks) - set(TASKS) or len(set(tasks)) < len(tasks):
        raise InputError(f"objective.tasks is {tasks}; allowed: one or more of {', '.join(TASKS)}, each once")
    normalization, space = objective.depth_normalization, objective.depth_space
    if "depth" in tasks and DEPTH_SPACES[normalization] != space:
        fitting = ", ".join(name for name, its_space in DEPTH_SPACES.items() if its_space == space)
        raise InputError(
            f"objective.depth_normalization {normalization} does not go with depth_space {space}; allowed: {fitting}"
        )


def depth_annotation(
    depth: NDArray[np.float32], valid: BoolArray, sky: BoolArray | None, normalization: Normalization
) -> tuple[NDArray[np.float32], BoolArray]:
    """Depth (H, W), positive where valid, as values in [-1, 1], and the mask (H, W) of those that count: valid OR sky.

    ``trunc_disparity`` and ``disparity`` give 1 / depth, larger = nearer; ``truncnorm`` and ``instnorm`` give depth,
    larger = farther. The 2nd and 98th percentile (trunc...), or the smallest and the largest, of the valid values
    become -1 and 1; what lies beyond is clipped. Sky is at the far end. Where nothing counts the value is 0, and so is
    that of a map of one depth only. (Lotus: arXiv 2409.18124, section 5; Marigold: arXiv 2312.02145, section 3.)
    """
    in_disparity = DEPTH_SPACES[normalization] == "disparity"
    values = np.where(valid, depth, np.float32(1))
    if in_disparity:
        values = 1 / values
    result = np.where(valid, _normalized(values, values[valid], CUT_PERCENT[normalization]), np.float32(0))
    if sky is None:
        return result, valid
    far = np.float32(-1 if in_disparity else 1)
    return np.where(sky & ~valid, far, result), valid | sky


def _normalized(
    values: NDArray[np.float32], valid_values: NDArray[np.float32], cut_percent: float
) -> NDArray[np.float32]:
    """``values`` mapped so that the range of ``valid_values`` without its ends becomes [-1, 1], and clipped to it."""
    if valid_values.size == 0:
        return np.zeros_like(values)
    low, high = (float(value) for value in np.percentile(valid_values, [cut_percent, 100 - cut_percent]))
    if high - low <= NARROWEST_RANGE * high:
        return np.zeros_like(values)
    return np.clip((values - np.float32(low)) * np.float32(2 / (high - low)) - 1, -1, 1)


def normal_annotation(normals: NDArray[np.float32], valid: BoolArray) -> NDArray[np.float32]:
    """Unit normals (H, W, 3) in OpenCV camera axes, as (3, H, W) values in [-1, 1]; 0 where invalid.

    The released checkpoints store (1 - n) / 2: x to the left, y up, z towards the camera. In [-1, 1] that is -n.
    """
    return np.ascontiguousarray(np.where(valid[..., None], -normals, np.float32(0)).transpose(2, 0, 1))


def latent_mask(mask: torch.Tensor, vae_scale_factor: int) -> torch.Tensor:
    """Mask (B, 1, h, w) bool of the latent cells whose pixels are all in the ``mask`` (B, 1, H, W) bool.

    A cell has ``vae_scale_factor`` pixels on each side. Raises InputError unless that divides H and W.
    """
    height, width = mask.shape[-2:]
    if height % vae_scale_factor or width % vae_scale_factor:
        raise InputError(f"mask of {width}x{height} pixels: the sides must be multiples of {vae_scale_factor}")
    cells = mask.unflatten(-1, (-1, vae_scale_factor)).unflatten(-3, (-1, vae_scale_factor))
    return cells.all(dim=-1).all(dim=-2)
