"""The first fit of every view: to its own sparse points or, where these do not suffice, to views that have a fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lotus_recon.alignment.config import AlignmentConfig
from lotus_recon.alignment.control_points import ControlPoints, Observations
from lotus_recon.alignment.fit import DepthFit, FitOutcome, Limits, fit_view, relative_error
from lotus_recon.alignment.overlap import Reprojected
from lotus_recon.alignment.sampling import sample_without_jumps
from lotus_recon.alignment.views import AlignedView, PredictedView
from lotus_recon.alignment.work import WorkingMaps
from lotus_recon.types import BoolArray

_REPROJECTED_SIGMA = 0.02  # relative error of a depth from another view, before the views are refined together
_MIN_REPROJECTED = 50  # pixels of other views that a fit needs
_MIN_AGREEING = 0.5  # share of them that must agree with it; the rest may be hidden from the view
_MAX_SOURCES = 64  # views, those with the most pixels in sight: more cost time and add nothing


@dataclass(frozen=True, eq=False)
class Start:
    """A view and what its sparse points gave: ``outcome.fit`` is None where they gave nothing."""

    aligned: AlignedView  # holds a placeholder fit where there is none
    limits: Limits
    outcome: FitOutcome
    source: str = "points"  # or "overlap"

    @property
    def index(self) -> int:
        """Of the view in Scene.views."""
        return self.aligned.predicted.index

    @property
    def is_complete(self) -> bool:
        """Whether scale and shift are known."""
        return self.outcome.fit is not None and not self.outcome.scale_only


def starts_from_points(
    views: Sequence[PredictedView], observed: Observations, usable: BoolArray, config: AlignmentConfig, seed: int
) -> list[Start]:
    """One start per view, from the points (P,) marked ``usable``."""
    nearest, farthest = observed.depth_range(usable, config.advanced.max_depth_factor)
    starts = []
    for view in views:
        points = view.points.where(usable[view.points.point])
        limits = Limits(view.low, view.high, nearest, farthest)
        outcome = fit_view(view.kind, points, limits, config, np.random.default_rng([seed, view.index]))
        aligned = AlignedView(view, points, outcome.fit or DepthFit(view.kind, 1.0, 0.0))
        starts.append(Start(aligned, limits, outcome))
    return starts


def with_overlap(starts: Sequence[Start], maps: WorkingMaps, config: AlignmentConfig, seed: int) -> list[Start]:
    """The starts, those without scale and shift fitted to the maps of views that have them, one after the other.

    Works outwards: a view fitted this way serves the next round. A view is tried again only when a new one is in its
    sight, so that the work grows with the pairs of views that overlap.
    """
    current = list(starts)
    sources: dict[int, dict[int, int]] = {k: {} for k, start in enumerate(current) if not start.is_complete}
    new = [k for k, start in enumerate(current) if start.is_complete]
    while new:
        candidates = [k for k in sources if _add_sources(sources[k], current, k, new)]
        fits = {k: _fit_to_overlap(current, k, sorted(sources[k]), maps, config, seed) for k in candidates}
        new = []
        for k, start in fits.items():
            if start is not None:
                current[k] = start
                del sources[k]
                new.append(k)
    return current


def _add_sources(known: dict[int, int], starts: Sequence[Start], target: int, new: Sequence[int]) -> bool:
    """Add the ``new`` views that have pixels in sight of the target, with their number; whether there are any."""
    view = starts[target].aligned.view
    added = {}
    for k in new:
        seen = _reprojected(starts[k], starts[target])
        inside = ((seen.xy >= 0) & (seen.xy < view.camera.size)).all(axis=1)
        if inside.any():
            added[k] = int(inside.sum())
    known |= added
    for k in sorted(known, key=lambda k: (-known[k], k))[_MAX_SOURCES:]:
        del known[k]
    return not known.keys().isdisjoint(added)


def _fit_to_overlap(
    starts: Sequence[Start], index: int, sources: Sequence[int], maps: WorkingMaps, config: AlignmentConfig, seed: int
) -> Start | None:
    start = starts[index]
    others = _points_from([starts[k] for k in sources], start, maps)
    if len(others) < _MIN_REPROJECTED:
        return None
    rng = np.random.default_rng([seed, start.index, 1])
    outcome = fit_view(start.aligned.predicted.kind, others, start.limits, config, rng)
    if outcome.fit is None or outcome.scale_only or outcome.inliers < _MIN_AGREEING * len(others):
        return None
    own = start.aligned.points
    inliers = (relative_error(outcome.fit, own) < config.inlier_threshold).sum()
    if len(own) >= config.advanced.min_points and inliers < config.advanced.min_inlier_ratio * len(own):
        return None  # neighbours do not overrule the sparse points
    return replace(start, aligned=replace(start.aligned, fit=outcome.fit), outcome=outcome, source="overlap")


def _points_from(sources: Sequence[Start], target: Start, maps: WorkingMaps) -> ControlPoints:
    """Samples of other views, reprojected into this one, as points of known depth."""
    seen = Reprojected.joined([_reprojected(source, target) for source in sources])
    prediction = maps.prediction(target.aligned.view)
    value = sample_without_jumps(prediction.values, prediction.valid, seen.xy, target.aligned.predicted.jump)
    depth = np.exp(seen.log_depth)
    count = len(depth)
    every = ControlPoints(np.full(count, -1), seen.xy, depth, np.full(count, _REPROJECTED_SIGMA), value)
    return every.where(np.isfinite(depth) & np.isfinite(value))


def _reprojected(source: Start, target: Start) -> Reprojected:
    samples = source.aligned.predicted.sparse
    log_depth = source.aligned.fit.log_depth(samples.value)
    return Reprojected.of(source.aligned.view, samples, log_depth, target.aligned.view)
