"""Whether the matches of photos are those of a camera that turns on the spot, whatever its focal length.

Without translation a ray of one photo is a rotated ray of the other, x2 ~ K R K^-1 x1 (Hartley & Zisserman, Multiple
View Geometry, 2nd ed., section 8.4). What the best rotations leave, with one focal length and one radial term for all
pairs, is parallax or noise. A reconstruction of such photos has depth that comes from noise alone, and looks clean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, minimize

from lotus_recon.types import FloatArray

# Longer edges: angles of view from 110 to 14 degrees. At its ends the focal length is not that of a turning camera: a
# translation along a wall is a rotation with an endless one.
_FOCAL_LIMITS = (0.35, 4.0)
_FOCALS = 12  # tried before the search
_MOST_PAIRS = 60
_OF_PAIRS = 80  # percentile: a few pairs may have wrong matches


@dataclass(frozen=True)
class RotationFit:
    """The focal length at which rotations explain the pairs best, and what they leave, both in longer edges.

    ``residual`` is that of the pair at the 80th percentile, whose own is the median over its matches.
    """

    focal: float
    residual: float

    @property
    def is_possible(self) -> bool:
        """Whether a camera can have the focal length."""
        low, high = _FOCAL_LIMITS
        return 1.05 * low < self.focal < high / 1.05


def fit_rotations(pairs: Sequence[tuple[FloatArray, FloatArray]]) -> RotationFit | None:
    """The fit to pairs of (N, 2) positions of matches, from the image centre in longer edges; None without any."""
    chosen = [pairs[i] for i in np.unique(np.linspace(0, len(pairs) - 1, _MOST_PAIRS).astype(int))] if pairs else []
    usable = [(a, b) for a, b in chosen if len(a) >= 3]
    if not usable:
        return None

    def cost(parameters: NDArray[np.float64]) -> float:
        return float(_residuals(usable, *parameters).mean())

    low, high = np.log(_FOCAL_LIMITS).tolist()
    start = min(np.linspace(low, high, _FOCALS).tolist(), key=lambda log_focal: cost(np.array([log_focal, 0.0])))
    simplex = np.array([[start, 0.0], [start + 0.1, 0.0], [start, 0.05]])
    limits = Bounds([low, -1.0], [high, 1.0])
    options: Any = {"initial_simplex": simplex, "xatol": 1e-3, "fatol": 1e-6}
    best = minimize(cost, np.array([start, 0.0]), method="Nelder-Mead", bounds=limits, options=options).x
    return RotationFit(float(np.exp(best[0])), float(np.percentile(_residuals(usable, *best), _OF_PAIRS)))


def _residuals(pairs: Sequence[tuple[FloatArray, FloatArray]], log_focal: float, radial: float) -> NDArray[np.float64]:
    """(P,) the median distance of each pair between matches after the best rotation (Kabsch), in longer edges."""
    focal = np.exp(log_focal)
    residuals = []
    for first, second in pairs:
        a, b = _rays(first, focal, radial), _rays(second, focal, radial)
        U, _, Vt = np.linalg.svd(b.T @ a)
        turned = a @ (U @ np.diag([1, 1, np.linalg.det(U @ Vt)]) @ Vt).T
        residuals.append(focal * np.median(np.linalg.norm(turned - b, axis=1)))
    return np.array(residuals)


def _rays(xy: FloatArray, focal: float, radial: float) -> NDArray[np.float64]:
    """(N, 3) unit rays of positions (N, 2) whose distortion one radial term takes away."""
    flat = np.asarray(xy, np.float64) * (1 + radial * (xy**2).sum(1, keepdims=True)) / focal
    rays = np.column_stack([flat, np.ones(len(flat))])
    return np.asarray(rays / np.linalg.norm(rays, axis=1, keepdims=True), np.float64)
