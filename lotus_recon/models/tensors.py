"""Images as tensors, and batches that fit into memory, for all networks. B images of H x W pixels."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from lotus_recon.errors import ModelError

log = logging.getLogger(__name__)
Item = TypeVar("Item")
Result = TypeVar("Result")


def to_tensor(images: Sequence[NDArray[np.uint8]], device: torch.device) -> torch.Tensor:
    """(B, 3, H, W) in [-1, 1], float32 on ``device``, from uint8 images (H, W, 3) of one size."""
    pixels = torch.from_numpy(np.stack(images)).to(device)  # B H W 3
    return pixels.permute(0, 3, 1, 2).to(torch.float32).div_(127.5).sub_(1.0)  # in place: photos may be large


def processing_size(height: int, width: int, longer_edge: int) -> tuple[int, int]:
    """(height, width) with the given longer edge, the other truncated to whole pixels; 0 leaves the size as it is."""
    if longer_edge == 0:
        return height, width
    scale = min(longer_edge / width, longer_edge / height)
    return max(1, int(height * scale)), max(1, int(width * scale))


def resize(images: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Images (B, C, H, W) at another size, bilinear, with antialiasing when smaller. Pixel centres stay in place."""
    if images.shape[-2:] == (height, width):
        return images
    return functional.interpolate(images, (height, width), mode="bilinear", align_corners=False, antialias=True)


def pad_to_multiple(images: torch.Tensor, multiple: int) -> torch.Tensor:
    """Images (B, C, H, W) with the last row and column repeated until both sides are multiples of ``multiple``."""
    below, right = -images.shape[-2] % multiple, -images.shape[-1] % multiple
    return functional.pad(images, (0, right, 0, below), mode="replicate") if below or right else images


def by_size(images: Sequence[NDArray[np.uint8]]) -> list[list[int]]:
    """Indices of images (H, W, 3), grouped by size."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, image in enumerate(images):
        groups.setdefault(image.shape, []).append(i)
    return list(groups.values())


def in_batches(
    items: Sequence[Item], size: int, run: Callable[[Sequence[Item]], list[Result]], longer_edge: int
) -> tuple[list[Result], int]:
    """Results of ``run`` on batches of ``size`` items, halved whenever memory runs out, and the size that worked.

    Raises ModelError naming a processing size to try when not even one item fits; ``longer_edge`` is the current one.
    """
    results: list[Result] = []
    while len(results) < len(items):
        batch = items[len(results) : len(results) + size]
        done = _unless_memory_ends(run, batch)
        if done is not None:
            results += done
            continue
        if len(batch) == 1:
            smaller = max(64, round(longer_edge * 2 / 3) // 64 * 64)
            raise ModelError(
                f"out of memory with one image of {longer_edge} pixels (longer edge); try --processing-res {smaller}"
            )
        size = (len(batch) + 1) // 2
        log.warning("out of memory with a batch of %d images; continuing with batches of %d", len(batch), size)
    return results, size


def _unless_memory_ends(run: Callable[[Sequence[Item]], list[Result]], batch: Sequence[Item]) -> list[Result] | None:
    try:
        return run(batch)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    # Outside the handler, where the traceback no longer keeps the tensors of the failed call alive.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device or the host has no memory left."""
    if isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError)):
        return True
    text = str(error).lower()
    return "out of memory" in text or "can't allocate memory" in text or "not enough memory" in text
