"""The networks that can learn a scene: nano as a whole, a Lotus U-Net through low-rank matrices (LoRA).

B photos of h x w pixels.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

import torch

from lotus_recon.models.base import Model, ModelOptions, resolve_device
from lotus_recon.models.lotus.checkpoints import DEPTH_KINDS
from lotus_recon.models.lotus.resolving import resolve
from lotus_recon.models.nano import family as nano
from lotus_recon.types import DepthKind


class Learner(Protocol):
    """A network that learns depth, and the model that predicts with what it has learnt."""

    kind: DepthKind  # of its depth: what the network's values are affine in
    device: torch.device
    frozen: str  # what does not learn, for the report

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(h, w) of its input, for a photo of ``height`` x ``width`` pixels."""
        ...

    def parameters(self) -> list[torch.nn.Parameter]:
        """What learns, float32."""
        ...

    def values(self, images: torch.Tensor) -> torch.Tensor:
        """(B, h, w) what the network says of the depth of images (B, 3, h, w) in [-1, 1]; gradients pass."""
        ...

    def model(self) -> Model:
        """The model with the present weights, for depth alone. It no longer learns."""
        ...

    def save(self, folder: Path) -> None:
        """Write the present weights as a checkpoint that ``--model`` loads; after ``model``."""
        ...


def why_not(name: str, options: ModelOptions) -> str:
    """Why the model of this name cannot learn a scene; empty where it can. Loads nothing."""
    if nano.accepts(name):
        return ""
    steps = max(each.metadata.inference_steps for each in resolve(name, options))
    return f"it predicts in {steps} steps, and gradients pass through one only" if steps > 1 else ""


def learner_of(name: str, options: ModelOptions, device: str, dtype: str, rank: int) -> Learner:
    """The network of a model, ready to learn. Raises InputError and ModelError as loading the model does."""
    where = resolve_device(device)
    if nano.accepts(name):
        return NanoLearner(name, options, where)
    from lotus_recon.adaptation.lora import LotusLearner

    return LotusLearner(name, options, where, dtype, rank)


class NanoLearner:
    """All weights of nano but the statistics of its normalisation."""

    frozen = "statistics of the normalisation"

    def __init__(self, name: str, options: ModelOptions, device: torch.device) -> None:
        from lotus_recon.models.nano.model import NanoModel

        model = nano.load(name, options, str(device), "float32")
        assert isinstance(model, NanoModel)
        self._metadata = replace(
            model.metadata, tasks={"depth": model.metadata.tasks["depth"]}, processing_res=model.processing_res
        )
        # Channels last: a seventh faster on a CPU.
        self._network = model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.kind, self.device = DEPTH_KINDS[str(model.metadata.depth_space)], device

    def size(self, height: int, width: int) -> tuple[int, int]:
        """See ``Learner``."""
        from lotus_recon.models.nano.model import network_size

        return network_size(height, width, self._metadata.processing_res)

    def parameters(self) -> list[torch.nn.Parameter]:
        """See ``Learner``."""
        return list(self._network.parameters())

    def values(self, images: torch.Tensor) -> torch.Tensor:
        """(B, h, w) of images (B, 3, h, w): see ``Learner``."""
        maps = self._network(images.contiguous(memory_format=torch.channels_last), self._metadata.tasks)
        values: torch.Tensor = maps["depth"].mean(dim=1)
        return values

    def model(self) -> Model:
        """See ``Learner``."""
        from lotus_recon.models.nano.model import NanoModel

        return NanoModel("nano", self._network, self._metadata, self.device)

    def save(self, folder: Path) -> None:
        """See ``Learner``."""
        from lotus_recon.models.nano.model import save_network

        save_network(self._network, self._metadata, folder)
