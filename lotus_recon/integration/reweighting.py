"""The loops of a round of reweighting: errors of steps, weights of the sides of pixels, weights of edges."""

from __future__ import annotations

from typing import Any

import numpy as np

from lotus_recon.compiled import inner, kernel

LEAST = 1e-6  # weight that a step over a depth discontinuity keeps
_STEEPEST = 60.0  # argument at which a sigmoid is 0 or 1 in float64


@kernel
def edge_errors(begin: int, end: int, first: Any, second: Any, step: Any, unknown: Any, out: Any) -> None:
    """Fill ``out`` (E,): what is missing to ``step`` (E,) along every edge."""
    for e in range(begin, end):
        out[e] = step[e] - (unknown[second[e]] - unknown[first[e]])


@inner
def _share_ahead(ahead: float, behind: float, scale: float, sharpness: float) -> float:
    """Weight of the side ahead, from the steps on both sides: 1 where that behind is much the steeper."""
    steeper_behind = sharpness * scale * scale * (behind * behind - ahead * ahead)
    return 1 / (1 + np.exp(-min(max(steeper_behind, -_STEEPEST), _STEEPEST)))


@kernel
def side_weights(
    begin: int, end: int, lists: Any, horizontal: int, scale: Any, sharpness: float, unknown: Any, sides: Any
) -> None:
    """Fill the weights (2, 2, P) of the sides ahead and behind, for x and y. Without a neighbour a step is zero."""
    for p in range(begin, end):
        right, left, below, above = 0.0, 0.0, 0.0, 0.0
        for s in range(lists.start[p], lists.start[p + 1]):
            j = lists.other[s]
            step = unknown[j] - unknown[p]
            if lists.edge[s] < horizontal:
                right, left = (step, left) if j > p else (right, -step)
            else:
                below, above = (step, above) if j > p else (below, -step)
        sides[0, 0, p] = _share_ahead(right, left, scale[0, p], sharpness)
        sides[0, 1, p] = _share_ahead(below, above, scale[1, p], sharpness)
        sides[1, 0, p], sides[1, 1, p] = 1 - sides[0, 0, p], 1 - sides[0, 1, p]


@kernel
def edge_weights(
    begin: int,
    end: int,
    first: Any,
    second: Any,
    horizontal: int,
    step_weight: Any,
    confidence: Any,
    scale: Any,
    sides: Any,
    out: Any,
) -> None:
    """Fill the weights (E,) of the edges from those of the sides of their two pixels."""
    for e in range(begin, end):
        i, j, axis = first[e], second[e], int(e >= horizontal)
        mine = max(sides[0, axis, i], LEAST) * confidence[i] * scale[axis, i] ** 2
        theirs = max(sides[1, axis, j], LEAST) * confidence[j] * scale[axis, j] ** 2
        out[e] = step_weight[e] * (mine + theirs)
