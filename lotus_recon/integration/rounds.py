"""The rounds of reweighting, the same for the graph in numpy and the grid in torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from lotus_recon.integration.config import IntegrationConfig

Array = TypeVar("Array", bound=Any)

UNKNOWN = 1e-3  # weight of a step to a pixel without a normal: smooth, where nothing else decides
OUTLIER = 3.0  # standard deviations from its surroundings at which a pixel of the prior counts a quarter
SMALLEST_SPREAD = 1e-4  # of the prior around its medians
RUNAWAY = 1.5  # standard deviations from the prior beyond which its weight grows
STRONGEST = 1e3  # factor by which it grows at most
FACE = 5  # side in pixels of the median that removes what is too small for a face from the prior
_KEPT = 0.3  # share of the side weights of the round before
# Rounds of reweighting after which the share of new side weights falls. On DiLiGenT with normals off by 0.1, 10 has up
# to 5 % more error than rounds without end, 15 has none; 20 leaves too few rounds for the rest to settle.
_FREE_ROUNDS = 15


@dataclass(frozen=True, eq=False)
class Update(Generic[Array]):
    """The correction of the unknown, and how the solver fared."""

    values: Array  # as the unknown
    iterations: int
    converged: bool


@dataclass(frozen=True, eq=False)
class Solution(Generic[Array]):
    """The surface and the weights of the sides of its pixels, and how the rounds went."""

    unknown: Array
    sides: Array
    iterations: tuple[int, ...]  # of the solver, in each round
    converged: bool

    @property
    def rounds(self) -> int:
        """How many there were."""
        return len(self.iterations)


class Rounds(ABC, Generic[Array]):
    """One problem, solved and reweighted until its surface stays. The unknown is log depth with K, depth without."""

    config: IntegrationConfig
    prior_weight: Array  # as the unknown

    def run(self, start: Array | None = None) -> Solution[Array]:
        """The surface, from ``start`` (as the unknown), or from a flat one and equal weights."""
        flat = self._flat()
        unknown = flat if start is None else start
        sides = self._equal_sides() if start is None else self._sides(unknown)
        found = self._reweighted(unknown, sides, flat)
        if not self.prior_weight.any():
            return found
        self.prior_weight = self.prior_weight * self._runaway_factors(found.unknown)
        again = self._reweighted(found.unknown, found.sides, flat)
        return replace(again, iterations=found.iterations + again.iterations)

    def _reweighted(self, unknown: Array, sides: Array, flat: Array) -> Solution[Array]:
        iterations: list[int] = []
        settled, solved = False, True
        while not settled and len(iterations) < self.config.max_rounds:
            update = self._update(unknown, flat, self._weights(sides))
            unknown = unknown + update.values
            iterations.append(update.iterations)
            solved = update.converged
            # Discontinuities that decide each other would alternate for ever; a share of the old weights damps them.
            # A piece that hangs on next to nothing would still shift by a percent of the relief in every round, since
            # many weights fit it alike: what changes after the free rounds is damped ever more, so that it stays.
            new: Any = (1 - _KEPT) * min(1.0, (_FREE_ROUNDS / len(iterations)) ** 3)
            sides = (1 - new) * sides + new * self._sides(unknown)
            settled = self._settled(unknown, update.values)
        return Solution(unknown, sides, tuple(iterations), settled and solved)

    @abstractmethod
    def _flat(self) -> Array:
        """The surface without relief that all starts from."""

    @abstractmethod
    def _equal_sides(self) -> Array:
        """One half for every side of every pixel."""

    @abstractmethod
    def _sides(self, unknown: Array) -> Array:
        """Weights, 0 to 1, of the sides ahead and behind, for x and y: more for the less steep one."""

    @abstractmethod
    def _weights(self, sides: Array) -> Array:
        """Weights of the steps, from the side weights of their two pixels, in the unit of the normals."""

    @abstractmethod
    def _update(self, unknown: Array, flat: Array, weights: Array) -> Update[Array]:
        """What brings the unknown to the least sum of squares; ``flat`` says how exactly."""

    @abstractmethod
    def _settled(self, unknown: Array, change: Array) -> bool:
        """Whether the last ``change`` of the unknown was small beside its relief."""

    @abstractmethod
    def _runaway_factors(self, unknown: Array) -> Array:
        """1 where the surface is about as far from the prior as everywhere, much more where it has run away.

        A prior is off by a few times its usual error nowhere; a piece of surface that hangs on a wrong step is.
        """
