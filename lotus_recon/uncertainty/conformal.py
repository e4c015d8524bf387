"""From a scale that only ranks pixels to error bars that hold: split conformal prediction."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lotus_recon.geometry.points import P90_SIGMAS
from lotus_recon.types import FloatArray

FEWEST_POINTS = 40  # that a scene is calibrated on: of fewer the 90th percentile is anybody's guess
HELD_OUT, ROOMS = "held-out points", "rendered rooms"


@dataclass(frozen=True)
class Calibration:
    """What makes a standard deviation of the learnt scale of relative errors.

    Errors have heavier tails than normal ones. A standard deviation is what makes an interval of 1.645 of them on both
    sides hold nine errors of ten, as with normal errors; one of ``half_sigmas`` holds five.
    """

    factor: float  # on the learnt scale, which is right as it is in rendered rooms
    half_sigmas: float
    errors: int  # that it comes from
    source: str  # HELD_OUT | ROOMS
    # On the learnt scale: for pixels that are less sure than points are, the factor is at least that of rooms, 1.
    reach: float = 0.0

    def sigma_of(self, scale: FloatArray) -> NDArray[np.float32]:
        """Standard deviation (any shape), relative to depth, of the learnt ``scale`` of the same shape."""
        factor = np.where(scale <= self.reach, self.factor, max(self.factor, 1.0))
        return (factor * scale).astype(np.float32)


def calibrated(errors: FloatArray, scale: FloatArray, source: str) -> Calibration:
    """The factor by which ``scale`` (N,) covers ``errors`` (N,), both relative to depth.

    Split conformal prediction (Lei et al., JASA 2018, section 2.2): of the N scores errors / scale the
    ceil((N + 1) share)-th smallest, which covers a new error of the same kind with at least that probability.
    """
    scores = np.sort(np.abs(errors) / scale)
    nine, five = (float(scores[min(math.ceil((len(scores) + 1) * share), len(scores)) - 1]) for share in (0.9, 0.5))
    factor = nine / P90_SIGMAS
    return Calibration(factor, five / factor if factor > 0 else 0.0, len(scores), source)
