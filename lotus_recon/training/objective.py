"""The training objective of Lotus in latent space: every annotation, and the image under a task switcher of its own.

B samples of H x W pixels, h x w latent cells (8 x 8 pixels each in the released VAE), T targets. The U-Net's batch has
a row for each target and sample: R = T x B, all samples of the first target first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from lotus_recon.errors import InputError
from lotus_recon.models.base import TASKS, check_choice
from lotus_recon.models.lotus.checkpoints import TIMESTEP, Metadata
from lotus_recon.models.lotus.network import encode, run_unet, task_embedding
from lotus_recon.models.lotus.parts import Parts
from lotus_recon.training.config import TrainConfig
from lotus_recon.training.targets import check_targets, latent_mask

IMAGE = "reconstruction"  # the image itself as a target: the paper's detail preserver

Switcher = tuple[float, ...]


def lotus_losses(
    parts: Parts,
    pixel_values: torch.Tensor,
    annotation: torch.Tensor,
    valid_mask: torch.Tensor,
    sky_mask: torch.Tensor,
    noise: torch.Tensor | None,
    task: str,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The published objective, x0-prediction at t = 999: (annotation loss, reconstruction loss), 0-d tensors.

    pixel_values and annotation (B, 3, H, W) in [-1, 1]; valid_mask and sky_mask (B, 1, H, W) bool, where the sky counts
    for depth only; noise (2 B, 4, h, w), rows of the annotation first, ignored by a discriminative U-Net; task depth |
    normal. The annotation loss is the mean over the latent cells whose pixels are all valid.
    Raises InputError for an unknown task and for a size that is no whole number of latent cells.
    """
    check_choice("task", task, TASKS)
    switchers, reconstruction = task_switchers([task], switcher_size(parts))
    counted = latent_mask(valid_mask | sky_mask if task == "depth" else valid_mask, parts.vae_scale_factor)
    image = encode_frozen(parts, pixel_values)
    targets = {task: encode_frozen(parts, annotation), IMAGE: image}
    timesteps = torch.full((len(image),), TIMESTEP, device=image.device)
    metadata = Metadata(switchers, depth_space=None, reconstruction=reconstruction)
    errors = squared_errors(parts.unet, parts, metadata, image, targets, noise, timesteps)
    count = counted.sum() * image.shape[1]
    return masked_sum(errors[task], counted) / count, errors[IMAGE].mean()


def check_objective(config: TrainConfig) -> None:
    """Raise InputError when the objective is not defined. Reads no data and no weights."""
    objective, mode = config.objective, config.start.mode
    check_targets(objective)
    if mode == "D" and (objective.prediction_type != "sample" or objective.timesteps != "single"):
        raise InputError(
            f"objective: prediction_type {objective.prediction_type} at {objective.timesteps} timesteps needs noise in "
            "the input, which start.mode D does not have; allowed with D: prediction_type sample, timesteps single"
        )


def formulation(config: TrainConfig, width: int) -> Metadata:
    """Metadata of the checkpoints of a run; ``width``: states of the task switcher of its U-Net."""
    objective = config.objective
    switchers, reconstruction = task_switchers(objective.tasks, width)
    return Metadata(
        tasks=switchers,
        depth_space=objective.depth_space if "depth" in switchers else None,
        mode=config.start.mode,
        reconstruction=reconstruction,
        processing_res=config.processing_res,
        prediction_type=objective.prediction_type,
        timesteps=objective.timesteps,
        inference_steps=objective.inference_steps if objective.timesteps == "uniform" else 1,
    )


def task_switchers(tasks: Sequence[str], width: int | None = None) -> tuple[dict[str, Switcher], Switcher]:
    """One-hot switcher of each task, and that of the image: one state per annotation, then the reconstruction.

    width: states of an existing network. One with all tasks may be trained on fewer of them.
    Raises InputError when it has too few or too many states.
    """
    states = [task for task in TASKS if task in tasks]
    if width not in (None, len(states) + 1):
        if width != len(TASKS) + 1:
            expected = f"{' and '.join(states)} plus reconstruction"
            raise InputError(f"the task switcher has {width} states, which do not fit {expected}")
        states = list(TASKS)
    one_hot = [tuple(float(row == column) for column in range(len(states) + 1)) for row in range(len(states) + 1)]
    switchers = dict(zip(states, one_hot, strict=False))
    return {task: switcher for task, switcher in switchers.items() if task in tasks}, one_hot[-1]


def switcher_size(parts: Parts) -> int:
    """States of the task switcher of the U-Net."""
    return int(parts.unet.config["projection_class_embeddings_input_dim"]) // 2


@torch.no_grad()
def encode_frozen(parts: Parts, images: torch.Tensor) -> torch.Tensor:
    """(B, 4, h, w) float32 latents of (B, 3, H, W) images or annotations in [-1, 1], without a graph."""
    return encode(parts, images).float()


def squared_errors(
    unet: Any,
    parts: Parts,
    metadata: Metadata,
    image_latents: torch.Tensor,
    targets: Mapping[str, torch.Tensor],
    noise: torch.Tensor | None,
    timesteps: torch.Tensor,
) -> dict[str, torch.Tensor]:
    """(B, 4, h, w) float32 squared errors of each target, from ONE call of the U-Net.

    unet: that of ``parts``, or what training wraps around it. image_latents (B, 4, h, w); targets: task or ``IMAGE``
    -> latents (B, 4, h, w) to predict; noise (R, 4, h, w), ignored by a discriminative U-Net; timesteps (B,).
    Raises InputError for a generative U-Net without noise.
    """
    switchers = {**metadata.tasks, IMAGE: metadata.reconstruction}
    samples = len(image_latents)
    clean = torch.cat(list(targets.values()))  # R 4 h w
    image = image_latents.repeat(len(targets), 1, 1, 1)  # R 4 h w
    times = timesteps.repeat(len(targets))  # R
    labels = torch.cat([task_embedding(switchers[name], samples, parts) for name in targets])  # R 2n
    if parts.mode == "D":
        output = run_unet(unet, parts, image, None, labels, times)
        target = clean
    else:
        if noise is None:
            raise InputError("a generative U-Net needs noise, and noise is None")
        noisy = parts.schedule.add_noise(clean, noise, times)  # R 4 h w
        output = run_unet(unet, parts, image, noisy, labels, times)
        target = _target(parts.schedule, metadata.prediction_type, clean, noise, times)
    errors = (output.float() - target).square()
    return dict(zip(targets, errors.chunk(len(targets)), strict=True))


def _target(
    schedule: Any, prediction_type: str, clean: torch.Tensor, noise: torch.Tensor, times: torch.Tensor
) -> torch.Tensor:
    """(R, 4, h, w): the target of the U-Net's output for x_t = sqrt(a_t) clean + sqrt(1 - a_t) noise."""
    if prediction_type == "sample":
        return clean
    if prediction_type == "epsilon":
        return noise
    velocity: torch.Tensor = schedule.get_velocity(clean, noise, times)  # sqrt(a_t) noise - sqrt(1 - a_t) clean
    return velocity


def masked_sum(errors: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """Sum of the errors (B, 4, h, w) in the latent cells (B, 1, h, w) that count; 0-d."""
    return torch.where(counted, errors, 0.0).sum()
