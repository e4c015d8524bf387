"""Batches to train on: a mixture of data sets, read ahead by threads, the same for any number of processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import cv2
import numpy as np
import torch

from lotus_recon.datasets.samples import TrainingSet
from lotus_recon.datasets.training_sets import open_training_set
from lotus_recon.errors import InputError
from lotus_recon.training.augmentation import draw
from lotus_recon.training.config import DataConfig, ObjectiveConfig, SetConfig
from lotus_recon.training.making import make_maker
from lotus_recon.training.reading import Ledger, Usable, first_usable, in_order
from lotus_recon.training.sampler import MixtureSampler, SampleIndex
from lotus_recon.training.targets import check_targets
from lotus_recon.training.task_module import Batch

_CPU = torch.device("cpu")
VAE_SCALE_FACTOR = 8  # sizes to train at are multiples of it: the VAE of Stable Diffusion reduces by 8


class Batches:
    """The batches of one process. Each step is available without the steps before it.

    The samples of step k and their seeds depend on ``seed`` and ``total_batch`` alone; processes and micro-batches
    share them out. Unusable samples (``TrainingSet.load`` raises InputError, or no valid pixel is left) are replaced by
    the next ones of their permutation, which depend on the data only, and are named in the log once.
    """

    def __init__(
        self,
        config: DataConfig,
        objective: ObjectiveConfig,
        seed: int,
        total_batch: int,
        sets: Sequence[TrainingSet] | None = None,
        process_index: int = 0,
        process_count: int = 1,
        accumulation: int = 1,
        device: torch.device = _CPU,
    ) -> None:
        """``total_batch`` samples per step over all processes and micro-batches. ``sets`` replace ``config.sets``.

        ``device``: where samples are kept and examples made with ``data.cache`` device, or with auto if all fit there.

        Raises InputError for options that cannot be used and for folders that do not hold their data set.
        """
        check_data(config)
        check_targets(objective)
        _check_sharing(total_batch, process_index, process_count, accumulation)
        self.config = config
        opened = list(sets) if sets is not None else open_sets(config.sets)
        _check_enough(opened, config.sets, process_count)
        self._maker = make_maker(opened, config.cache, objective, device, process_count)
        self._sampler = MixtureSampler(
            seed, [len(s) for s in opened], [s.probability for s in config.sets], total_batch
        )
        self._ledgers = [Ledger(str(o.root), len(s)) for o, s in zip(config.sets, opened, strict=True)]
        self._process_index, self._process_count = process_index, process_count
        self._micro_batches, self._micro_batch = accumulation, total_batch // (process_count * accumulation)

    def step(self, step: int) -> list[Batch]:
        """The micro-batches of this process for optimiser step ``step`` (from 0)."""
        return next(self.run(step, step + 1))

    def run(self, first: int, last: int) -> Iterator[list[Batch]]:
        """``step(k)`` for k from ``first`` to ``last`` - 1. Threads read the next step while the caller computes."""
        cv2.setNumThreads(0)  # the reading threads are enough: OpenCV's own would take the cores from the network
        indices = (index for step in range(first, last) for index in self._mine(step))
        reads = in_order(self._read, indices, self.config.workers, ahead=self._micro_batches * self._micro_batch)
        try:
            for _ in range(first, last):
                yield [self._next_batch(reads) for _ in range(self._micro_batches)]
        finally:
            reads.close()

    @property
    def unusable(self) -> list[str]:
        """The samples that this process had to skip so far, as ``NAME of ROOT``."""
        return [f"{name} of {ledger.where}" for ledger in self._ledgers for name, _ in ledger.unusable.values()]

    def _mine(self, step: int) -> list[SampleIndex]:
        """What this process reads of a step."""
        return self._sampler.step(step)[self._process_index :: self._process_count]

    def _read(self, index: SampleIndex) -> tuple[SampleIndex, Usable[Any]]:
        """The example at an index, or of the first usable sample after it. Several threads call this."""
        options, dataset = self.config.sets[index.dataset], self._maker.sets[index.dataset]

        def prepare(sample: Any) -> Any:
            rng = np.random.default_rng(index.seed)
            drawn = draw(self._maker.shape(sample), options.width, options.height, self.config, rng)
            return self._maker.example(sample, drawn, index.seed)

        indices = (
            self._sampler.sample_number(index.dataset, index.position + offset) for offset in range(len(dataset))
        )
        return index, first_usable(dataset, indices, prepare, str(options.root))

    def _next_batch(self, reads: Iterator[tuple[SampleIndex, Usable[Any]]]) -> Batch:
        examples = []
        for index, usable in islice(reads, self._micro_batch):
            self._ledgers[index.dataset].enter(usable)
            examples.append(usable.item)
        return self._maker.batch(examples)


def open_sets(configured: Sequence[SetConfig]) -> list[TrainingSet]:
    """The data sets of a configuration, one that is trained at several sizes once, so that it is kept in memory once.

    Raises InputError for folders that do not hold their data set.
    """
    named = [(options.kind, options.root, options.split) for options in configured]
    opened = {name: open_training_set(*name) for name in dict.fromkeys(named)}
    return [opened[name] for name in named]


def check_data(config: DataConfig) -> None:
    """Raise InputError for options that cannot be used, before anything is opened."""
    if not config.sets:
        raise InputError(
            "data.sets is empty: name a recipe of configs/train (--config nano), or a data set to train on (--sets)"
        )
    check_sizes(config, VAE_SCALE_FACTOR)
    probabilities = [options.probability for options in config.sets]
    if sum(probabilities) == 0:
        raise InputError(f"probabilities of data.sets are {probabilities}; allowed: at least one above 0")


def check_sizes(config: DataConfig, multiple: int) -> None:
    """Raise InputError unless the sides of all samples are multiples of ``multiple`` pixels (the VAE scale factor)."""
    for where, options in [*_named("sets", config.sets), *_named("validation", config.validation)]:
        if any(side % multiple for side in (options.width, options.height)):
            raise InputError(
                f"{where} is trained at {options.width}x{options.height}; allowed: multiples of {multiple} pixels"
            )


def _named(field: str, sets: Sequence[SetConfig]) -> list[tuple[str, SetConfig]]:
    return [(f"data.{field}[{i}] ({options.root})", options) for i, options in enumerate(sets)]


def _check_sharing(total_batch: int, process_index: int, process_count: int, accumulation: int) -> None:
    """Raise InputError unless the samples of a step can be shared out evenly."""
    if min(total_batch, process_count, accumulation) < 1 or not 0 <= process_index < process_count:
        raise InputError(
            f"total_batch {total_batch}, accumulation {accumulation}, process {process_index} of {process_count}: "
            "must be positive, processes counted from 0"
        )
    if total_batch % (process_count * accumulation):
        raise InputError(
            f"loop.total_batch {total_batch} cannot be shared by {process_count} processes x {accumulation} "
            f"micro-batches; allowed: a multiple of {process_count * accumulation}"
        )


def _check_enough(sets: Sequence[TrainingSet], configured: Sequence[SetConfig], process_count: int) -> None:
    """Raise InputError for data sets with no samples, or with less samples than processes."""
    for dataset, options in zip(sets, configured, strict=True):
        if len(dataset) == 0:
            raise InputError(f"{options.kind} at {options.root} has no samples (split {options.split})")
        if len(dataset) < process_count:
            raise InputError(f"{process_count} processes, but {options.root} has only {len(dataset)} samples")
