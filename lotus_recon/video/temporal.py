"""One scale and one shift for the depth of each frame of a video, so that the same point keeps its value over time.

The idea of aligning single predictions along optical flow: Luo et al., Consistent Video Depth Estimation, SIGGRAPH
2020, and Kopf et al., Robust Consistent Video Depth Estimation, CVPR 2021. Here nothing is trained and no camera is
known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray
from scipy.sparse.linalg import spsolve

from lotus_recon.types import IntArray

REACH = (1, 2, 4)  # frames are compared with those so far back: errors of single pairs do not add up
SAME_SCENE = 0.2  # share of the points that two frames of one scene have in common, at least
# Infinity, where the network leaves it open, lies below the 2nd percentile of the disparity by so many mean deviations:
# the median over nano's maps of a rendered walk (2.8) and of hololens_a (2.3) after a fit to their true depth.
_INFINITY = 2.5
# What the network itself says of scale and shift, against one pair of frames: over about 20 frames it prevails.
_PRIOR = 0.1
_SLOWLY = 0.03  # weight of a prior that neighbours change alike, where they have little in common
# By so much a pair may be off and count: of the scale, and of the mean deviation. With a median of next to 0 alone all
# pairs of a frame that flickers by more than others would be taken for mistakes.
_DOUBT = 0.01
_MOST_CERTAIN = 0.01  # of 1 - correlation^2: maps do not agree better than that
_ROUNDS = 8  # of reweighting
_TINY = 1e-9


@dataclass(frozen=True, eq=False)
class Affine:
    """What puts the values v of frame t on those of all its scene: scale[t] v + shift[t]. Arrays are (N,)."""

    scale: NDArray[np.float64]
    shift: NDArray[np.float64]
    scene: NDArray[np.int64]  # number of the scene that a frame belongs to, from 0; it grows at each cut


def value_at_infinity(levels: NDArray[np.float64]) -> float:
    """A guess of it for a map up to scale and shift, from its ``levels`` (4,), see ``flow.Glance``."""
    return float(levels[0] - _INFINITY * levels[3])


def compared(samples: NDArray[np.float32], infinity: float | None) -> NDArray[np.float64]:
    """What one pair of frames says: (5,) share of points in common, log of the scale between their values, weight, and
    the mean value in each, of the points on which they agree.

    ``samples`` (S, 5) are those of ``flow.sampled``. ``infinity`` is the value of points at infinity in the first
    frame; None: it is at 0, and only a scale is open. Robust and symmetric: noise does not shrink the scale, as least
    squares would (geometric mean regression).
    """
    found = samples[np.isfinite(samples[:, 0]), :3].astype(np.float64)
    share = len(found) / len(samples)
    if share < SAME_SCENE:
        return np.array([share, 0, 0, 0, 0])
    base = infinity or 0.0
    here, there = base + found[:, 2] * (found[:, 0] - base), found[:, 1]
    centred = infinity is not None
    middle = (float(np.median(here)), float(np.median(there))) if centred else (0.0, 0.0)
    factor = float(np.median(np.abs(there - middle[1])) / (np.median(np.abs(here - middle[0])) + _TINY))
    correlation = 0.0
    for _ in range(_ROUNDS):
        error = there - middle[1] - factor * (here - middle[0])
        w = 1 / (1 + (error / (3 * np.median(np.abs(error)) + _TINY)) ** 2)
        w /= w.sum()
        middle = (float(w @ here), float(w @ there)) if centred else middle
        x, y = here - middle[0], there - middle[1]
        spread_x, spread_y = np.sqrt(w @ x**2) + _TINY, np.sqrt(w @ y**2) + _TINY
        factor, correlation = float(spread_y / spread_x), float(w @ (x * y) / (spread_x * spread_y))
    agreement = max(correlation, 0.0) ** 2
    certain = share * agreement / (1 - min(agreement, 1.0) + _MOST_CERTAIN)
    return np.array([share, np.log(factor), certain, *middle])


def scenes_of(shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Number of the scene of each frame (N,), from the ``shares`` (N, len(REACH)) of points that each has in common
    with those before it.

    A cut is where no two frames on both sides have enough in common: a flash of light is none.
    """
    count = len(shares)
    joined = np.zeros(count + 1, np.int64)  # pairs that span the step to a frame begin and end: +1, -1
    for level, distance in enumerate(REACH):
        later = np.flatnonzero(shares[:, level] >= SAME_SCENE)
        np.add.at(joined, later - distance + 1, 1)
        np.add.at(joined, later + 1, -1)
    is_cut = np.cumsum(joined[:count]) == 0
    is_cut[0] = False
    return np.cumsum(is_cut)


def aligned(pairs: NDArray[np.float64], middle: float, spread: float, with_shift: bool) -> Affine:
    """Scale and shift (N,) of all frames at once, from what ``pairs`` (N, 3, 5) of each with those before it say.

    Two sparse systems of N unknowns: logarithms of scales, which cannot collapse, then shifts. What pairs do not tell
    stays near scale 1 and shift 0 at the value ``middle``, the prediction of the network, which prevails over seconds:
    errors do not add up. ``spread`` is the mean deviation of values. Without ``with_shift`` shifts are 0.
    """
    scene = scenes_of(pairs[..., 0])
    second, level = np.nonzero(pairs[..., 2] > 0)
    first = second - np.array(REACH)[level]
    same = scene[first] == scene[second]
    first, second, told = first[same], second[same], pairs[second, level][same]
    scale = np.exp(_levelled(scene, first, second, -told[:, 1], told[:, 2], _DOUBT))
    if not with_shift:
        return Affine(scale, np.zeros_like(scale), scene)
    steps = scale[first] * (told[:, 3] - middle) - scale[second] * (told[:, 4] - middle)
    shift = _levelled(scene, first, second, steps, told[:, 2], _DOUBT * spread) + (1 - scale) * middle
    return Affine(scale, shift, scene)


def _levelled(
    scene: NDArray[np.int64],
    first: IntArray,
    second: IntArray,
    steps: NDArray[np.float64],
    weights: NDArray[np.float64],
    doubt: float,
) -> NDArray[np.float64]:
    """x (N,) near 0 with x[second] - x[first] near ``steps`` (P,), by iteratively reweighted least squares.

    Steps that are off by much more than ``doubt``, and than most, count little.
    """
    identity = sparse.eye(len(scene), format="csr")
    differences = identity[second] - identity[first]
    before = np.flatnonzero(scene[1:] == scene[:-1])
    slow = identity[before + 1] - identity[before]
    prior = _PRIOR * identity + _SLOWLY * slow.T @ slow
    found, robust = np.zeros(len(scene)), np.ones(len(steps))
    for _ in range(_ROUNDS if len(steps) else 0):
        weighted = differences.T @ sparse.diags(weights * robust)
        found = np.asarray(spsolve((weighted @ differences + prior).tocsc(), weighted @ steps)).reshape(-1)
        error = differences @ found - steps
        robust = 1 / (1 + (error / (4.5 * np.median(np.abs(error)) + doubt)) ** 2)
    return found
