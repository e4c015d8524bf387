"""Samples that lie on the training device, cropped, resized and mirrored there: framing.py in torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lotus_recon.datasets.samples import Sample
from lotus_recon.training.augmentation import Draw
from lotus_recon.training.framing import DISPARITY_BREAK, NORMAL_BREAK, Box, positions
from lotus_recon.types import BoolArray

# (C, H, W) by name: image (uint8), depth and normals (0 where invalid), depth_valid, normals_valid and sky (bool).
Maps = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class DeviceSample:
    """A sample whose maps are tensors; its masks are known to the host too, which so never waits for the device."""

    name: str
    maps: Maps
    masks: Mapping[str, BoolArray | None]  # depth_valid, normals_valid

    @classmethod
    def of(cls, sample: Sample, device: torch.device) -> DeviceSample:
        """Copy a sample to ``device``. Maps that it lacks are zero."""
        shape = sample.rgb.shape[:2]
        masks = {"depth_valid": sample.depth_valid, "normals_valid": sample.normals_valid}
        nowhere = np.zeros(shape, bool)
        maps = {
            "image": sample.rgb,
            "depth": _cleaned(sample.depth, sample.depth_valid, shape),
            "sky": nowhere if sample.sky is None else sample.sky,
            "normals": _cleaned(sample.normals, sample.normals_valid, (*shape, 3)),
            **{name: nowhere if mask is None else mask for name, mask in masks.items()},
        }
        return cls(sample.name, {name: _channels_first(map_).to(device) for name, map_ in maps.items()}, masks)


def _cleaned(map_: NDArray[np.float32] | None, valid: BoolArray | None, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The map (H, W, ...), 0 where it is not valid or not there at all."""
    if map_ is None or valid is None:
        return np.zeros(shape, np.float32)
    return np.where(valid if map_.ndim == 2 else valid[..., None], map_, np.float32(0))


def _channels_first(map_: NDArray) -> Tensor:
    channels = map_[None] if map_.ndim == 2 else map_.transpose(2, 0, 1)
    return torch.tensor(np.ascontiguousarray(channels))  # a copy: the array may be read-only


def framed(maps: Maps, drawn: Draw) -> dict[str, Tensor]:
    """The part of the maps that was drawn, at its size (C, h, w), as ``framing`` makes it."""
    box = drawn.box
    rows, columns = slice(box.top, box.top + box.height), slice(box.left, box.left + box.width)
    result = {name: map_[:, rows, columns] for name, map_ in maps.items()}
    if (box.width, box.height) != (drawn.width, drawn.height):
        result = _resized(result, box, drawn.width, drawn.height)
    if drawn.mirror:
        result = {name: map_.flip(-1) for name, map_ in result.items()}
        result["normals"] = torch.cat([-result["normals"][:1], result["normals"][1:]])
    return result


def _resized(maps: Maps, box: Box, width: int, height: int) -> dict[str, Tensor]:
    device, smaller = maps["image"].device, width * height < box.width * box.height
    y, x = (torch.from_numpy(positions(*sizes)).to(device) for sizes in ((box.height, height), (box.width, width)))
    weights = _area_weights if smaller else _linear_weights
    down, right = weights(y, box.height), weights(x, box.width)
    nearest = _at(y.long(), x.long())
    result = {name: nearest(map_) for name, map_ in maps.items() if name != "image"}
    result["image"] = (down @ maps["image"].float() @ right.T).round().clamp(0, 255).to(torch.uint8)
    if not smaller:
        cell = _at((y - 0.5).clamp(min=0).long(), (x - 0.5).clamp(min=0).long())
        result |= _smoothed(result, maps, lambda map_: down @ map_ @ right.T, cell)
    return result


def _at(rows: Tensor, columns: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda map_: map_[:, rows][:, :, columns]


def _area_weights(at: Tensor, source: int) -> Tensor:
    """(n, source) float32: the shares of source pixels in each of n pixels with centres ``at`` (n,)."""
    half, left = source / len(at) / 2, torch.arange(source, device=at.device, dtype=at.dtype)
    overlap = torch.minimum(at[:, None] + half, left + 1) - torch.maximum(at[:, None] - half, left)
    return (overlap.clamp(min=0) / (2 * half)).float()


def _linear_weights(at: Tensor, source: int) -> Tensor:
    """(n, source) float32: the weights of linear interpolation at n positions; the border repeats."""
    left = torch.arange(source, device=at.device, dtype=at.dtype)
    return (1 - ((at - 0.5).clamp(0, source - 1)[:, None] - left).abs()).clamp(min=0).float()


def _smoothed(
    nearest: Maps, source: Maps, linear: Callable[[Tensor], Tensor], cell: Callable[[Tensor], Tensor]
) -> dict[str, Tensor]:
    """Depth and normals of the enlarged maps, interpolated where the four pixels around lie on one surface."""
    # 1. Disparity, which is linear on a plane.
    disparity = torch.where(source["depth_valid"], 1 / source["depth"], 0)
    low, high = _extremes(disparity)
    smooth = cell((low > 0) & (high <= low * (1 + DISPARITY_BREAK)))
    depth = torch.where(smooth, 1 / linear(disparity), nearest["depth"])
    # 2. Normals, unit again.
    low, high = _extremes(source["normals"])
    valid, _ = _extremes(source["normals_valid"].float())
    smooth = cell((high - low < NORMAL_BREAK).all(0, keepdim=True) & (valid > 0))
    blended = linear(source["normals"])
    unit = blended / blended.square().sum(0, keepdim=True).sqrt().clamp(min=1e-6)
    return {"depth": depth, "normals": torch.where(smooth, unit, nearest["normals"])}


def _extremes(map_: Tensor) -> tuple[Tensor, Tensor]:
    """Smallest and largest value (C, H, W) of the pixels (r, c) ... (r + 1, c + 1), of fewer at the border."""
    low = high = map_
    for dim in (-2, -1):
        last = map_.shape[dim] - 1
        after = torch.arange(1, last + 2, device=map_.device).clamp(max=last)
        low = torch.minimum(low, low.index_select(dim, after))
        high = torch.maximum(high, high.index_select(dim, after))
    return low, high
