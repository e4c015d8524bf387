"""How well a depth map shows where things end (Bochkovskii et al., "Depth Pro", arXiv 2410.02073, section 3.3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.types import BoolArray, FloatArray

_RATIOS = np.linspace(1.05, 1.25, 10)  # of neighbouring depths; larger ones weigh more, as in the paper


def boundary_f1(pred: FloatArray, gt: FloatArray, valid: BoolArray) -> float:
    """F-score in [0, 1] of the occluding boundaries of positive depth ``pred`` against ``gt``, both (H, W).

    A pair of neighbours is a boundary where the depth of one exceeds that of the other by a ratio; pairs that are in
    both maps, in the same direction, count. Mean over ten ratios from 1.05 to 1.25, weighted by them. Pairs with a
    pixel that is not ``valid`` are left out. Depth up to a factor is enough: ratios do not change with it. NaN where
    ``gt`` has no boundary. Raises InputError for shapes that differ, and depth that is not positive where it is valid.
    """
    if not pred.shape == gt.shape == valid.shape:
        raise InputError(f"depth {pred.shape}, truth {gt.shape} and mask {valid.shape}: needed are equal shapes (H, W)")
    if not ((pred[valid] > 0).all() and (gt[valid] > 0).all()):
        raise InputError("boundaries need depth that is positive wherever it is valid")
    predicted, true = _steps(pred, valid), _steps(gt, valid)
    scores = [_f1(predicted, true, limit) for limit in np.log(_RATIOS)]
    found = ~np.isnan(scores)
    return float(np.average(np.array(scores)[found], weights=_RATIOS[found])) if found.any() else float("nan")


def _steps(depth: FloatArray, valid: BoolArray) -> NDArray[np.float64]:
    """(N,) log ratios of the depths of all valid neighbours, to the right and below."""
    log = np.log(np.where(valid, depth, 1).astype(np.float64))
    pairs = [valid[:, 1:] & valid[:, :-1], valid[1:] & valid[:-1]]
    return np.concatenate([np.diff(log, axis=axis)[both] for axis, both in zip((1, 0), pairs, strict=True)])


def _f1(predicted: NDArray[np.float64], true: NDArray[np.float64], limit: float) -> float:
    """Of the steps (N,) up or down by more than ``limit``; NaN where the truth has none."""
    both = ((predicted > limit) & (true > limit)) | ((predicted < -limit) & (true < -limit))
    found, there = np.count_nonzero(np.abs(predicted) > limit), np.count_nonzero(np.abs(true) > limit)
    return 2 * np.count_nonzero(both) / (found + there) if there else float("nan")
