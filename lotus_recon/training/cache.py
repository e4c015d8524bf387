"""Samples kept in memory as they were read: from the second epoch on, no file is opened or decoded for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Generic, TypeVar

import numpy as np
import psutil
import torch

from lotus_recon.datasets.samples import Sample, TrainingSet
from lotus_recon.errors import InputError
from lotus_recon.training.device_framing import DeviceSample

Kept = TypeVar("Kept")
Cached = TypeVar("Cached")

_FREE_SHARE = 0.5  # of the memory that is free at the start: of the device, or of all processes of the machine


class Budget:
    """Bytes that several sets may still take; threads share it."""

    def __init__(self, size: float) -> None:
        self._left = size
        self._lock = Lock()

    def take(self, size: int) -> bool:
        """Whether ``size`` bytes were still there; they are taken then."""
        with self._lock:
            fits = size <= self._left
            self._left -= size if fits else 0
            return fits


class CachedSet(Generic[Kept]):
    """A training set whose samples stay in memory while the budget lasts; the others are read whenever asked for."""

    def __init__(self, source: TrainingSet, budget: Budget, keep: Callable[[Sample], Kept]) -> None:
        """``keep`` puts a sample where it stays."""
        self._source, self._budget, self._keep = source, budget, keep
        self._kept: dict[int, Kept] = {}

    def __len__(self) -> int:
        return len(self._source)

    def name(self, index: int) -> str:
        """See ``TrainingSet``."""
        return self._source.name(index)

    def load(self, index: int) -> Kept:
        """See ``TrainingSet``."""
        if (kept := self._kept.get(index)) is not None:
            return kept
        sample = self._source.load(index)
        result = self._keep(sample)
        if self._budget.take(_size(sample)):
            self._kept[index] = result
        return result


def in_ram(sets: Sequence[TrainingSet], cache: str, process_count: int) -> list[TrainingSet]:
    """The sets, their samples kept as ``data.cache`` says: auto (half of the free memory), ram (all) or off."""
    if cache == "off":
        return list(sets)
    free = _FREE_SHARE * psutil.virtual_memory().available / process_count
    budget = Budget(float("inf") if cache == "ram" else free)
    return _each_once(sets, lambda source: CachedSet(source, budget, read_only))


def read_only(sample: Sample) -> Sample:
    """The same sample, whose arrays cannot be written to."""
    for array in _arrays(sample):
        array.flags.writeable = False
    return sample


def is_on_device(sets: Sequence[TrainingSet], cache: str, device: torch.device) -> bool:
    """Whether samples are kept on the training device: asked for, or (auto) all fit in half of its free memory.

    The first sample of each set says how large all of them are.
    """
    if cache != "auto" or device.type != "cuda":
        return cache == "device"
    try:
        expected = sum(len(source) * _size(source.load(0)) for source in _different(sets).values())
    except InputError:
        return False
    return expected <= _FREE_SHARE * torch.cuda.mem_get_info(device)[0]


def on_device(sets: Sequence[TrainingSet], device: torch.device) -> list[CachedSet[DeviceSample]]:
    """The sets, all their samples kept on ``device``."""
    budget = Budget(float("inf"))
    return _each_once(sets, lambda source: CachedSet(source, budget, lambda sample: DeviceSample.of(sample, device)))


def _each_once(sets: Sequence[TrainingSet], cached: Callable[[TrainingSet], Cached]) -> list[Cached]:
    """``cached`` of each set; of one that is there several times, at several sizes, the same."""
    kept = {key: cached(source) for key, source in _different(sets).items()}
    return [kept[id(source)] for source in sets]


def _different(sets: Sequence[TrainingSet]) -> dict[int, TrainingSet]:
    """The sets by identity, each once."""
    return {id(source): source for source in sets}


def _size(sample: Sample) -> int:
    return sum(array.nbytes for array in _arrays(sample))


def _arrays(sample: Sample) -> list[np.ndarray]:
    return [value for value in vars(sample).values() if isinstance(value, np.ndarray)]
