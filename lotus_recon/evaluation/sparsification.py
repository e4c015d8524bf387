"""Are error bars any good? Do they rank errors, and do they hold as many of them as they say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lotus_recon.geometry.points import P90_SIGMAS
from lotus_recon.types import FloatArray

_STEPS = 100  # shares of pixels that are taken away


@dataclass(frozen=True)
class Sparsification:
    """Areas between curves of the error that is left while the pixels of the largest uncertainty are taken away.

    Each curve is relative to the error of all pixels (Ilg et al., ECCV 2018, section 5.2; Poggi et al., CVPR 2020,
    section 4.2).
    """

    ause: float  # above the curve of the true order: 0 is perfect
    aurg: float  # below the curve of a random order, which is flat: 0 is worthless
    ause_random: float  # of a random order


def sparsification(errors: FloatArray, uncertainty: FloatArray, squared: bool = False) -> Sparsification:
    """How well ``uncertainty`` (N,) ranks ``errors`` (N,), by their mean, or its root where they are ``squared``."""
    errors = np.asarray(errors, np.float64)
    by_uncertainty = _curve(errors[np.argsort(uncertainty, kind="stable")], squared)
    oracle = _curve(np.sort(errors), squared)
    return Sparsification(
        ause=float((by_uncertainty - oracle).mean()),
        aurg=float((1 - by_uncertainty).mean()),
        ause_random=float((1 - oracle).mean()),
    )


def _curve(ascending: FloatArray, squared: bool) -> NDArray[np.float64]:
    """(100,) mean error of what is left of pixels (N,), surest first, without none, one, two ... hundredths of them."""
    counts = np.maximum(1, np.round(len(ascending) * (1 - np.arange(_STEPS) / _STEPS)).astype(int))
    means = np.cumsum(ascending)[counts - 1] / counts
    left = np.sqrt(means) if squared else means
    whole = left[0]
    return np.asarray(left / whole) if whole > 0 else np.ones(_STEPS)


@dataclass(frozen=True)
class Coverage:
    """Shares of errors that are within intervals, and how wide these are."""

    half: float  # of intervals that shall hold half
    nine_tenths: float
    mean_width: float  # of the latter, from end to end, relative to depth


def coverage(errors: FloatArray, sigma: FloatArray, half_sigmas: float) -> Coverage:
    """Of relative ``errors`` (N,), of either sign, with standard deviations ``sigma`` (N,)."""
    size = np.abs(errors)
    return Coverage(
        half=float((size <= half_sigmas * sigma).mean()),
        nine_tenths=float((size <= P90_SIGMAS * sigma).mean()),
        mean_width=float(2 * P90_SIGMAS * np.mean(sigma)),
    )
