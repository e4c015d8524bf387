"""The task module of a configuration."""

from __future__ import annotations

import torch

from lotus_recon.training.config import TrainConfig
from lotus_recon.training.task_module import TaskModule


def check_task_module(config: TrainConfig) -> None:
    """Raise InputError for a formulation that the family does not have. Looks at no data and no weights."""
    if config.start.family == "lotus":
        from lotus_recon.training.objective import check_objective

        check_objective(config)


def make_task_module(config: TrainConfig, device: torch.device) -> TaskModule:
    """The task module of ``config.start.family`` with its starting weights on ``device``, after ``check_task_module``.

    Raises InputError for options that do not fit together, ModelError for weights that cannot be used.
    """
    if config.start.family == "nano":
        from lotus_recon.training.nano_module import NanoTaskModule

        return NanoTaskModule.from_config(config, device)
    from lotus_recon.training.lotus_module import LotusTaskModule

    return LotusTaskModule.from_config(config, device)
