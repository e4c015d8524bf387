"""Which samples a step has: a pure function of seed and step, for any number of processes and after a resume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

# Data sets are drawn in blocks of this many steps, so that a late step is reached without drawing one by one.
_BLOCK_STEPS = 4096
# Purposes of random streams; streams of different purposes never share their seeds.
_FOR_SETS, _FOR_PERMUTATION, _FOR_SAMPLE = range(3)


@dataclass(frozen=True)
class SampleIndex:
    """One sample of a step: a place in the endless sequence of a data set."""

    dataset: int  # number of the data set in the mixture
    position: int  # in its sequence, which holds every sample once per epoch
    seed: int  # of everything random about this sample, in [0, 2^63)


class MixtureSampler:
    """Endless sequence of steps over data sets of given lengths. The samples of a step are all of one set."""

    def __init__(
        self, seed: int, lengths: Sequence[int], probabilities: Sequence[float], samples_per_step: int
    ) -> None:
        """``probabilities`` of the sets need not sum to 1, but must not be negative, nor all zero."""
        self.seed = seed
        self.lengths = tuple(lengths)
        self.samples_per_step = samples_per_step
        self._upper = np.cumsum(probabilities) / np.sum(probabilities)

    def step(self, step: int) -> list[SampleIndex]:
        """The samples of optimiser step ``step`` (from 0), over all processes and micro-batches."""
        block, inside = divmod(step, _BLOCK_STEPS)
        sets = self._sets(block)
        dataset = int(sets[inside])
        earlier = sum(int((self._sets(b) == dataset).sum()) for b in range(block)) + int(
            (sets[:inside] == dataset).sum()
        )
        first = earlier * self.samples_per_step
        return [self._index(dataset, position) for position in range(first, first + self.samples_per_step)]

    def sample_number(self, dataset: int, position: int) -> int:
        """Number of the sample at a position in the sequence of a data set: each epoch is a new permutation."""
        epoch, place = divmod(position, self.lengths[dataset])
        return int(_permutation(self.seed, dataset, epoch, self.lengths[dataset])[place])

    def _sets(self, block: int) -> NDArray[np.int64]:
        return _sets_of_block(self.seed, block, tuple(self._upper))

    def _index(self, dataset: int, position: int) -> SampleIndex:
        entropy = np.random.SeedSequence([_FOR_SAMPLE, self.seed, dataset, position])
        return SampleIndex(dataset, position, int(entropy.generate_state(1, np.uint64)[0] >> np.uint64(1)))


@lru_cache(maxsize=1024)
def _sets_of_block(seed: int, block: int, upper: tuple[float, ...]) -> NDArray[np.int64]:
    """(_BLOCK_STEPS,) the data set of each step of a block; ``upper`` are the cumulated probabilities."""
    chance = np.random.default_rng([_FOR_SETS, seed, block]).random(_BLOCK_STEPS)
    return np.searchsorted(np.array(upper), chance, side="right")


@lru_cache(maxsize=16)
def _permutation(seed: int, dataset: int, epoch: int, length: int) -> NDArray[np.int64]:
    """(length,) numbers of the samples of a data set in the order of one epoch."""
    return np.random.default_rng([_FOR_PERMUTATION, seed, dataset, epoch]).permutation(length)
