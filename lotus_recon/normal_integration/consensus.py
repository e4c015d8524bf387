"""Multi-view depth consensus: depth maps of one scene move towards the mean of what overlapping maps say.

A map whose small shapes are right and whose large ones are off by a smooth error of its own meets others, whose errors
are different, on the surfaces that they share. Their mean is nearer to the truth than each, and maps that agree fuse
into one surface instead of several layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn.functional import interpolate

from lotus_recon.geometry.consistency import SAME_SURFACE, DepthTensors, depth_log_ratio
from lotus_recon.geometry.points import MAD_TO_SIGMA

_SPREADS = 4.0  # standard deviations of the difference between maps up to which they see the same surface
_SAMPLES = 192  # pixels along the longer side that are compared
_SMOOTH = 0.03  # standard deviation of the smoothing of a correction, as a share of the longer side
_UNKNOWN = 0.02  # share of compared pixels around one at which it is half corrected


def moved_to_consensus(this: DepthTensors, others: Sequence[DepthTensors]) -> DepthTensors:
    """The map multiplied by a smooth field, towards the mean of itself and the ``others`` on the surfaces they share.

    One iteration: all maps of a scene move from the maps of the iteration before it.
    """
    step = max(1, max(this.depth.shape) // _SAMPLES)
    row, col = this.every(step)
    if not others:
        return this
    ratios = torch.stack([depth_log_ratio(this, row, col, other) for other in others])
    near = ratios.abs()[ratios.abs() < SAME_SURFACE]
    if not len(near):
        return this
    same = ratios.abs() < min(SAME_SURFACE, _SPREADS * MAD_TO_SIGMA * float(near.median()))  # False where NaN
    total, count = torch.where(same, ratios, 0).sum(0), same.sum(0)
    grid = torch.zeros(2, *(-(-(size - step // 2) // step) for size in this.depth.shape), device=row.device)
    cells = row // step, col // step
    grid[(0, *cells)] = total / (count + 1)
    grid[(1, *cells)] = (count > 0).float()
    field = _smoothed(grid, (this.depth.shape[0], this.depth.shape[1]))
    return replace(this, depth=torch.where(this.valid, this.depth * torch.exp(-field), this.depth))


def _smoothed(grid: Tensor, shape: tuple[int, int]) -> Tensor:
    """(H, W) field from its values and the mask of those that are known, (2, h, w); 0 far from all known ones."""
    sigma = _SMOOTH * max(grid.shape)
    off, known = (gaussian_filter(plane, sigma, mode="constant") for plane in grid.cpu().numpy())
    field = torch.from_numpy(off / (known + _UNKNOWN)).to(grid.device)[None, None]
    return interpolate(field, size=shape, mode="bilinear", align_corners=False)[0, 0]
