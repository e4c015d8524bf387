"""Numbers of a training run that make no sense, found before any work."""

from __future__ import annotations

from lotus_recon.errors import InputError
from lotus_recon.training.config import LoopConfig, OptimizerConfig, TrainConfig

_AT_LEAST_ONE = (
    "steps",
    "total_batch",
    "accumulation",
    "checkpoint_every",
    "checkpoint_limit",
    "validate_every",
    "log_every",
)


def check_options(config: TrainConfig) -> None:
    """Raise InputError for numbers of the loop and the optimiser that are outside of what is allowed."""
    for name in _AT_LEAST_ONE:
        _check(getattr(config.loop, name) >= 1, f"loop.{name}", getattr(config.loop, name), "1 and more")
    _check(0 <= config.loop.ema_decay < 1, "loop.ema_decay", config.loop.ema_decay, "0 to below 1")
    _check(config.seed >= 0, "seed", config.seed, "0 and more")
    _check_optimizer(config.optimizer)


def _check_optimizer(optimizer: OptimizerConfig) -> None:
    betas_fine = len(optimizer.betas) == 2 and all(0 <= beta < 1 for beta in optimizer.betas)
    _check(betas_fine, "optimizer.betas", optimizer.betas, "two numbers from 0 to below 1")
    for name in ("learning_rate", "eps"):
        _check(getattr(optimizer, name) > 0, f"optimizer.{name}", getattr(optimizer, name), "above 0")
    for name in ("weight_decay", "max_grad_norm", "warmup_steps"):
        _check(getattr(optimizer, name) >= 0, f"optimizer.{name}", getattr(optimizer, name), "0 and more")


def _check(is_fine: bool, name: str, value: object, allowed: str) -> None:
    if not is_fine:
        raise InputError(f"{name} is {value}; allowed: {allowed}")


def check_shares(loop: LoopConfig, process_count: int) -> None:
    """Raise InputError when the samples of a step cannot be shared out equally."""
    shares = process_count * loop.accumulation
    if loop.total_batch % shares:
        raise InputError(
            f"loop.total_batch {loop.total_batch} cannot be shared by {process_count} processes x {loop.accumulation} "
            f"micro-batches: allowed are multiples of {shares}"
        )
