"""Which learner a configuration asks for."""

from __future__ import annotations

import torch

from lotus_recon.training.config import TrainConfig
from lotus_recon.training.learner import Learner


def check_learner(config: TrainConfig) -> None:
    """Raise InputError for a formulation that the family does not have. Looks at no data and no weights."""
    if config.start.family == "lotus":
        from lotus_recon.training.objective import check_objective

        check_objective(config)


def make_learner(config: TrainConfig, device: torch.device) -> Learner:
    """The learner of ``config.start.family`` with its starting weights on ``device``; ``check_learner`` comes first.

    Raises InputError for options that do not fit together, ModelError for weights that cannot be used.
    """
    if config.start.family == "nano":
        from lotus_recon.training.nano_learner import NanoLearner

        return NanoLearner.from_config(config, device)
    from lotus_recon.training.lotus_learner import LotusLearner

    return LotusLearner.from_config(config, device)
