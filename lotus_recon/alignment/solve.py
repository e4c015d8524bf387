"""All steps from predictions to aligned views, given the sparse points that may be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lotus_recon.alignment.config import AlignmentConfig
from lotus_recon.alignment.control_points import Observations
from lotus_recon.alignment.correct import correct_locally
from lotus_recon.alignment.joint import refine_jointly
from lotus_recon.alignment.local import Smoothing
from lotus_recon.alignment.start import Start, starts_from_points, with_overlap
from lotus_recon.alignment.views import AlignedView, PredictedView, neighbours_of
from lotus_recon.alignment.work import WorkingMaps
from lotus_recon.types import BoolArray


@dataclass(frozen=True, eq=False)
class Solution:
    """Views by their index in the scene; those without a fit are in ``starts`` only.

    Their local corrections are in the working maps, where the next solution replaces them.
    """

    starts: Mapping[int, Start]
    fitted: Mapping[int, AlignedView]  # scale and shift
    smoothing: Smoothing | None  # of the local corrections


def solve(
    views: Sequence[PredictedView],
    observed: Observations,
    usable: BoolArray,
    maps: WorkingMaps,
    config: AlignmentConfig,
    seed: int,
) -> Solution:
    """Align the predicted views with the sparse points (P,) that are ``usable``, and with each other."""
    starts = starts_from_points(views, observed, usable, config, seed)
    if config.advanced.joint:
        starts = with_overlap(starts, maps, config, seed)
    by_index = {start.index: start for start in starts}
    fitted = [start.aligned for start in starts if start.outcome.fit is not None]
    if not fitted:
        return Solution(by_index, {}, None)
    neighbours = neighbours_of(fitted, config.advanced.overlap_neighbours)
    if config.advanced.joint:
        fitted = refine_jointly(fitted, neighbours, maps, config)
    smoothing = correct_locally(fitted, neighbours, observed.scene, usable, maps, config)
    return Solution(by_index, {view.predicted.index: view for view in fitted}, smoothing)
