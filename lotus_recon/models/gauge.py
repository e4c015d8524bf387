"""Scale and shift between two maps of one thing, as networks that know neither need them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_HUBER = 1.5  # times the median deviation at which a pixel starts to weigh less
_ROUNDS = 5


def robust_line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Scale, not below 0, and shift that take ``x`` (N,) to ``y`` (N,): least squares, reweighted by Huber's function.

    (Huber, "Robust estimation of a location parameter", 1964.)
    """
    weight = np.ones_like(x)
    for _ in range(_ROUNDS):
        mean_x, mean_y = np.average(x, weights=weight), np.average(y, weights=weight)
        spread = np.average((x - mean_x) ** 2, weights=weight)
        scale = max(float(np.average((x - mean_x) * (y - mean_y), weights=weight) / max(spread, 1e-12)), 0.0)
        left = np.abs(y - mean_y - scale * (x - mean_x))
        weight = 1 / np.maximum(left / max(_HUBER * float(np.median(left)), 1e-12), 1)
    return scale, float(mean_y - scale * mean_x)
