"""Pieces of surface, as joined by the steps that are whole."""

from __future__ import annotations

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from lotus_recon.types import FloatArray

_WHOLE = 0.5  # continuity above which a step joins two pixels to one piece


def piece_shifts(
    unknown: NDArray[np.float64],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    continuity: FloatArray,
    prior: NDArray[np.float64],
    prior_weight: NDArray[np.float64],
    anchor_weight: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(P,) what brings each piece to where the prior has it; ``continuity`` (E,) of the edges from first to second.

    Steps over discontinuities keep a little weight, and there are many around a piece whose prior weighs still less:
    without this they would drag it along. An anchor weighs more than they do: pieces that have one stay.
    """
    if not prior_weight.any():
        return np.zeros_like(unknown)
    whole = continuity > _WHOLE
    joined = scipy.sparse.coo_array((np.ones(whole.sum()), (first[whole], second[whole])), shape=(len(unknown),) * 2)
    _, piece = scipy.sparse.csgraph.connected_components(joined, directed=False)
    weight, anchored = np.bincount(piece, prior_weight), np.bincount(piece, anchor_weight) > 0
    missing = np.bincount(piece, prior_weight * (prior - unknown)) / np.where(weight > 0, weight, 1)
    return np.where(anchored, 0, missing)[piece]
