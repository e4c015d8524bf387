"""The networks on tensors, and what keeps them inside the memory.

B images, h x w pixels at processing size padded to whole latent cells, c = 8 pixels per cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from lotus_recon.models.lotus.parts import Parts


def encode(parts: Parts, images: torch.Tensor) -> torch.Tensor:
    """(B, 4, h/c, w/c) scaled latents of images (B, 3, h, w) in [-1, 1]: the posterior's MODE, nothing random."""
    posterior = parts.vae.encode(images.to(parts.vae.dtype)).latent_dist
    latents: torch.Tensor = posterior.mode() * parts.vae.config["scaling_factor"]
    return latents


def task_embedding(switcher: Sequence[float], batch: int, parts: Parts) -> torch.Tensor:
    """(B, 2n) class label of a task switcher with n entries: its sines, then its cosines."""
    values = torch.tensor(switcher, dtype=torch.float32)
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
    # 1. The input of the U-Net: the image latent, followed by the noisy one in generative checkpoints.
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
    """Standard normal noise of a ``shape`` such as (1, 4, h/c, w/c), drawn on the CPU: the same on every device."""
    return torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed), dtype=torch.float32)
