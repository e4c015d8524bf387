"""The training loop: one or several processes, the same result; interrupted and resumed, the same result."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs

from lotus_recon.datasets.samples import TrainingSet
from lotus_recon.datasets.training_sets import open_training_set
from lotus_recon.errors import InputError, ModelError, TrainingError
from lotus_recon.interruption import doing, end_if_asked
from lotus_recon.io.images import write_png
from lotus_recon.measuring import peak_memory_mb
from lotus_recon.training.checkpoints import (
    Checkpoint,
    checkpoint_folder,
    commit_folder,
    list_checkpoints,
    load_latest,
    lost_files,
    remove_leftovers,
    save_checkpoint,
)
from lotus_recon.training.config import LoopConfig, TrainConfig
from lotus_recon.training.data import Batches
from lotus_recon.training.run_folder import RunFolder
from lotus_recon.training.task_module import Batch, TaskModule
from lotus_recon.training.task_modules import check_task_module, make_task_module
from lotus_recon.training.tracking import Tracker, check_tracker, open_tracker
from lotus_recon.training.trainer import StepReport, Trainer
from lotus_recon.training.validation import Choice, choose_samples, validate

log = logging.getLogger(__name__)

_ACCELERATE_PRECISION = {"fp32": "no", "fp16": "fp16", "bf16": "bf16"}
_TRIED = 4  # steps
# While one process writes a checkpoint, the others wait.
_LONGEST_WAIT = timedelta(hours=2)


class BatchSource(Protocol):
    """Where the micro-batches of a process come from (training.data.Batches)."""

    def run(self, first: int, last: int) -> Iterator[list[Batch]]:
        """The micro-batches of each step from ``first`` to ``last`` - 1."""
        ...

    @property
    def unusable(self) -> list[str]:
        """Samples that were skipped so far, by name."""
        ...


@dataclass(frozen=True)
class Parts:
    """What a run is made of."""

    make_task_module: Callable[[TrainConfig, torch.device], TaskModule]
    open_batches: Callable[[TrainConfig, int, int, torch.device], BatchSource]  # config, process index, process count
    open_validation: Callable[[TrainConfig], Sequence[TrainingSet]]


def configured_parts() -> Parts:
    """The parts that a configuration names."""
    return Parts(make_task_module, _open_batches, _open_validation)


def _open_batches(config: TrainConfig, process_index: int, process_count: int, device: torch.device) -> Batches:
    return Batches(
        config.data,
        config.objective,
        config.seed,
        config.loop.total_batch,
        process_index=process_index,
        process_count=process_count,
        accumulation=config.loop.accumulation,
        device=device,
    )


def _open_validation(config: TrainConfig) -> list[TrainingSet]:
    return [open_training_set(options.kind, options.root, options.split) for options in config.data.validation]


def train(config: TrainConfig, out: Path, parts: Parts) -> None:
    """Train in the folder ``out``, or resume the training there. In the end ``out/model`` is the trained model.

    Raises what ``prepare`` raises, and TrainingError when a loss is not a number or a checkpoint cannot be written.
    """
    prepare(config, out, parts).go()


def prepare(config: TrainConfig, out: Path, parts: Parts) -> Run:
    """A run that is ready to start, or to resume from the latest checkpoint in ``out``. Writes nothing.

    Raises InputError for options that cannot be used or that differ from those of the run in ``out``, TrainingError
    when there are checkpoints and none can be read.
    """
    check_task_module(config)
    check_tracker(config.loop.tracker)
    folder = RunFolder(out)
    folder.check(config)
    accelerator = _accelerator(config.loop)
    batches = parts.open_batches(config, accelerator.process_index, accelerator.num_processes, accelerator.device)
    choices = choose_samples(parts.open_validation(config), config.data.validation_samples)
    torch.manual_seed(config.seed)
    trainer = Trainer(config, parts.make_task_module(config, accelerator.device), accelerator)
    first = 0
    if (latest := load_latest(folder.checkpoints)) is not None:
        checkpoint, state = latest
        trainer.load_state(state, checkpoint.folder)
        first = checkpoint.step
    return Run(config, folder, trainer, batches, choices, first)


def _accelerator(loop: LoopConfig) -> Accelerator:
    if loop.precision == "fp16" and not torch.cuda.is_available():
        raise InputError(
            "loop.precision fp16 needs CUDA; allowed here: fp32, and bf16, which is slow on CPUs without native support"
        )
    return Accelerator(
        mixed_precision=_ACCELERATE_PRECISION[loop.precision],
        kwargs_handlers=[InitProcessGroupKwargs(timeout=_LONGEST_WAIT)],
    )


@dataclass(frozen=True)
class Trial:
    """What a run will take, as a few of its steps tell."""

    steps: int  # that are left
    seconds_per_step: float
    memory_mb: float  # of this process, on the CPU
    disk_mb: float  # of the checkpoints that are kept


class Run:
    """A run in its folder: steps, with log lines, validation and checkpoints in between."""

    def __init__(
        self,
        config: TrainConfig,
        folder: RunFolder,
        trainer: Trainer,
        batches: BatchSource,
        choices: Sequence[Choice],
        first: int,
    ) -> None:
        """``first`` steps are done, and the trainer has their result."""
        self.config = config
        self.folder = folder
        self.trainer = trainer
        self.batches = batches
        self.choices = choices
        self.first = first
        self.is_main = trainer.accelerator.is_main_process

    def go(self) -> None:
        """Train to the end."""
        try:
            if self.is_main:
                self._enter_folder()
            if self.first < self.config.loop.steps:
                self._train()
                self._warn_of_skipped_samples()
        finally:
            self.trainer.close()
        log.info("%s: trained for %d steps", self.folder.model, max(self.first, self.config.loop.steps))

    def try_out(self) -> Trial | None:
        """What steps take, from ``_TRIED`` of them whose result is thrown away; None when none is left. Writes nothing.

        The first is not counted where there are more: it allocates, and kernels are chosen in it.
        """
        steps = min(_TRIED, self.config.loop.steps - self.first)
        if steps <= 0:
            return None
        ends = [time.monotonic()]
        try:
            for step, batches in enumerate(self.batches.run(self.first, self.first + steps), self.first):
                self._step(step, batches)
                ends.append(time.monotonic())
            state_mb = _megabytes(self.trainer.state())
        finally:
            self.trainer.close()
        counted = ends[min(1, steps - 1) :]
        seconds = (counted[-1] - counted[0]) / (len(counted) - 1)
        left = self.config.loop.steps - self.first
        return Trial(left, seconds, peak_memory_mb(), state_mb * self.config.loop.checkpoint_limit)

    def _enter_folder(self) -> None:
        """Claim the folder for this run, and bring it to its state after the first steps."""
        self.folder.root.mkdir(parents=True, exist_ok=True)
        self.folder.claim(self.config)
        for root in (self.folder.root, self.folder.checkpoints):
            remove_leftovers(root)
        self.folder.forget_metrics_after(self.first)
        if self.first:
            for path in lost_files(Checkpoint(self.first, checkpoint_folder(self.folder.checkpoints, self.first))):
                log.warning("%s is missing or damaged, and is not made again", path)
            log.info("resuming after step %d of %d", self.first, self.config.loop.steps)
            self._save_model()  # a run may have been killed between checkpoint and model

    def _train(self) -> None:
        tracker = open_tracker(self.config, self.folder.root, self.first) if self.is_main else None
        meter = _Meter(self.config.loop, self.first)
        try:
            with doing("the running step of the training", _again(self.first)) as resumes:
                for step, batches in enumerate(self.batches.run(self.first, self.config.loop.steps), self.first):
                    end_if_asked()
                    self._log(meter, tracker, step + 1, self._step(step, batches))
                    if self._is_due(step + 1, self.config.loop.validate_every):
                        self._validate(tracker, step + 1)
                    if self._is_due(step + 1, self.config.loop.checkpoint_every):
                        self._save(step + 1)
                        resumes(_again(step + 1))
        finally:
            if tracker is not None:
                tracker.close()

    def _warn_of_skipped_samples(self) -> None:
        names = sorted({*self.trainer.gather(self.batches.unusable)})
        if names and self.is_main:
            log.warning("%d samples could not be used and were skipped: %s", len(names), ", ".join(names))

    def _step(self, step: int, batches: Sequence[Batch]) -> StepReport:
        try:
            return self.trainer.step(step, batches)
        except TrainingError as error:
            kept = list_checkpoints(self.folder.checkpoints)
            last = f"the last good checkpoint is {kept[0].folder}" if kept else "there is no checkpoint yet"
            raise TrainingError(f"{error}; {last}") from None

    def _is_due(self, done: int, every: int) -> bool:
        return done % every == 0 or done == self.config.loop.steps

    def _log(self, meter: _Meter, tracker: Tracker | None, done: int, report: StepReport) -> None:
        meter.add(report)
        # At checkpoints too: a resumed run has no older losses to average.
        due = done == 1 or any(
            self._is_due(done, n) for n in (self.config.loop.log_every, self.config.loop.checkpoint_every)
        )
        if tracker is None or not due:
            return
        values = meter.take()
        self.folder.add_metrics(done, "train", values)
        tracker.scalars(done, {f"train/{name}": value for name, value in values.items()})
        log.info("%s", meter.line(done, values))

    def _validate(self, tracker: Tracker | None, done: int) -> None:
        if not self.choices:
            return
        accelerator = self.trainer.accelerator
        with self.trainer.averaged():
            result = validate(
                self.trainer.task_module,
                self.choices,
                accelerator.process_index,
                accelerator.num_processes,
                self.trainer.gather,
            )
        if tracker is None:
            return
        self.folder.add_metrics(done, "validation", result.scores)
        tracker.scalars(done, {f"validation/{name}": value for name, value in result.scores.items()})
        if result.image is not None:
            write_png(self.folder.images / f"step_{done:08d}.png", result.image)
            tracker.image(done, "validation", result.image)
        log.info("validation after step %d: %s", done, _headline(result.scores))

    def _save(self, done: int) -> None:
        if self.is_main:
            limit = self.config.loop.checkpoint_limit
            save_checkpoint(self.folder.checkpoints, done, self.trainer.state(), limit, self.folder.sizes())
            self._save_model()
            log.debug("saved %s", checkpoint_folder(self.folder.checkpoints, done))
        self.trainer.accelerator.wait_for_everyone()

    def _save_model(self) -> None:
        try:
            with self.trainer.averaged():
                commit_folder(self.folder.model, self.trainer.task_module.save)
        except (OSError, ModelError) as error:
            raise TrainingError(
                f"{self.folder.model} could not be written: {error}; the previous model and the checkpoints are "
                "intact; free some space and run the same command again"
            ) from error


def _megabytes(state: Any) -> float:
    """Of all tensors in nested containers."""
    if isinstance(state, torch.Tensor):
        return state.numel() * state.element_size() / 1e6
    items = state.values() if isinstance(state, Mapping) else state if isinstance(state, (list, tuple)) else ()
    return sum(map(_megabytes, items))


def _again(done: int) -> str:
    """What a run does again whose latest checkpoint is the one after ``done`` steps."""
    return f"it goes on after step {done}" if done else "it starts again, as there is no checkpoint yet"


def _headline(scores: Mapping[str, float]) -> str:
    shown = {"depth/abs_rel": "AbsRel {:.4f}", "depth/delta1": "delta1 {:.3f}", "normal/mean": "normals {:.2f} degrees"}
    return ", ".join(text.format(scores[name]) for name, text in shown.items() if name in scores) or "no scores"


class _Meter:
    """Means of the losses since the last log line, speed, and time left."""

    def __init__(self, loop: LoopConfig, first: int) -> None:
        self._loop = loop
        self._first = first
        self._start = time.monotonic()
        self._reports: list[StepReport] = []

    def add(self, report: StepReport) -> None:
        self._reports.append(report)

    def take(self) -> dict[str, float]:
        """Mean of each loss and of the gradient norm since the last call, and the present learning rate."""
        reports, self._reports = self._reports, []
        names = dict.fromkeys(name for report in reports for name in report.losses)
        values = {n: _mean([report.losses[n] for report in reports if n in report.losses]) for n in names}
        norms = [report.gradient_norm for report in reports if math.isfinite(report.gradient_norm)]
        return {**values, **({"gradient_norm": _mean(norms)} if norms else {}), "rate": reports[-1].rate}

    def line(self, done: int, values: Mapping[str, float]) -> str:
        seconds = time.monotonic() - self._start
        per_step = seconds / (done - self._first)
        left = timedelta(seconds=round(per_step * (self._loop.steps - done)))
        losses = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        speed = f"{self._loop.total_batch / per_step:.1f} samples/s"
        return f"step {done} of {self._loop.steps}: {losses}, {speed}, {left} left"


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
