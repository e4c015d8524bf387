"""Selects the normal integration scale: up to which length normals are worth more than the depth that they guide."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from lotus_recon.geometry.consistency import DepthTensors, coarse_samples, covisible, disagreement
from lotus_recon.geometry.points import point_errors
from lotus_recon.normal_integration.config import NormalIntegrationConfig
from lotus_recon.normal_integration.guided import DEFAULT_SCALE, GuidedViews
from lotus_recon.progress import track
from lotus_recon.types import BoolArray, DepthMap, Scene

log = logging.getLogger(__name__)

# Shares of the longer side that are tried: half a decade apart, from the whole map to three of a thousand pixels.
_SCALES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003)
_TRIAL_PAIRS = 2  # of views
_TRIAL_PX = 300  # longer side of the maps that are tried, at least; larger ones are subsampled to it
_COMPARED_PIXELS = 30_000  # of each view
_HELD_OUT = 5  # one of so many points measures the error


def select_scale(
    guided: GuidedViews,
    scored_points: BoolArray,
    config: NormalIntegrationConfig,
    by_points: bool,
    device: torch.device,
) -> float:
    """The scale with the least error at held-out points or, not ``by_points``, the best agreement of two views.

    It is tried on a few views at low resolution. ``scored_points`` (P,) play no part: the report needs them.
    """
    longer_side = min((max(view.camera.size) for view in guided.scene.views), default=1)
    small = guided.subsampled(max(1, longer_side // _TRIAL_PX))
    trial = _Trial(small, _pairs(small), scored_points, by_points, device)
    before = trial.error({i: small.depth(i) for i in trial.views})
    if before is None:
        log.warning("no overlapping views or held-out points: using --integration-scale %g", DEFAULT_SCALE)
        return DEFAULT_SCALE
    errors: dict[float, float] = {}
    for scale in track(_SCALES, "selecting normal integration scale", len(_SCALES)):
        after = trial.error(trial.integrated(replace(config, integration_scale=scale)))
        errors[scale] = np.inf if after is None else after
    best = min(errors, key=lambda scale: errors[scale])
    if errors[best] > before:
        log.warning("normals increase the held-out error of the depth: consider --fusion tsdf")
    return best


def _pairs(small: GuidedViews) -> list[tuple[int, int]]:
    """A few pairs of overlapping views, by their index in the scene."""
    indices = small.with_depth()
    samples = [coarse_samples(depth.values, depth.valid) for depth in map(small.depth, indices)]
    neighbours = covisible([small.scene.views[i] for i in indices], samples, 1)
    pairs = [(i, indices[j[0]]) for i, j in zip(indices, neighbours, strict=True) if len(j)]
    return pairs[:: -(-len(pairs) // _TRIAL_PAIRS)] if pairs else []


class _Trial:
    """Integrates a few views and measures how far the result is off."""

    def __init__(
        self,
        small: GuidedViews,
        pairs: Sequence[tuple[int, int]],
        scored_points: BoolArray,
        by_points: bool,
        device: torch.device,
    ) -> None:
        self.views = sorted({i for pair in pairs for i in pair})
        self._loaded = {i: small.load(i) for i in self.views}
        self._scene: Scene = small.scene
        self._pairs, self._by_points, self._device = pairs, by_points, device
        self._held_out = ~scored_points & (np.arange(len(scored_points)) % _HELD_OUT == 0)
        self._guides = ~scored_points & ~self._held_out if by_points else ~scored_points

    def integrated(self, config: NormalIntegrationConfig) -> dict[int, DepthMap]:
        """The depth of the views tried, with their normals where there are some."""
        return {
            i: view.combined(view.integrated(self._scene, self._guides, config, self._device))
            if view.can_be_integrated
            else view.depth
            for i, view in self._loaded.items()
        }

    def error(self, maps: Mapping[int, DepthMap]) -> float | None:
        """Median error at held-out points or median disagreement of the pairs, relative; None without any."""
        tensors = {i: self._tensors(i, depth) for i, depth in maps.items()}
        if not self._by_points:
            return disagreement(((tensors[i], tensors[j]) for i, j in self._pairs), _COMPARED_PIXELS)
        errors = [point_errors(self._scene, i, tensors[i].known_depth, self._held_out)[1] for i in self.views]
        return float(np.median(np.concatenate(errors))) if sum(map(len, errors)) else None

    def _tensors(self, index: int, depth: DepthMap) -> DepthTensors:
        return DepthTensors.of(self._scene.views[index], depth.values, depth.valid, self._device)
