"""Which samples are trained on when: a pure function of seed and step, whoever reads them and wherever one starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

# Sets are drawn for so many steps at once, so that a late step is reached without drawing one by one.
_BLOCK_STEPS = 4096
# What a random stream is for; streams of different purposes never share their seeds.
_FOR_SETS, _FOR_PERMUTATION, _FOR_SAMPLE = range(3)


@dataclass(frozen=True)
class Draw:
    """One sample of a step: a place in the endless sequence of a data set."""

    which: int  # the data set
    position: int  # in its sequence, which holds every sample once per epoch
    seed: int  # of everything random about this sample, in [0, 2^63)


class Order:
    """Endless sequence of steps over data sets of given lengths. The samples of a step are all of one set."""

    def __init__(
        self, seed: int, lengths: Sequence[int], probabilities: Sequence[float], samples_per_step: int
    ) -> None:
        """``probabilities`` of the sets need not sum to 1, but must not be negative, nor all zero."""
        self.seed = seed
        self.lengths = tuple(lengths)
        self.samples_per_step = samples_per_step
        self._upper = np.cumsum(probabilities) / np.sum(probabilities)

    def step(self, step: int) -> list[Draw]:
        """The samples of optimiser step ``step`` (from 0), over all processes and micro-batches."""
        block, inside = divmod(step, _BLOCK_STEPS)
        sets = self._sets(block)
        which = int(sets[inside])
        earlier = sum(int((self._sets(b) == which).sum()) for b in range(block)) + int((sets[:inside] == which).sum())
        first = earlier * self.samples_per_step
        return [self._draw(which, position) for position in range(first, first + self.samples_per_step)]

    def index(self, which: int, position: int) -> int:
        """The sample at a place in the sequence of a data set: a new permutation each epoch."""
        epoch, place = divmod(position, self.lengths[which])
        return int(_permutation(self.seed, which, epoch, self.lengths[which])[place])

    def _sets(self, block: int) -> NDArray[np.int64]:
        return _sets_of_block(self.seed, block, tuple(self._upper))

    def _draw(self, which: int, position: int) -> Draw:
        entropy = np.random.SeedSequence([_FOR_SAMPLE, self.seed, which, position])
        return Draw(which, position, int(entropy.generate_state(1, np.uint64)[0] >> np.uint64(1)))


@lru_cache(maxsize=1024)
def _sets_of_block(seed: int, block: int, upper: tuple[float, ...]) -> NDArray[np.int64]:
    """(_BLOCK_STEPS,) the data set of each step of a block; ``upper`` are the cumulated probabilities."""
    chance = np.random.default_rng([_FOR_SETS, seed, block]).random(_BLOCK_STEPS)
    return np.searchsorted(np.array(upper), chance, side="right")


@lru_cache(maxsize=16)
def _permutation(seed: int, which: int, epoch: int, length: int) -> NDArray[np.int64]:
    """(length,) the order of the samples of a data set in one epoch."""
    return np.random.default_rng([_FOR_PERMUTATION, seed, which, epoch]).permutation(length)
