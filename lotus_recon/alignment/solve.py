"""All steps from predictions to aligned views, given the sparse points that may be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lotus_recon.alignment.aligned import AlignedView, neighbours_of
from lotus_recon.alignment.anchors import SceneAnchors
from lotus_recon.alignment.config import AlignmentConfig
from lotus_recon.alignment.correct import correct_locally
from lotus_recon.alignment.joint import refine_jointly
from lotus_recon.alignment.local import Smoothing
from lotus_recon.alignment.start import Start, starts_from_points, with_overlap
from lotus_recon.types import BoolArray, DepthMap, Scene


@dataclass(frozen=True, eq=False)
class Solution:
    """Views by their index in the scene; those without a fit are in ``starts`` only."""

    starts: Mapping[int, Start]
    fitted: Mapping[int, AlignedView]  # scale and shift
    corrected: Mapping[int, AlignedView]  # and the local corrections
    smoothing: Smoothing | None


def solve(
    scene: Scene,
    predictions: Mapping[int, DepthMap],
    observed: SceneAnchors,
    usable: BoolArray,
    config: AlignmentConfig,
    seed: int,
) -> Solution:
    """Align the predicted views with the sparse points (P,) that are ``usable``, and with each other."""
    starts = starts_from_points(scene, predictions, observed, usable, config, seed)
    if config.advanced.joint:
        starts = with_overlap(starts, config, seed)
    fixed = [s for s in starts if s.outcome.fit is not None]
    by_index = {s.index: s for s in starts}
    if not fixed:
        return Solution(by_index, {}, {}, None)
    views = [s.view for s in fixed]
    neighbours = neighbours_of(views, config.advanced.overlap_neighbours)
    if config.advanced.joint:
        views = refine_jointly(views, neighbours, config)
    corrected, smoothing = correct_locally(views, neighbours, scene, usable, config)
    indices = [s.index for s in fixed]
    fitted = dict(zip(indices, views, strict=True))
    return Solution(by_index, fitted, dict(zip(indices, corrected, strict=True)), smoothing)
