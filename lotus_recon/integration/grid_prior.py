"""What of a depth prior is no accident of single pixels, on a torch device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from lotus_recon.integration.rounds import FACE

_REACH = FACE - 1  # how far from the pixels that matter a median of medians looks
_ROWS = 128  # whose medians are found at a time


def smooth_prior(prior: Tensor) -> Tensor:
    """(H, W) medians of ``FACE`` x ``FACE`` pixels of a prior (H, W); unknown pixels (NaN) count as the nearest known.

    Right up to ``_REACH`` pixels from known ones, which is as far as anything reads it.
    """
    filled = _filled_nearby(prior)
    half = FACE // 2
    rows, cols = (_mirrored(size, half, prior.device) for size in prior.shape)
    mirrored = filled[rows][:, cols]
    parts = [
        mirrored[begin : begin + _ROWS + 2 * half].unfold(0, FACE, 1).unfold(1, FACE, 1).flatten(2).median(dim=2).values
        for begin in range(0, prior.shape[0], _ROWS)
    ]
    return torch.cat(parts)


def _mirrored(size: int, border: int, device: torch.device) -> Tensor:
    """The places of an axis with a border: -1 is 0, -2 is 1."""
    place = torch.arange(-border, size + border, device=device) % (2 * size)
    return torch.minimum(place, 2 * size - 1 - place)


def _filled_nearby(prior: Tensor) -> Tensor:
    """The prior where it is known, the nearest known pixel up to a few pixels from it, their median elsewhere."""
    far = 2 * _REACH
    places = range(-far, far + 1)
    # Of two that are as near the left one, then the upper one, as scipy's distance transform has it.
    offsets = sorted((y * y + x * x, x, y) for y in places for x in places if y * y + x * x <= far * far)
    around = pad(prior, (far,) * 4, value=torch.nan)
    height, width = prior.shape
    filled = prior
    for _, x, y in offsets[1:]:
        filled = torch.where(filled.isnan(), around[far + y : far + y + height, far + x : far + x + width], filled)
    return filled.nan_to_num(nan=float(prior.nanmedian()))
