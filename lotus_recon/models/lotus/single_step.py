"""One pass over a batch of images: several networks, one encoding wherever they can share it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.models import tensors
from lotus_recon.models.lotus import network
from lotus_recon.models.lotus.checkpoints import Metadata
from lotus_recon.models.lotus.parts import Parts
from lotus_recon.models.lotus.sampling import predict_latents


@dataclass(frozen=True, eq=False)
class Job:
    """One map to predict: which networks, as which task, at which longer edge in pixels (0 = as is)."""

    parts: Parts
    metadata: Metadata
    task: str
    longer_edge: int

    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        """(h, w) at which the networks see an image of ``height`` x ``width`` pixels: whole latent cells."""
        cell = self.parts.vae_scale_factor
        h, w = tensors.processing_size(height, width, self.longer_edge)
        return h + -h % cell, w + -w % cell


@torch.inference_mode()
def run_jobs(
    jobs: Sequence[Job],
    images: Sequence[NDArray[np.uint8]],
    seed: int,
    noise: torch.Tensor | None = None,
    resize_back: bool = True,
    more_seeds: Sequence[int] = (),
) -> list[torch.Tensor]:
    """One map (B, 3, H, W) in [0, 1] per job, of B images (H, W, 3) of one size; float32 on the job's device.

    Every image gets the same noise, that of ``seed``, unless ``noise`` (1, 4, h/c, w/c) is given: so a map does not
    depend on the batch its image is in. resize_back=False gives the processing size. ``more_seeds``: of a single image,
    another map for each of them, from the same encoding.
    """
    height, width = images[0].shape[:2]
    encoded: dict[tuple[int, int], torch.Tensor] = {}
    predicted = []
    for job in jobs:
        # 1. Encode; jobs with the same VAE at the same size share the result.
        key = id(job.parts.vae), job.longer_edge
        if key not in encoded:
            encoded[key] = _encoded(job, images)
        latents = encoded[key]  # B 4 h/c w/c
        # 2. The U-Net, once unless the checkpoint says otherwise.
        own_noise = _noise(job, latents, seed, noise)
        if more_seeds:
            others = [_noise(job, latents, each, None) for each in more_seeds]
            own_noise = None if own_noise is None else torch.cat([own_noise, *(n for n in others if n is not None)])
            latents = latents.expand(1 + len(more_seeds), -1, -1, -1)
        predicted.append(predict_latents(job.parts, job.metadata, job.metadata.tasks[job.task], latents, own_noise))
    maps = []
    # 3. Decode.
    for job, decoded in zip(jobs, _decoded(jobs, predicted), strict=True):  # B 3 h w
        # 4. Crop the padding, go back to the size of the images.
        h, w = tensors.processing_size(height, width, job.longer_edge)
        cropped = decoded[..., :h, :w]
        maps.append(tensors.resize(cropped, height, width) if resize_back else cropped)
    return maps


def _decoded(jobs: Sequence[Job], latents: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """(B, 3, h, w) the decoded latents (B, 4, h/c, w/c) of every job, in one call where the jobs share a VAE."""
    together: dict[tuple[object, ...], list[int]] = {}
    for i, job in enumerate(jobs):
        alone = () if _decodes_together(job.parts.device) else (i,)
        together.setdefault((id(job.parts.vae), latents[i].shape, *alone), []).append(i)
    maps: dict[int, torch.Tensor] = {}
    for indices in together.values():
        decoded = network.decode(jobs[indices[0]].parts, torch.cat([latents[i] for i in indices]))
        maps |= zip(indices, decoded.chunk(len(indices)), strict=True)
    return [maps[i] for i in range(len(jobs))]


def _decodes_together(device: torch.device) -> bool:
    """One map saturates a CPU: two at once would only take twice the memory."""
    return device.type != "cpu"


def _encoded(job: Job, images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
    """(B, 4, h/c, w/c) latents of the images at processing size."""
    pixels = tensors.to_tensor(images, job.parts.device)  # B 3 H W
    size = tensors.processing_size(pixels.shape[-2], pixels.shape[-1], job.longer_edge)
    return network.encode(job.parts, tensors.pad_to_multiple(tensors.resize(pixels, *size), job.parts.vae_scale_factor))


def _noise(job: Job, latents: torch.Tensor, seed: int, given: torch.Tensor | None) -> torch.Tensor | None:
    """(B, 4, h/c, w/c), the same for every image; None for a discriminative checkpoint."""
    if job.parts.mode == "D":
        return None
    shape = (1, *latents.shape[1:])
    if given is not None and given.shape != shape:
        raise InputError(f"noise has shape {tuple(given.shape)}; this image at this resolution needs {shape}")
    noise = network.noise_from_seed(seed, shape) if given is None else given
    return noise.expand(latents.shape)
