"""One optimiser step after the other: the same for any number of processes and micro-batches."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from lotus_recon.errors import InputError, TrainingError
from lotus_recon.training.config import TrainConfig
from lotus_recon.training.optimization import WeightAverage, make_optimizer, rate_factor
from lotus_recon.training.task_module import Batch, TaskModule

log = logging.getLogger(__name__)

# The scale of fp16 gradients starts at 2^16 and is halved after each overflow.
_MAX_SKIPPED_IN_A_ROW = 32
_NAMES_SHOWN = 16
_REASON_LENGTH = 300


@dataclass(frozen=True)
class StepReport:
    """What an optimiser step did."""

    losses: Mapping[str, float]  # mean of each term over all processes and micro-batches, and their weighted sum
    gradient_norm: float  # before clipping
    rate: float  # learning rate of the first parameter group


class Trainer:
    """A task module with its optimiser: takes steps, and gives and takes its whole state."""

    def __init__(self, config: TrainConfig, task_module: TaskModule, accelerator: Accelerator) -> None:
        self.config = config
        self.task_module = task_module
        self.accelerator = accelerator
        if config.loop.gradient_checkpointing:
            _enable_gradient_checkpointing(task_module)
        optimizer = make_optimizer(task_module.parameter_groups(config.optimizer), config.optimizer)
        task_module.network.train()
        self._network, self._optimizer = accelerator.prepare(task_module.network, optimizer)
        self._rates = [group["lr"] for group in self._optimizer.param_groups]
        self._parameters = [p for group in self._optimizer.param_groups for p in group["params"]]
        decay = config.loop.ema_decay
        self._average = WeightAverage(task_module.network, decay) if decay > 0 else None
        self._skipped_in_a_row = 0

    def step(self, step: int, batches: Sequence[Batch]) -> StepReport:
        """Optimiser step ``step`` (from 0) on the micro-batches of this process.

        Raises TrainingError, with unchanged weights, for a loss or a gradient that is not finite.
        """
        rate = self._set_rates(step)
        # Dropout and the like are seeded at each step, so that a run can resume at any of them.
        torch.manual_seed(_step_seed(self.config.seed, step, self.accelerator.process_index))
        counts = self._global_counts(batches)
        losses = self._backward(step, batches, counts)
        norm = float(
            self.accelerator.clip_grad_norm_(self._parameters, self.config.optimizer.max_grad_norm or math.inf)
        )
        if not math.isfinite(norm) and self.accelerator.scaler is None:
            raise TrainingError(f"the gradient is not finite at step {step + 1}; {_samples(self._all_names(batches))}")
        self._optimizer.step()
        self._optimizer.zero_grad()
        self._after_step(step, skipped=bool(self._optimizer.step_was_skipped))
        return StepReport(losses, norm, rate)

    def _set_rates(self, step: int) -> float:
        factor = rate_factor(step, self.config.optimizer, self.config.loop.steps)
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor
        return self._rates[0] * factor

    def _global_counts(self, batches: Sequence[Batch]) -> dict[str, float]:
        """How much counts in each term over all micro-batches of all processes."""
        return _sums(self.gather([self.task_module.counts(batch) for batch in batches]))

    def _backward(self, step: int, batches: Sequence[Batch], counts: Mapping[str, float]) -> dict[str, float]:
        """Accumulate the gradients of all micro-batches; the mean of each term over all processes.

        Each sum is divided by the count over all processes and micro-batches, so that a masked mean does not depend on
        how the samples are shared out. A mean of gradients over the processes is what they are combined by: hence the
        factor.
        """
        local: list[dict[str, torch.Tensor]] = []
        for index, batch in enumerate(batches):
            with self._no_sync() if index < len(batches) - 1 else nullcontext():
                terms = self.task_module.terms(self._network, batch.to(self.accelerator.device))
                means = {name: term.total / max(counts[name], 1.0) for name, term in terms.items()}
                loss = torch.stack([terms[name].weight * mean for name, mean in means.items()]).sum()
                self.accelerator.backward(loss * self.accelerator.num_processes)
                local.append({name: value.detach() for name, value in {"loss": loss, **means}.items()})
        return self._global_losses(step, batches, local)

    def _no_sync(self) -> AbstractContextManager[None]:
        context: AbstractContextManager[None] = self.accelerator.no_sync(self._network)
        return context

    def _global_losses(
        self, step: int, batches: Sequence[Batch], local: Sequence[Mapping[str, torch.Tensor]]
    ) -> dict[str, float]:
        values = [{name: float(value) for name, value in losses.items()} for losses in local]
        gathered = self.gather(list(zip([batch.names for batch in batches], values, strict=True)))
        bad = [(names, losses) for names, losses in gathered if not all(map(math.isfinite, losses.values()))]
        if bad:  # the same in all processes, so all stop
            losses = ", ".join(f"{name} {value:g}" for name, value in bad[0][1].items())
            names = [name for names, _ in bad for name in names]
            raise TrainingError(f"the loss is not finite at step {step + 1} ({losses}); {_samples(names)}")
        return _sums([losses for _, losses in gathered])

    def _all_names(self, batches: Sequence[Batch]) -> list[str]:
        return self.gather([name for batch in batches for name in batch.names])

    def gather(self, items: list[Any]) -> list[Any]:
        """The lists of all processes as one, in the order of the processes."""
        gathered: list[Any] = gather_object(items)
        return gathered

    def _after_step(self, step: int, skipped: bool) -> None:
        if not skipped:
            self._skipped_in_a_row = 0
            if self._average is not None:
                self._average.update()
            return
        self._skipped_in_a_row += 1
        log.info("step %d: the fp16 gradients overflowed; skipping the step and lowering the scale", step + 1)
        if self._skipped_in_a_row >= _MAX_SKIPPED_IN_A_ROW:
            raise TrainingError(
                f"the gradient is not finite at step {step + 1} and the {_MAX_SKIPPED_IN_A_ROW - 1} before it, at any "
                "scale; try bf16 or fp32, or a lower learning rate"
            )

    def close(self) -> None:
        """End the group of processes; no step can follow.

        The wrapper that shares gradients goes first. With the last reference to a group of CPU processes it would wait
        for the group's threads while it holds the interpreter's lock, and they may be waiting for that lock.
        """
        del self._network
        self.accelerator.free_memory()
        self.accelerator.end_training()

    def averaged(self) -> AbstractContextManager[None]:
        """Gives the network the weights that are validated and saved: their moving average, if one is configured."""
        return nullcontext() if self._average is None else self._average.in_place()

    def state(self) -> dict[str, Any]:
        """All that a run needs to resume. Random numbers need no state: they are functions of seed and step."""
        scaler = self.accelerator.scaler
        return {
            "network": self.task_module.network.state_dict(),
            "average": None if self._average is None else self._average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": None if scaler is None else scaler.state_dict(),
        }

    def load_state(self, state: Mapping[str, Any], where: Path) -> None:
        """Resume from ``state``, read from ``where``. Raises InputError when it is of another architecture."""
        try:
            self.task_module.network.load_state_dict(state["network"])
            self._optimizer.load_state_dict(state["optimizer"])
            if self._average is not None:
                self._average.load_state_dict(state["average"])
            if self.accelerator.scaler is not None:
                self.accelerator.scaler.load_state_dict(state["scaler"])
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            reasons = " ".join(str(error).split())[:_REASON_LENGTH]
            raise InputError(f"checkpoint {where} is of another architecture: {reasons}") from None


def _enable_gradient_checkpointing(task_module: TaskModule) -> None:
    enable = getattr(task_module.network, "enable_gradient_checkpointing", None)
    if enable is None:
        raise InputError("loop.gradient_checkpointing: this network does not offer it; switch it off")
    enable()


def _step_seed(seed: int, step: int, process_index: int) -> int:
    return int(np.random.SeedSequence([seed, step, process_index]).generate_state(1, np.uint64)[0])


def _sums(values: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for mapping in values for name in mapping)
    return {name: math.fsum(mapping[name] for mapping in values if name in mapping) for name in names}


def _samples(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return f"samples: {', '.join(names[:_NAMES_SHOWN])}{more}"
