"""Numbers of a training run that make no sense, found before any work."""

from __future__ import annotations

import math

from lotus_recon.errors import InputError
from lotus_recon.training.config import NanoConfig, OptimizerConfig, TrainConfig

_AT_LEAST_ONE = (
    "steps",
    "total_batch",
    "accumulation",
    "checkpoint_every",
    "checkpoint_limit",
    "validate_every",
    "log_every",
)
_ENCODER_BLOCKS = 16  # of EfficientNet-Lite0


def check_options(config: TrainConfig) -> None:
    """Raise InputError for numbers of the loop and the optimiser that are outside of what is allowed."""
    for name in _AT_LEAST_ONE:
        _check(getattr(config.loop, name) >= 1, f"loop.{name}", getattr(config.loop, name), "1 and more")
    _check(0 <= config.loop.ema_decay < 1, "loop.ema_decay", config.loop.ema_decay, "0 to below 1")
    _check(config.seed >= 0, "seed", config.seed, "0 and more")
    _check_optimizer(config.optimizer)
    _check_nano(config.nano)


def _check_optimizer(optimizer: OptimizerConfig) -> None:
    betas_fine = len(optimizer.betas) == 2 and all(0 <= beta < 1 for beta in optimizer.betas)
    _check(betas_fine, "optimizer.betas", optimizer.betas, "two numbers from 0 to below 1")
    for name in ("learning_rate", "eps"):
        _check(0 < getattr(optimizer, name) <= 1, f"optimizer.{name}", getattr(optimizer, name), "above 0, up to 1")
    for name in ("encoder_factor", "weight_decay", "max_grad_norm", "warmup_steps"):
        value = getattr(optimizer, name)
        _check(0 <= value < math.inf, f"optimizer.{name}", value, "0 and more")


def _check_nano(nano: NanoConfig) -> None:
    _check(
        0 <= nano.frozen_blocks <= _ENCODER_BLOCKS, "nano.frozen_blocks", nano.frozen_blocks, f"0 to {_ENCODER_BLOCKS}"
    )
    _check(nano.attention_layers >= 0, "nano.attention_layers", nano.attention_layers, "0 and more")
    for name, value in vars(nano).items():
        if name.endswith("_weight"):
            _check(0 <= value < math.inf, f"nano.{name}", value, "0 and more")


def _check(is_fine: bool, name: str, value: object, allowed: str) -> None:
    if not is_fine:
        raise InputError(f"{name} is {value}; allowed: {allowed}")
