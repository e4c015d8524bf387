"""The task module of nano, which learns like Lotus but in pixels: one step, one task switcher per map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from lotus_recon.errors import InputError
from lotus_recon.models.losses import (
    angle,
    depth_edges,
    edge_error,
    gradient_error,
    masked_mean,
    relative_error,
    usable_depth,
)
from lotus_recon.models.lotus.checkpoints import Metadata
from lotus_recon.models.nano.model import NanoModel, load_network, save_network
from lotus_recon.models.nano.network import SKY, NanoNetwork, NanoSize
from lotus_recon.training.config import NanoConfig, OptimizerConfig, TrainConfig
from lotus_recon.training.imagenet import load_imagenet
from lotus_recon.training.objective import IMAGE, task_switchers
from lotus_recon.training.task_module import Batch, Term
from lotus_recon.types import Prediction

_SKY_M = 1e4  # where the loss at edges takes the sky to be


class NanoTaskModule:
    """A nano network and its losses."""

    def __init__(self, network: NanoNetwork, metadata: Metadata, config: NanoConfig, device: torch.device) -> None:
        # Channels last: a quarter faster on a CPU, and what half precision wants on a GPU.
        self.network: nn.Module = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if config.frozen_blocks:
            for part in (network.encoder.stem, *network.encoder.blocks[: config.frozen_blocks]):
                part.requires_grad_(False)
        self.metadata = metadata
        self.config = config
        self.device = device
        # Without the detail preserver the image is not among the targets.
        image = {IMAGE: metadata.reconstruction} if config.reconstruction_weight > 0 else {}
        self.switchers = {**metadata.tasks, **image}

    @classmethod
    def from_config(cls, config: TrainConfig, device: torch.device) -> NanoTaskModule:
        """The network that a configuration asks for. Raises InputError for a formulation that nano does not have."""
        objective, nano = config.objective, config.nano
        if (objective.prediction_type, objective.timesteps, config.start.mode) != ("sample", "single", "D"):
            raise InputError(
                "start.family nano is discriminative and predicts the sample in a single step; "
                "use start.family lotus for other formulations"
            )
        if objective.depth_normalization != "trunc_disparity":
            raise InputError(
                f"objective.depth_normalization {objective.depth_normalization}: nano supports trunc_disparity only"
            )
        switchers, reconstruction = task_switchers(objective.tasks)
        space = "disparity" if "depth" in switchers else None
        metadata = Metadata(switchers, space, "D", reconstruction=reconstruction, processing_res=config.processing_res)
        if not objective.detail_preserver:
            nano = replace(nano, reconstruction_weight=0.0)
        return cls(_start(config, len(reconstruction)), metadata, nano, device)

    def parameter_groups(self, config: OptimizerConfig) -> list[dict[str, Any]]:
        """The parameters of the encoder that are trained, and all parameters of the other layers."""
        network = self.network
        assert isinstance(network, NanoNetwork)
        encoder = network.encoder
        pretrained = [p for p in encoder.parameters() if p.requires_grad]
        encoder_ids = {id(p) for p in encoder.parameters()}
        fresh = [p for p in network.parameters() if id(p) not in encoder_ids]
        return [
            {"params": pretrained, "lr": config.learning_rate * config.encoder_factor},
            {"params": fresh, "lr": config.learning_rate},
        ]

    def counts(self, batch: Batch) -> dict[str, float]:
        """Numbers of photos with depth, of pixels with normals, and of pixels."""
        counts: dict[str, float] = {}
        if "depth" in self.switchers:
            counts["depth"] = float(usable_depth(_depth_mask(batch)).sum())
            counts[SKY] = float(batch.valid["depth"].sum())
        if "normal" in self.switchers:
            counts["normal"] = float(batch.valid["normal"].sum())
        if IMAGE in self.switchers:
            counts[IMAGE] = float(batch.image[:, 0].numel())
        return counts

    def terms(self, network: nn.Module, batch: Batch) -> dict[str, Term]:
        """Sums of the losses over a batch."""
        image = batch.image.contiguous(memory_format=torch.channels_last)
        maps = {task: map_.float() for task, map_ in network(image, self.switchers).items()}
        terms = {}
        if "depth" in self.switchers:
            terms["depth"] = Term(self._depth_loss(maps["depth"].mean(1), batch))
            terms[SKY] = Term(sky_loss(maps[SKY][:, 0], batch), self.config.sky_weight)
        if "normal" in self.switchers:
            error = angle(maps["normal"], batch.annotation["normal"])
            total = torch.where(batch.valid["normal"][:, 0], error, 0).sum()
            terms["normal"] = Term(total, self.config.normal_weight)
        if IMAGE in self.switchers:
            terms[IMAGE] = Term((maps[IMAGE] - batch.image).abs().mean(1).sum(), self.config.reconstruction_weight)
        return terms

    def _depth_loss(self, predicted: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Sum over the photos with depth. ``predicted`` (B, H, W)."""
        assert batch.depth is not None
        valid = _depth_mask(batch)
        disparity = torch.where(valid, 1 / batch.depth[:, 0].clamp_min(1e-3), 0)
        annotation = batch.annotation["depth"][:, 0]
        unclipped = valid & (annotation.abs() < 1)
        config = self.config
        losses = (
            config.absolute_weight * masked_mean((predicted - annotation).abs(), batch.valid["depth"][:, 0])
            + config.relative_weight * relative_error(predicted, disparity, valid)
            + config.gradient_weight * gradient_error(predicted, annotation, unclipped)
        )
        if config.edge_weight > 0:
            known = batch.valid["depth"][:, 0]  # the sky is far behind everything
            edges = depth_edges(torch.where(valid, batch.depth[:, 0], _SKY_M), known)
            losses = losses + config.edge_weight * edge_error(predicted, annotation, edges)
        return (losses * usable_depth(valid)).sum()

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> list[Prediction]:
        """Maps of photos (H, W, 3)."""
        network = self.network
        assert isinstance(network, NanoNetwork)
        was_training = network.training
        predictions = NanoModel("nano", network, self.metadata, self.device).predict_batch(images)
        network.train(was_training)
        return predictions

    def save(self, folder: Path) -> None:
        """Write a folder that ``load_model`` loads."""
        network = self.network
        assert isinstance(network, NanoNetwork)
        save_network(network, self.metadata, folder)


def sky_loss(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Cross entropy of ``logits`` (B, H, W), summed over the pixels that are known to be sky or not."""
    known = batch.valid["depth"][:, 0]
    is_sky = known & ~_depth_mask(batch)
    return functional.binary_cross_entropy_with_logits(logits[known], is_sky[known].float(), reduction="sum")


def _depth_mask(batch: Batch) -> torch.Tensor:
    """(B, H, W) bool: pixels with depth, without the sky."""
    if batch.depth is None:
        raise InputError("nano needs batches that carry metric depth")
    return batch.depth[:, 0] > 0


def _start(config: TrainConfig, switcher_size: int) -> NanoNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        if config.start.checkpoint is not None:
            network = load_network(config.start.checkpoint)
            if network.sky is None:  # of before nano told the sky apart
                network.add_sky()
            return network
        network = NanoNetwork(switcher_size, NanoSize(attention_layers=config.nano.attention_layers, sky=True))
    if config.nano.imagenet:
        load_imagenet(network.encoder)
    return network
