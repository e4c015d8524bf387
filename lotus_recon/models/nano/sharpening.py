"""Edges of disparity put where the photo has them. B photos of (H, W) pixels, networks that work on (h, w)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from lotus_recon.models import tensors

_PASSES = 2
_RADIUS = 3  # of the window, pixels: as far as the network's edges are off
_RADIUS_UP = 2  # when the size grows: the edges are right by then, to a pixel
_SPACE = 2.0  # pixels, and
_COLOR = 0.2  # of a range of 2: the standard deviations of the weights
_STEP = 0.03  # of a range of 1: where neighbours differ by less there is no edge to sharpen
_AT_ONCE = 2**17  # windows that fit into memory


def sharpened(disparity: torch.Tensor, pixels: torch.Tensor, photos: torch.Tensor) -> torch.Tensor:
    """Disparity (B, 1, H, W) of ``photos`` (B, 3, H, W), with steps where ``disparity`` (B, 1, h, w) has ramps.

    Disparity is in [0, 1]; ``pixels`` (B, 3, h, w) are the photos as the network saw them, in [-1, 1] as ``photos``.

    Near edges each pixel takes the median of a window, weighted by how close the pixels are and how alike their
    colours (Ma et al., "Constant Time Weighted Median Filtering for Stereo Matching and Beyond", ICCV 2013): first on
    the network's pixels, then for the photo's, whose windows are made of the network's. A median takes one side
    or the other; a mean would leave surfaces in the air between them.
    """
    height, width = photos.shape[-2:]
    if height * width < disparity.shape[-2] * disparity.shape[-1]:
        disparity, pixels = tensors.resize(disparity, height, width), photos
    for _ in range(_PASSES):
        disparity = _weighted_medians(disparity, pixels, pixels, _RADIUS)
    if disparity.shape[-2:] == (height, width):
        return disparity
    return _weighted_medians(disparity, pixels, photos, _RADIUS_UP)


def sharpened_at(disparity: NDArray[np.float32], rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """``sharpened`` disparity (H, W) of one photo (H, W, 3), from disparity (h, w)."""
    photo = tensors.to_tensor([rgb], torch.device("cpu"))
    pixels = tensors.resize(photo, *disparity.shape)
    return np.asarray(sharpened(torch.from_numpy(disparity)[None, None], pixels, photo)[0, 0].numpy())


def _weighted_medians(disparity: torch.Tensor, pixels: torch.Tensor, photos: torch.Tensor, radius: int) -> torch.Tensor:
    """(B, 1, H, W): medians near the edges of ``disparity``, elsewhere ``disparity`` at the size of ``photos``."""
    height, width = disparity.shape[-2:]
    result = tensors.resize(disparity, *photos.shape[-2:])
    if result is disparity:
        result = result.clone()
    padding = (radius,) * 4
    values = functional.pad(disparity, padding, mode="replicate")
    per_row, per_photo = values.shape[3], values.shape[2] * values.shape[3]
    values = values.flatten()
    colors = functional.pad(pixels, padding, mode="replicate").permute(1, 0, 2, 3).flatten(1)  # 3, as many

    device = disparity.device
    y, x = _centers(height, photos.shape[2], device), _centers(width, photos.shape[3], device)
    nearest_y, nearest_x = y.round().long().clamp(0, height - 1), x.round().long().clamp(0, width - 1)
    steps = torch.arange(-radius, radius + 1, device=device)
    down, right = (offsets.flatten() for offsets in torch.meshgrid(steps, steps, indexing="ij"))
    near_edges = torch.nonzero(_edges(disparity)[:, nearest_y][:, :, nearest_x])  # N 3: photo, row, column
    for photo, row, column in (part.unbind(1) for part in near_edges.split(_AT_ONCE)):
        rows, columns = nearest_y[row][:, None] + down, nearest_x[column][:, None] + right  # n, pixels of a window
        members = photo[:, None] * per_photo + (rows + radius) * per_row + columns + radius
        apart = (rows - y[row][:, None]).square() + (columns - x[column][:, None]).square()
        unlike = (colors[:, members] - photos[photo, :, row, column].T[:, :, None]).square().sum(0)
        weights = torch.exp(-apart / (2 * _SPACE**2) - unlike / (2 * _COLOR**2))
        ordered, order = values[members].sort(dim=1)
        reached = weights.gather(1, order).cumsum(1)
        half = (reached >= reached[:, -1:] / 2).to(torch.uint8).argmax(1, keepdim=True)
        result[photo, 0, row, column] = ordered.gather(1, half)[:, 0]
    return result


def _edges(disparity: torch.Tensor) -> torch.Tensor:
    """(B, h, w) bool: pixels that are not level with their neighbours."""
    highest = functional.max_pool2d(disparity, 3, stride=1, padding=1)
    lowest = -functional.max_pool2d(-disparity, 3, stride=1, padding=1)
    return (highest - lowest)[:, 0] > _STEP


def _centers(coarse: int, fine: int, device: torch.device) -> torch.Tensor:
    """(fine,) where the centres of ``fine`` pixels lie among ``coarse`` ones."""
    return (torch.arange(fine, device=device) + 0.5) * (coarse / fine) - 0.5
