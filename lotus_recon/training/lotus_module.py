"""The task module of Lotus: a U-Net that is trained between a frozen VAE and a constant prompt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lotus_recon.models.base import resolve_dtype
from lotus_recon.models.lotus.checkpoint_folder import save_checkpoint_folder
from lotus_recon.models.lotus.checkpoints import Metadata
from lotus_recon.models.lotus.model import LotusModel
from lotus_recon.models.lotus.parts import Parts
from lotus_recon.training.config import OptimizerConfig, TrainConfig
from lotus_recon.training.data import check_sizes
from lotus_recon.training.networks import starting_parts
from lotus_recon.training.objective import (
    IMAGE,
    encode_frozen,
    formulation,
    masked_sum,
    squared_errors,
    switcher_size,
)
from lotus_recon.training.targets import latent_mask
from lotus_recon.training.task_module import Batch, Term
from lotus_recon.types import Prediction


class LotusTaskModule:
    """The published objective: one term per task, one for the image. With one task, their sum is the official loss."""

    def __init__(
        self, parts: Parts, metadata: Metadata, detail_preserver: bool = True, source: Path | None = None
    ) -> None:
        """metadata: that of the checkpoints to save; source: the folder that the frozen parts came from."""
        self.parts = parts
        self.metadata = metadata
        self.detail_preserver = detail_preserver
        self.source = source
        self.network: nn.Module = parts.unet

    @classmethod
    def from_config(cls, config: TrainConfig, device: torch.device) -> LotusTaskModule:
        """The task module of a run that ``check_objective`` accepts, with its starting weights.

        Raises InputError and ModelError as ``starting_parts``, and InputError for sizes that the VAE cannot encode.
        """
        states = len(config.objective.tasks) + 1
        parts = starting_parts(config.start, states, config.seed, device, resolve_dtype(config.loop.precision, device))
        check_sizes(config.data, parts.vae_scale_factor)
        metadata = formulation(config, switcher_size(parts))
        return cls(parts, metadata, config.objective.detail_preserver, config.start.checkpoint)

    def parameter_groups(self, config: OptimizerConfig) -> list[dict[str, Any]]:
        """All parameters of the U-Net, with one learning rate."""
        parameters = list(self.network.parameters())
        return [{"params": parameters, "lr": config.learning_rate, "weight_decay": config.weight_decay}]

    def counts(self, batch: Batch) -> dict[str, float]:
        """Number of latent elements: for a task those in cells of valid pixels only, for the image all of them."""
        channels = self.parts.latent_channels
        masks = self._masks(batch)
        counts = {task: float(mask.sum()) * channels for task, mask in masks.items()}
        if self.detail_preserver:
            counts[IMAGE] = float(next(iter(masks.values())).numel() * channels)
        return counts

    def terms(self, network: nn.Module, batch: Batch) -> dict[str, Term]:
        """Sums of squared errors of the latents, from one call of ``network`` for all tasks and the image."""
        image = encode_frozen(self.parts, batch.image)  # B 4 h w
        targets = {task: encode_frozen(self.parts, batch.annotation[task]) for task in self.metadata.tasks}
        if self.detail_preserver:
            targets[IMAGE] = image
        noise, timesteps = self._noise_and_timesteps(batch.seeds, len(targets), image)
        errors = squared_errors(network, self.parts, self.metadata, image, targets, noise, timesteps)
        terms = {task: Term(masked_sum(errors[task], mask)) for task, mask in self._masks(batch).items()}
        if self.detail_preserver:
            terms[IMAGE] = Term(errors[IMAGE].sum())
        return terms

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> list[Prediction]:
        """Maps of photos (H, W, 3) with the present weights, by the same code as a saved checkpoint."""
        training = self.network.training
        self.network.eval()
        try:
            return LotusModel("training", self.parts, self.metadata).predict_batch(images)
        finally:
            self.network.train(training)

    def save(self, folder: Path) -> None:
        """Write the present weights as a folder that ``load_model`` loads."""
        save_checkpoint_folder(self.parts, self.metadata, self.source, folder)

    def _masks(self, batch: Batch) -> dict[str, torch.Tensor]:
        """(B, 1, h, w) bool per task: the latent cells with valid pixels only."""
        return {task: latent_mask(batch.valid[task], self.parts.vae_scale_factor) for task in self.metadata.tasks}

    def _noise_and_timesteps(
        self, seeds: Sequence[int], targets: int, image: torch.Tensor
    ) -> tuple[torch.Tensor | None, torch.Tensor]:
        """Noise (targets x B, 4, h, w), None for a discriminative U-Net, and timesteps (B,); a generator per sample."""
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        uniform, steps = self.metadata.timesteps == "uniform", self.parts.schedule.config["num_train_timesteps"]
        times = [
            int(torch.randint(steps, (), generator=generator)) if uniform else self.metadata.timestep
            for generator in generators
        ]
        timesteps = torch.tensor(times, device=image.device)
        if self.parts.mode == "D":
            return None, timesteps
        shape = (targets, *image.shape[1:])
        noise = [torch.randn(shape, generator=generator) for generator in generators]  # B of (T, 4, h, w)
        return torch.stack(noise, dim=1).flatten(0, 1).to(image.device), timesteps
