"""Depth maps of one scene, drawn together to what they agree on.

A map whose small shapes are right and whose large ones are off by a smooth error of its own meets others, whose errors
are different, on the surfaces that they share. Their mean is nearer to the truth than each, and maps that agree fuse
into one surface instead of several layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch.nn.functional import interpolate

from lotus_recon.geometry.consistency import SAME_SURFACE, DepthTensors, depth_log_ratio

_SPREADS = 4.0  # standard deviations of the difference between maps up to which they see the same surface
_SAMPLES = 192  # pixels along the longer side that are compared
_SMOOTH = 0.03  # standard deviation of what a correction is smoothed with, as a share of the longer side
_UNKNOWN = 0.02  # share of compared pixels around one at which it is half corrected


def drawn_together(
    maps: Sequence[DepthTensors], neighbours: Sequence[NDArray[np.int64]], fixed: Sequence[bool], rounds: int
) -> list[DepthTensors]:
    """The maps, each multiplied by a smooth field towards the mean of itself and its ``neighbours``, again and again.

    Maps that are ``fixed`` only pull the others.
    """
    current = list(maps)
    for _ in range(rounds):
        current = [
            one if fixed[i] else _corrected(one, [current[j] for j in neighbours[i]]) for i, one in enumerate(current)
        ]
    return current


def _corrected(this: DepthTensors, others: Sequence[DepthTensors]) -> DepthTensors:
    step = max(1, max(this.depth.shape) // _SAMPLES)
    row, col = this.every(step)
    if not others:
        return this
    ratios = torch.stack([depth_log_ratio(this, row, col, other) for other in others])
    near = ratios.abs()[ratios.abs() < SAME_SURFACE]
    if not len(near):
        return this
    same = ratios.abs() < min(SAME_SURFACE, _SPREADS * 1.4826 * float(near.median()))  # False where NaN
    total, count = torch.where(same, ratios, 0).sum(0), same.sum(0)
    grid = torch.zeros(2, *(-(-(size - step // 2) // step) for size in this.depth.shape), device=row.device)
    cells = row // step, col // step
    grid[(0, *cells)] = total / (count + 1)
    grid[(1, *cells)] = (count > 0).float()
    sigma = _SMOOTH * max(grid.shape)
    off, known = (gaussian_filter(plane, sigma, mode="constant") for plane in grid.cpu().numpy())
    field = torch.from_numpy(off / (known + _UNKNOWN)).to(row.device)[None, None]
    full = interpolate(field, size=this.depth.shape, mode="bilinear", align_corners=False)[0, 0]
    return replace(this, depth=torch.where(this.valid, this.depth * torch.exp(-full), this.depth))
