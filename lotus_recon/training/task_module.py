"""The interface between the training loop and what it trains: Lotus in latent space, nano in pixel space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lotus_recon.training.config import OptimizerConfig
from lotus_recon.types import Prediction


@dataclass(frozen=True, eq=False)
class Batch:
    """B samples of one size, as tensors on one device. Masks of tasks that a data set lacks are all False."""

    names: tuple[str, ...]
    image: torch.Tensor  # (B, 3, H, W) in [-1, 1]
    annotation: Mapping[str, torch.Tensor]  # task -> (B, 3, H, W) in [-1, 1]; normals as -n (released convention)
    valid: Mapping[str, torch.Tensor]  # task -> (B, 1, H, W) bool; for depth: valid OR sky
    # Seeds of each sample's own randomness (noise, timestep): results do not depend on how samples are batched.
    seeds: tuple[int, ...]
    depth: torch.Tensor | None = None  # (B, 1, H, W) z-depth in metres, 0 where invalid: for losses on depth itself

    def to(self, device: torch.device) -> Batch:
        """The same on ``device``."""
        annotation = {task: map_.to(device, non_blocking=True) for task, map_ in self.annotation.items()}
        valid = {task: mask.to(device, non_blocking=True) for task, mask in self.valid.items()}
        depth = None if self.depth is None else self.depth.to(device, non_blocking=True)
        return Batch(self.names, self.image.to(device, non_blocking=True), annotation, valid, self.seeds, depth)


@dataclass(frozen=True, eq=False)
class Term:
    """A part of the loss as a sum: the loop divides by the count over all processes and accumulation steps."""

    total: torch.Tensor  # 0-d, differentiable: sum of the loss over what counts
    weight: float = 1.0


class TaskModule(Protocol):
    """A network with its losses, which the training loop trains on batches."""

    # What is trained. The loop wraps it (several processes, mixed precision), so ``terms`` gets the wrapped one.
    network: nn.Module

    def parameter_groups(self, config: OptimizerConfig) -> list[dict[str, Any]]:
        """Parameters with their learning rates and weight decay, as torch optimisers take them."""
        ...

    def counts(self, batch: Batch) -> dict[str, float]:
        """Per term of the loss, how many elements of ``batch`` count. Known from the masks, before any forward pass."""
        ...

    def terms(self, network: nn.Module, batch: Batch) -> dict[str, Term]:
        """The terms of the loss on a batch, named as in ``counts``. The loss is the sum of weight x total / count."""
        ...

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> list[Prediction]:
        """Maps of photos (H, W, 3) with the present weights of ``network``, as the saved checkpoint would give them."""
        ...

    def save(self, folder: Path) -> None:
        """Write the present weights as a folder that ``load_model`` loads (diffusers layout and lotus.json)."""
        ...
