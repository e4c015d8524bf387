"""The networks on tensors, and what keeps them inside the memory.

B images, h x w pixels at processing size padded to whole latent cells, c = 8 pixels per cell.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from lotus_recon.errors import ModelError
from lotus_recon.models.lotus.parts import Parts

log = logging.getLogger(__name__)
Item = TypeVar("Item")
Result = TypeVar("Result")


def to_tensor(images: Sequence[NDArray[np.uint8]], parts: Parts) -> torch.Tensor:
    """(B, 3, H, W) in [-1, 1], float32 on the model's device, from uint8 images (H, W, 3) of one size."""
    pixels = torch.from_numpy(np.stack(images)).to(parts.device)  # B H W 3
    return pixels.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1.0


def processing_size(height: int, width: int, longer_edge: int) -> tuple[int, int]:
    """(height, width) with the given longer edge, the other truncated to whole pixels; 0 leaves the size as it is."""
    if longer_edge == 0:
        return height, width
    scale = min(longer_edge / width, longer_edge / height)
    return max(1, int(height * scale)), max(1, int(width * scale))


def resize(images: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """(B, C, height, width), bilinear, with antialias where it shrinks. Pixel centres stay where they are."""
    if images.shape[-2:] == (height, width):
        return images
    return functional.interpolate(images, (height, width), mode="bilinear", align_corners=False, antialias=True)


def pad_to_cells(images: torch.Tensor, cell_px: int) -> torch.Tensor:
    """Repeat the last row and column until both sides are multiples of ``cell_px``: pixels stay in place."""
    below, right = -images.shape[-2] % cell_px, -images.shape[-1] % cell_px
    return functional.pad(images, (0, right, 0, below), mode="replicate") if below or right else images


def encode(parts: Parts, images: torch.Tensor) -> torch.Tensor:
    """(B, 4, h/c, w/c) scaled latents of images (B, 3, h, w) in [-1, 1]: the posterior's MODE, nothing random."""
    posterior = parts.vae.encode(images.to(parts.vae.dtype)).latent_dist
    latents: torch.Tensor = posterior.mode() * parts.vae.config["scaling_factor"]
    return latents


def task_embedding(code: Sequence[float], batch: int, parts: Parts) -> torch.Tensor:
    """(B, 2n) class label of a task code with n entries: its sines, then its cosines."""
    values = torch.tensor(code, dtype=torch.float32)
    embedding = torch.cat([values.sin(), values.cos()])
    return embedding.to(parts.device, parts.dtype).expand(batch, -1)


def run_unet(
    unet: Any,
    parts: Parts,
    image_latents: torch.Tensor,
    noisy: torch.Tensor | None,
    labels: torch.Tensor,
    timesteps: torch.Tensor,
) -> torch.Tensor:
    """(B, 4, h/c, w/c): ONE call of the U-Net, whatever its output means.

    unet: that of ``parts``, or what training wraps around it. image_latents (B, 4, h/c, w/c); noisy of the same shape
    (the annotation's latent under noise) for generative checkpoints, None for discriminative ones; labels (B, 2n) from
    ``task_embedding``; timesteps (B,).
    """
    image = image_latents.to(parts.dtype)
    # 1. What the U-Net sees: the image latent, in generative checkpoints with the noisy one behind it.
    sample = image if noisy is None else torch.cat([image, noisy.to(image)], dim=1)
    # 2. One step.
    output: torch.Tensor = unet(
        sample,
        timesteps,
        encoder_hidden_states=parts.prompt_unpadded.expand(image.shape[0], -1, -1),  # B 2 C
        class_labels=labels,
        return_dict=False,
    )[0]
    return output


def decode(parts: Parts, latents: torch.Tensor) -> torch.Tensor:
    """(B, 3, h, w) float32 in [0, 1]: the decoded map, moved from [-1, 1] and clamped."""
    scaled = latents.to(parts.vae.dtype) / parts.vae.config["scaling_factor"]
    decoded = parts.vae.decode(scaled, return_dict=False)[0]
    mapped: torch.Tensor = (decoded.to(torch.float32) / 2 + 0.5).clamp(0, 1)
    return mapped


def noise_from_seed(seed: int, shape: tuple[int, ...]) -> torch.Tensor:
    """Standard normal noise of a generator of its own, drawn on the CPU: the same on every device."""
    return torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed), dtype=torch.float32)


def in_batches(
    items: Sequence[Item], size: int, run: Callable[[Sequence[Item]], list[Result]], longer_edge: int
) -> tuple[list[Result], int]:
    """Results of ``run`` on batches of ``size`` items, halved whenever memory runs out, and the size that worked.

    Raises ModelError naming a processing size to try when not even one item fits; ``longer_edge`` is the present one.
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
        log.warning("out of memory with %d images at once; going on with %d", len(batch), size)
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
