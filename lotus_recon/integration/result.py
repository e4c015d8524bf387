"""What integration returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lotus_recon.types import BoolArray


@dataclass(frozen=True, eq=False)
class IntegrationResult:
    """A surface over the pixels of a mask.

    ``depth`` (H, W) float32 is NaN outside the mask and finite inside: z-depth where K was given, else depth in pixels.
    Without a prior, each component (4-connected part of the mask) has a scale (without K: an offset) of its own, with
    median 1 (0); one that the prior leaves loose beside others has the median of the prior.

    ``continuity`` (H, W, 2) is the edge weight, 0 to 1, of the step to the right and to the lower neighbour: 1 where
    the surface is continuous, 0 at a depth discontinuity, NaN where there is no such neighbour in the mask.

    ``residual`` (H, W) is the rms, over the steps of a pixel, of their errors by edge weight, in radians.
    """

    depth: NDArray[np.float32]
    continuity: NDArray[np.float32]
    residual: NDArray[np.float32]
    component: NDArray[np.int32]  # (H, W) from 0, -1 outside the mask
    tied: BoolArray  # (components,) whether the prior or an anchor fixes its scale
    rounds: int
    solver_iterations: tuple[int, ...]  # in each round
    converged: bool

    @property
    def discontinuity(self) -> NDArray[np.float32]:
        """(H, W) 1 at a depth discontinuity to a neighbour, 0 where the surface is continuous, NaN outside the mask."""
        shape = self.depth.shape
        gaps = np.zeros((*shape, 4), np.float32)
        gap = np.where(np.isnan(self.continuity), 0, 1 - self.continuity)
        gaps[..., 0], gaps[..., 1] = gap[..., 0], gap[..., 1]
        gaps[:, 1:, 2], gaps[1:, :, 3] = gap[:, :-1, 0], gap[:-1, :, 1]
        return np.where(self.component >= 0, gaps.max(-1), np.nan).astype(np.float32)
