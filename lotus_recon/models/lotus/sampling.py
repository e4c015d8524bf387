"""From the U-Net's output to the annotation's latent, by what the checkpoint says its output is.

B images, h x w pixels at processing size padded to whole latent cells, c = 8 pixels per cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import DDIMScheduler

from lotus_recon.errors import ModelError
from lotus_recon.models.lotus.checkpoints import Metadata
from lotus_recon.models.lotus.network import run_unet, task_embedding
from lotus_recon.models.lotus.parts import Parts


def predict_latents(
    parts: Parts,
    metadata: Metadata,
    switcher: Sequence[float],
    image_latents: torch.Tensor,
    noise: torch.Tensor | None,
) -> torch.Tensor:
    """(B, 4, h/c, w/c) latents of the annotation, in the steps and by the formulation that ``metadata`` state.

    image_latents (B, 4, h/c, w/c); noise of the same shape for generative checkpoints, None for discriminative ones.
    """
    labels = task_embedding(switcher, image_latents.shape[0], parts)  # B 2n
    if metadata.prediction_type == "sample" and metadata.inference_steps == 1:
        # What Lotus is: the output is the annotation. It needs no schedule.
        return run_unet(parts.unet, parts, image_latents, noise, labels, _times(metadata.timestep, image_latents))
    if noise is None:
        raise ModelError("a discriminative checkpoint predicts the sample, in one step")
    return _denoised(parts, metadata, labels, image_latents, noise)


def _denoised(
    parts: Parts, metadata: Metadata, labels: torch.Tensor, image_latents: torch.Tensor, noise: torch.Tensor
) -> torch.Tensor:
    """The latent that N steps of deterministic DDIM lead to, from pure noise; N = 1 converts the one output."""
    scheduler, steps = _ddim(parts, metadata)
    noisy = noise.to(parts.device, torch.float32)  # half precision is for the network, not for the sums over steps
    clean = noisy
    for step in steps:
        output = run_unet(parts.unet, parts, image_latents, noisy, labels, _times(step, image_latents))
        stepped = scheduler.step(output.float(), step, noisy)
        noisy, clean = stepped.prev_sample, stepped.pred_original_sample
    # The schedule's first alpha is a little below 1, so the last ``noisy`` still holds some noise; ``clean`` does not.
    return clean


def _ddim(parts: Parts, metadata: Metadata) -> tuple[Any, list[int]]:
    """A scheduler of its own (it keeps state) and its timesteps, from the noisiest down."""
    scheduler: Any = DDIMScheduler.from_config(
        parts.schedule.config,
        prediction_type=metadata.prediction_type,
        timestep_spacing="trailing",  # starts at the last timestep, the only one where the input is (almost) pure noise
        clip_sample=False,  # latents are not bounded
        thresholding=False,
    )
    scheduler.set_timesteps(metadata.inference_steps)
    steps = scheduler.timesteps.tolist() if metadata.inference_steps > 1 else [metadata.timestep]
    return scheduler, steps


def _times(timestep: int, latents: torch.Tensor) -> torch.Tensor:
    return torch.full((latents.shape[0],), timestep, device=latents.device, dtype=torch.long)
