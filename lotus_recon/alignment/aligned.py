"""One view on its way to the scale of the scene: its prediction, its points, its fit and its corrections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lotus_recon.alignment.anchors import Anchors
from lotus_recon.alignment.fit import DepthFit
from lotus_recon.alignment.local import Barriers, LocalField, Smoothing, corrected
from lotus_recon.alignment.sampling import sample_without_jumps
from lotus_recon.geometry.consistency import SampledDepth, grid_samples, most_covisible, overlap_shares
from lotus_recon.types import BoolArray, DepthMap, View

_COARSE_SAMPLES = 100  # pixels per view that decide which views overlap
_MIN_SHARE = 0.1  # of a view that a neighbour must see


@dataclass(frozen=True, eq=False)
class Layer:
    """A correction of log depth by a field of points."""

    field: LocalField
    smoothing: Smoothing


@dataclass(frozen=True, eq=False)
class AlignedView:
    """A view with a fit. Corrections add up in log depth."""

    view: View
    prediction: DepthMap
    jump: float  # difference of predicted values that counts as an edge
    anchors: Anchors  # the sparse points it may use
    fit: DepthFit
    layers: tuple[Layer, ...] = ()

    def log_depth_at(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N,) log of the aligned depth at positions (N, 2); NaN where there is none."""
        value = sample_without_jumps(self.prediction.values, self.prediction.valid, xy, self.jump)
        with np.errstate(invalid="ignore"):
            log_depth = np.log(self.fit.depth(value))
        for layer in self.layers:
            log_depth = log_depth + layer.field.near(xy).correction(layer.smoothing)
        return log_depth

    def fitted_depth(self) -> tuple[NDArray[np.float64], BoolArray]:
        """(H, W) depth by scale and shift alone, and where it is valid."""
        depth = self.fit.depth(self.prediction.values)
        valid = self.prediction.valid & np.isfinite(depth)
        return np.where(valid, depth, 1.0), valid

    def depth(self) -> tuple[NDArray[np.float64], BoolArray]:
        """(H, W) depth with all corrections, and where it is valid."""
        depth, valid = self.fitted_depth()
        for layer in self.layers:
            depth = corrected(depth, valid, layer.field, layer.smoothing)
        return depth, valid

    def barriers(self) -> Barriers:
        """The depth edges of the fitted map."""
        return Barriers.of(*self.fitted_depth(), self.view.camera)

    def coarse_samples(self) -> SampledDepth:
        """A few pixels and their depth."""
        row, col = grid_samples(self.prediction.valid, _COARSE_SAMPLES)
        xy = np.stack([col + 0.5, row + 0.5], axis=1)
        depth = self.fit.depth(self.prediction.values[row, col])
        positive = np.isfinite(depth)
        return SampledDepth(xy[positive], depth[positive])


def neighbours_of(views: Sequence[AlignedView], count: int) -> list[NDArray[np.int64]]:
    """Per view the indices of the views that see most of it."""
    shares = overlap_shares([v.view for v in views], [v.coarse_samples() for v in views])
    return most_covisible(shares, count, _MIN_SHARE)
