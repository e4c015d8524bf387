"""AdamW, its learning rate as a function of the step, and the moving average of the weights."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from lotus_recon.errors import InputError
from lotus_recon.training.config import OptimizerConfig


def rate_factor(step: int, config: OptimizerConfig, steps: int) -> float:
    """What the learning rate is multiplied by at ``step`` (from 0) of ``steps``.

    It rises linearly to 1 over the warm-up, then stays, or falls to 0 at the end: on a line or half a cosine wave.
    """
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return 1.0
    progress = (step - config.warmup_steps) / max(1, steps - config.warmup_steps)
    return 1 - progress if config.schedule == "linear" else (1 + math.cos(math.pi * progress)) / 2


def make_optimizer(groups: list[dict[str, Any]], config: OptimizerConfig) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter, 2019) over parameter groups. Raises InputError when 8-bit states cannot be had."""
    # Fused: all parameters in one pass over memory, instead of ten operations for each of them.
    kind: Any = _eight_bit_adamw() if config.eight_bit else functools.partial(torch.optim.AdamW, fused=True)
    optimizer: torch.optim.Optimizer = kind(
        groups,
        lr=config.learning_rate,
        betas=(config.betas[0], config.betas[1]),
        weight_decay=config.weight_decay,
        eps=config.eps,
    )
    return optimizer


def _eight_bit_adamw() -> Any:
    if not torch.cuda.is_available():
        raise InputError("optimizer.eight_bit: 8-bit AdamW needs CUDA, which this machine (or build of torch) lacks")
    try:
        import bitsandbytes
    except ImportError:
        raise InputError("optimizer.eight_bit: needs a package; pip install bitsandbytes") from None
    return bitsandbytes.optim.AdamW8bit


class WeightAverage:
    """Exponential moving average of the weights of a network, with the usual shorter memory in the first steps."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        from diffusers.training_utils import EMAModel

        self._network = network
        self._average = EMAModel(network.parameters(), decay=decay)

    def update(self) -> None:
        """Take in the present weights, after an optimiser step."""
        self._average.step(self._network.parameters())

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The network has the averaged weights meanwhile."""
        self._average.store(self._network.parameters())
        self._average.copy_to(self._network.parameters())
        try:
            yield
        finally:
            self._average.restore(self._network.parameters())

    def state_dict(self) -> dict[str, Any]:
        """All that ``load_state_dict`` needs."""
        state: dict[str, Any] = self._average.state_dict()
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of the same network."""
        self._average.load_state_dict(dict(state))
        self._average.to(device=next(self._network.parameters()).device)  # it stays where it was read to
