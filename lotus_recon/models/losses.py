"""Errors of predicted maps as losses, per photo. B photos of H x W pixels; masks (B, H, W) bool."""

from __future__ import annotations

import torch
from torch.nn import functional

_SCALES = 4  # of the gradient loss
_LARGEST_RELATIVE = 1.0  # a larger relative error weighs no more: one wrong far pixel must not outweigh the rest
_STEP = 1.1  # ratio of the depths of neighbours from which they are two surfaces
_FEWEST = 64  # pixels that a scale and a shift can be fitted to


def usable_depth(mask: torch.Tensor) -> torch.Tensor:
    """(B,) bool: images with enough valid depth to learn from."""
    return mask.flatten(1).sum(1) >= _FEWEST


def masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """(B,) mean over the pixels of each photo that count; 0 where none does."""
    counts = mask.flatten(1).sum(1).clamp_min(1)
    return torch.where(mask, values, 0).flatten(1).sum(1) / counts


def relative_error(predicted: torch.Tensor, disparity: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """(B,) mean of |aligned - true| / true disparity after the least-squares scale and shift of each photo.

    predicted, disparity (B, H, W). This is AbsRel as depth is scored after an affine alignment in disparity, to first
    order (Ranftl et al., TPAMI 2020, eq. 1-4 for the alignment). The fit itself passes no gradient.
    """
    with torch.no_grad():
        scale, shift = _affine_fit(predicted.double(), disparity.double(), mask)
    error = (scale * predicted + shift - disparity).abs() / disparity.clamp_min(1e-6)
    return masked_mean(error.clamp(max=_LARGEST_RELATIVE), mask)


def _affine_fit(x: torch.Tensor, y: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and shift (B, 1, 1) float32 that map x to y best over the mask; the scale is never negative."""
    mean_x, mean_y = masked_mean(x, mask)[:, None, None], masked_mean(y, mask)[:, None, None]
    covariance = masked_mean((x - mean_x) * (y - mean_y), mask)
    variance = masked_mean((x - mean_x) ** 2, mask)
    scale = (covariance / variance.clamp_min(1e-8)).clamp_min(0)[:, None, None]
    return scale.float(), (mean_y - scale * mean_x).float()


def gradient_error(predicted: torch.Tensor, target: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """(B,) mean difference between the steps from pixel to pixel, summed over scales (Ranftl et al., 2020, eq. 11)."""
    residual = predicted - target
    total = torch.zeros(len(predicted), device=predicted.device)
    for _ in range(_SCALES):
        for axis in (-1, -2):
            both = mask.narrow(axis, 1, mask.shape[axis] - 1) & mask.narrow(axis, 0, mask.shape[axis] - 1)
            total = total + masked_mean(residual.diff(dim=axis).abs(), both)
        residual, mask = residual[..., ::2, ::2], mask[..., ::2, ::2]
    return total


def depth_edges(depth: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """(B, H, W) bool: pixels on either side of a step in ``depth`` (B, H, W), within the mask."""
    farthest = functional.max_pool2d(torch.where(mask, depth, 0), 3, 1, 1)
    nearest = -functional.max_pool2d(torch.where(mask, -depth, -torch.inf), 3, 1, 1)
    return mask & (farthest > _STEP * nearest)


def edge_error(predicted: torch.Tensor, target: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
    """(B,) mean distance, and mean difference between the steps from pixel to pixel, at ``edges`` only."""
    residual = predicted - target
    total = masked_mean(residual.abs(), edges)
    for axis in (-1, -2):
        both = edges.narrow(axis, 1, edges.shape[axis] - 1) & edges.narrow(axis, 0, edges.shape[axis] - 1)
        total = total + masked_mean(residual.diff(dim=axis).abs(), both)
    return total


def angle(predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """(B, H, W) angle in radians between vectors (B, 3, H, W), ``target`` of unit length; smooth also at 0 and pi."""
    cross = torch.linalg.cross(predicted, target, dim=1).square().sum(1).add(1e-8).sqrt()
    return torch.atan2(cross, (predicted * target).sum(1))
