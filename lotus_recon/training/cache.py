"""Samples kept in memory as they were read: from the second epoch on, no file is opened or decoded for them."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

import numpy as np
import psutil

from lotus_recon.datasets.samples import Sample, TrainingSet

_FREE_SHARE = 0.5  # of the memory that is free at the start, for all processes of the machine together


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


class CachedSet:
    """A training set whose samples stay in memory while the budget lasts; the others are read whenever asked for."""

    def __init__(self, source: TrainingSet, budget: Budget) -> None:
        self._source, self._budget = source, budget
        self._kept: dict[int, Sample] = {}

    def __len__(self) -> int:
        return len(self._source)

    def name(self, index: int) -> str:
        """See ``TrainingSet``."""
        return self._source.name(index)

    def load(self, index: int) -> Sample:
        """See ``TrainingSet``. Arrays of a sample that is kept cannot be written to."""
        if (kept := self._kept.get(index)) is not None:
            return kept
        sample = self._source.load(index)
        arrays = [value for value in vars(sample).values() if isinstance(value, np.ndarray)]
        if self._budget.take(sum(array.nbytes for array in arrays)):
            for array in arrays:
                array.flags.writeable = False
            self._kept[index] = sample
        return sample


def cached(sets: Sequence[TrainingSet], cache: str, process_count: int) -> list[TrainingSet]:
    """The sets, their samples kept as ``data.cache`` says: auto (half of the free memory), ram (all) or off."""
    if cache == "off":
        return list(sets)
    free = _FREE_SHARE * psutil.virtual_memory().available / process_count
    budget = Budget(float("inf") if cache == "ram" else free)
    return [CachedSet(source, budget) for source in sets]
