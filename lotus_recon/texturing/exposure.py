"""The exposure and white balance of the photos against each other, as far as they tell.

What two photos share gives their difference. Around a scene such differences add up: where photos share little, where
the mesh is wrong, or where auto-exposure follows from a dark room to a bright window, gains run away, and what is seen
through one exposure would be white here and black there. So gains are held to 1, as strongly as predicts photos best.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lotus_recon.io.srgb import linear_of_srgb, srgb_of_linear
from lotus_recon.texturing.table import SightingTable
from lotus_recon.types import FloatArray

_CLIPPED, _DARK = 245.0, 12.0  # colours beyond which a photo does not tell how bright the surface is
_SAMPLES, _CELLS = 20_000, 2_000_000  # triangles that exposure is estimated from, and those times photos: memory
_FEWEST = 30  # triangles that two photos must share
_INDEPENDENT = 100.0  # most samples of a pair that count: those of one surface share their errors
_LEAST_ERROR = 0.02  # of the logarithm of a pair: vignetting, and tone curves that are none of sRGB
_SPREADS = (1.0, 0.1, 0.03, 0.01, 0.003)  # standard deviations of the prior on logarithms of exposure: those tried
_TINT = 0.3  # spread of white balance, relative to that of exposure
_BETTER = 0.01  # by which gains must lower the error of predicted photos


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Normal equations of the offsets (V, 3) that explain the differences of pairs of V photos."""

    matrix: NDArray[np.float64]  # (V, V)
    right: NDArray[np.float64]  # (V, 3)

    def offsets(self, spread: float) -> NDArray[np.float64]:
        """(V, 3) of the photos, their median 0; ``spread`` is how much exposure is expected to differ."""
        prior = np.eye(len(self.matrix)) / spread**2
        common = self.right.mean(1, keepdims=True)
        exposure = np.linalg.solve(self.matrix + prior, common)
        tint = np.linalg.solve(self.matrix + prior / _TINT**2, self.right - common)
        found: NDArray[np.float64] = exposure + tint
        shared = self.matrix.diagonal() > 0
        if shared.any():
            found[shared] -= np.median(found[shared], axis=0)
        return found


def exposure_gains(table: SightingTable, n_views: int) -> NDArray[np.float64]:
    """(V, 3) factors on linear light that make the photos agree on the triangles that they share; median 1.

    Robust differences of pairs, weighted by their uncertainty, and a prior towards 1: the one with which the others
    predict the colours of each photo best. All are 1 where none does better than the photos as they are. Photos that
    share nothing with others keep what they are.
    """
    color = _shared_colors(table, n_views)
    pairs = _pairs(color)
    best, gains = _prediction_error(color, np.ones((n_views, 3))) - _BETTER, np.ones((n_views, 3))
    for spread in _SPREADS:
        tried = np.exp(-pairs.offsets(spread))
        error = _prediction_error(color, tried)
        if error < best:
            best, gains = error, tried
    return gains


def _shared_colors(table: SightingTable, n_views: int) -> NDArray[np.float32]:
    """(S, V, 3) colours in the V photos of triangles that two see; not a number where one does not see it."""
    whole = table.whole
    chosen = np.flatnonzero(np.bincount(table.face[whole], minlength=len(table.start) - 1) >= 2)
    chosen = chosen[:: max(1, -(-len(chosen) // min(_SAMPLES, _CELLS // n_views)))]
    sample = np.full(len(table.start) - 1, -1)
    sample[chosen] = np.arange(len(chosen))
    kept = whole & (sample[table.face] >= 0)
    color = np.full((len(chosen), n_views, 3), np.nan, np.float32)
    color[sample[table.face[kept]], table.view[kept]] = table.color[kept]
    return color


def _pairs(color: NDArray[np.float32]) -> _Pairs:
    """What pairs of photos say, by colours (S, V, 3) of samples."""
    with np.errstate(invalid="ignore"):
        usable = (color.max(2) < _CLIPPED) & (color.min(2) > _DARK)
    logs = np.where(usable[..., None], np.log(linear_of_srgb(np.maximum(color, 1) / 255)), np.nan)
    n_views = color.shape[1]
    pairs = _Pairs(np.zeros((n_views, n_views)), np.zeros((n_views, 3)))
    for one in range(n_views):
        for other in range(one + 1, n_views):
            both = logs[:, one] - logs[:, other]
            both = both[np.isfinite(both[:, 0])]
            if len(both) < _FEWEST:
                continue
            difference = np.median(both, axis=0)
            spread = 1.48 * float(np.median(np.abs(both - difference)))  # large where the mesh or a pose is wrong
            weight = 1 / (_LEAST_ERROR**2 + spread**2 / min(len(both), _INDEPENDENT))
            pairs.matrix[[one, other], [one, other]] += weight
            pairs.matrix[[one, other], [other, one]] -= weight
            pairs.right[one] += weight * difference
            pairs.right[other] -= weight * difference
    return pairs


def _prediction_error(color: NDArray[np.float32], gains: FloatArray) -> float:
    """Mean logarithm of the squared error of each photo's colours (S, V, 3), predicted from those of the others.

    After the gain per channel that suits the photo best: what is asked is whether the others agree among themselves.
    0 without two photos of anything.
    """
    exposed = 255 * srgb_of_linear(linear_of_srgb(color / 255) * gains)  # as painted: clipped at white
    seen = np.isfinite(color[..., 0])
    count = seen.sum(1)
    total = np.nansum(exposed, axis=1)
    errors = []
    for view in range(color.shape[1]):
        rows = np.flatnonzero(seen[:, view] & (count >= 2))
        if len(rows) < _FEWEST:
            continue
        predicted = (total[rows] - exposed[rows, view]) / (count[rows, None] - 1)
        true = color[rows, view].astype(np.float64)
        predicted = predicted * ((true * predicted).sum(0) / np.maximum((predicted**2).sum(0), 1e-9))
        errors.append(np.log(np.mean((predicted - true) ** 2) + 1.0))  # a grey level is exact enough
    return float(np.mean(errors)) if errors else 0.0
