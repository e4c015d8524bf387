"""Batches of photos in other light and from other cameras, in torch: ``augmentation.recoloured`` for all at once.

Photos are (B, 3, H, W) float32 with whole numbers from 0 to 255, rounded after each change, as bytes are. What comes of
a photo does not depend on the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lotus_recon.training.augmentation import GREY, Recolouring

Change = Callable[[Tensor, list], Tensor]

# Quantisation of luma and chroma at quality 50 (ITU-T T.81, tables K.1 and K.2).
_LUMA = """16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99"""
_CHROMA = """17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99 24 26 56 99 99 99 99 99 47 66 99 99 99 99 99 99
99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99"""
_QUANTISATION = np.array([[int(step) for step in table.split()] for table in (_LUMA, _CHROMA)]).reshape(2, 8, 8)


def recoloured(images: Tensor, changes: Sequence[Recolouring]) -> Tensor:
    """Photos (B, 3, H, W) uint8, each with its changes, as uint8."""
    result = images.float()
    for name, change in _CHANGES:
        values = [getattr(changes_of_one, name) for changes_of_one in changes]
        which = [i for i, value in enumerate(values) if value is not None]
        if which:
            index = torch.tensor(which, device=images.device)
            changed = change(result[index], [values[i] for i in which])
            result = result.index_copy(0, index, changed.round().clamp(0, 255))
    return result.to(torch.uint8)


def _to(images: Tensor, values: Sequence) -> Tensor:
    """The values (B, ...) as a tensor beside the photos."""
    return torch.from_numpy(np.stack(values)).to(images.device, non_blocking=True)


def _lit(images: Tensor, coarse: list) -> Tensor:
    light = functional.interpolate(_to(images, coarse)[:, None], images.shape[-2:], mode="bicubic", align_corners=False)
    return images * light


def _exposed(images: Tensor, tables: list) -> Tensor:
    table = _to(images, tables).transpose(1, 2).float()  # (B, 3, 256)
    return table.gather(2, images.flatten(2).long()).view_as(images)


def _coloured(images: Tensor, factors: list) -> Tensor:
    colour = _to(images, [np.float32(factor) for factor in factors]).view(-1, 1, 1, 1)
    red, green, blue = (float(weight) for weight in GREY)
    grey = red * images[:, :1] + green * images[:, 1:2] + blue * images[:, 2:]
    return colour * images + (1 - colour) * grey


def _blurred(images: Tensor, sigmas_px: list) -> Tensor:
    """Gaussian blur with kernels as long as OpenCV makes them for bytes."""
    kernels = [_gaussian(sigma) for sigma in sigmas_px]
    reach = max(map(len, kernels)) // 2
    weights = _to(images, [np.pad(k, reach - len(k) // 2) for k in kernels])  # (B, 2 reach + 1)
    for dim, padding in ((-1, (reach, reach, 0, 0)), (-2, (0, 0, reach, reach))):
        padded = functional.pad(images, padding, mode="reflect")
        size = images.shape[dim]
        parts = (weights[:, k, None, None, None] * padded.narrow(dim, k, size) for k in range(2 * reach + 1))
        images = sum(parts, torch.zeros_like(images))
    return images


def _gaussian(sigma_px: float) -> np.ndarray:
    reach = (round(6 * sigma_px + 1) | 1) // 2
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma_px) ** 2)
    return (kernel / kernel.sum()).astype(np.float32)


def _noised(images: Tensor, noise: list) -> Tensor:
    return images + _to(images, noise).permute(0, 3, 1, 2)


def _compressed(images: Tensor, qualities: list) -> Tensor:
    """What baseline JPEG with halved chroma leaves of the photos. As to OpenCV, the first channel is the blue one."""
    height, width = images.shape[-2:]
    # 1. Luma and chroma, padded to whole blocks of 16 pixels; chroma at half the size.
    blue, green, red = functional.pad(images, (0, -width % 16, 0, -height % 16), mode="replicate").unbind(1)
    luma = (0.299 * red + 0.587 * green + 0.114 * blue).round()
    chroma = torch.stack([(blue - luma) / 1.772, (red - luma) / 1.402], 1) + 128
    halved = functional.avg_pool2d(chroma.round().clamp(0, 255), 2).round()
    # 2. Blocks of 8x8, quantised.
    scales = [5000 / q if q < 50 else 200 - 2 * q for q in qualities]
    steps = [np.floor((_QUANTISATION * scale + 50) / 100).clip(1, 255).astype(np.float32) for scale in scales]
    luma_steps, chroma_steps = _to(images, steps)[:, :, None].unbind(1)  # (B, 1, 8, 8) each
    luma = _quantised(luma[:, None], luma_steps)[:, 0]
    halved = _quantised(halved, chroma_steps)
    # 3. Back: chroma interpolated to the full size.
    chroma = functional.interpolate(halved, scale_factor=2, mode="bilinear", align_corners=False).round() - 128
    green = luma - 0.344136 * chroma[:, 0] - 0.714136 * chroma[:, 1]
    result = torch.stack([luma + 1.772 * chroma[:, 0], green, luma + 1.402 * chroma[:, 1]], 1)
    return result[..., :height, :width]


def _quantised(maps: Tensor, steps: Tensor) -> Tensor:
    """Maps (B, C, H, W) whose discrete cosine transforms in blocks of 8x8 are multiples of ``steps`` (B, 1, 8, 8)."""
    batch, channels, height, width = maps.shape
    k, i = np.mgrid[:8, :8]
    basis = np.cos((2 * i + 1) * k * math.pi / 16) * np.where(k == 0, math.sqrt(1 / 8), 0.5)
    transform = torch.from_numpy(basis).to(maps.device, torch.float32)
    blocks = (maps - 128).view(batch, channels, height // 8, 8, width // 8, 8).transpose(3, 4)
    steps = steps[:, :, None, None]
    coefficients = (transform @ blocks @ transform.T / steps).round() * steps
    result = transform.T @ coefficients @ transform
    return (result.transpose(3, 4).reshape(maps.shape) + 128).round().clamp(0, 255)


# In the order of ``Recolouring``.
_CHANGES: tuple[tuple[str, Change], ...] = (
    ("light", _lit),
    ("table", _exposed),
    ("colour", _coloured),
    ("blur_px", _blurred),
    ("noise", _noised),
    ("quality", _compressed),
)
