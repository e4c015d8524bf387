"""The first fit of every view: to its own sparse points or, where these do not suffice, to views that have a fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lotus_recon.alignment.aligned import AlignedView
from lotus_recon.alignment.anchors import Anchors, SceneAnchors
from lotus_recon.alignment.config import AlignmentConfig
from lotus_recon.alignment.fit import DepthFit, FitOutcome, Limits, fit_view, judged
from lotus_recon.alignment.overlap import aligned_log_depth, carried_pixels
from lotus_recon.alignment.sampling import sample_without_jumps, value_range
from lotus_recon.types import BoolArray, DepthMap, Scene

# Predicted values that differ by more than this share of their range lie on two sides of an edge.
_JUMP = 0.05
# Nearer than this share of the near points (their 2nd percentile) nothing is expected.
_NEAREST = 0.1
_LENT_SIGMA = 0.02  # relative error of a depth that another view lends, before the views are refined together
_MIN_LENT = 50  # pixels that other views must lend for a fit
_MIN_LENT_SHARE = 0.5  # of them that must agree with it; the rest may be hidden from the view


@dataclass(frozen=True, eq=False)
class Start:
    """A view and what its sparse points gave: ``outcome.fit`` is None where they gave nothing."""

    index: int  # in Scene.views
    view: AlignedView  # holds a placeholder fit where there is none
    limits: Limits
    outcome: FitOutcome
    source: str = "points"  # or "overlap"


def depth_range(anchors: SceneAnchors, usable: BoolArray, max_depth_factor: float) -> tuple[float, float]:
    """(nearest, farthest) depth that is believed, from the ``usable`` (P,) sparse points as the views see them."""
    depth = anchors.depth[(anchors.depth > 0) & usable[anchors.scene.points.obs_point]]
    if not len(depth):
        return 0.0, np.inf
    near, far = np.percentile(depth, [2, 98])
    return float(near * _NEAREST), float(far * max_depth_factor)


def starts_from_points(
    scene: Scene,
    predictions: Mapping[int, DepthMap],
    observed: SceneAnchors,
    usable: BoolArray,
    config: AlignmentConfig,
    seed: int,
) -> list[Start]:
    """One start per predicted view, from the points (P,) marked ``usable``."""
    nearest, farthest = depth_range(observed, usable, config.advanced.max_depth_factor)
    starts = []
    for index, prediction in predictions.items():
        jump = _JUMP * value_range(prediction.values, prediction.valid)
        anchors = observed.in_view(index, prediction, jump)
        anchors = anchors.where(usable[anchors.point])
        low, high = np.percentile(prediction.values[prediction.valid], [1, 99])
        limits = Limits(float(low), float(high), nearest, farthest)
        outcome = fit_view(prediction.kind, anchors, limits, config, np.random.default_rng([seed, index]))
        fit = outcome.fit or DepthFit(prediction.kind, 1.0, 0.0)
        view = AlignedView(scene.views[index], prediction, jump, anchors, fit)
        starts.append(Start(index, view, limits, outcome))
    return starts


def with_overlap(starts: Sequence[Start], config: AlignmentConfig, seed: int) -> list[Start]:
    """The starts, those without scale and shift fitted to the maps of views that have them, as far as that reaches.

    Works outwards: a view fitted this way serves the next round.
    """
    current = list(starts)
    while True:
        fixed = [s for s in current if s.outcome.fit is not None and not s.outcome.scale_only]
        open_ones = [k for k, s in enumerate(current) if s.outcome.fit is None or s.outcome.scale_only]
        found = {k: fit for k in open_ones if (fit := _fit_to_overlap(current[k], fixed, config, seed)) is not None}
        if not found:
            return current
        for k, start in found.items():
            current[k] = start


def _fit_to_overlap(start: Start, fixed: Sequence[Start], config: AlignmentConfig, seed: int) -> Start | None:
    lent = _lent_by(fixed, start, config)
    if len(lent) < _MIN_LENT:
        return None
    rng = np.random.default_rng([seed, start.index, 1])
    outcome = fit_view(start.view.prediction.kind, lent, start.limits, config, rng)
    if outcome.fit is None or outcome.scale_only or outcome.inliers < _MIN_LENT_SHARE * len(lent):
        return None
    own = start.view.anchors
    if len(own) >= config.advanced.min_points and judged(outcome.fit, own, False, config).fit is None:
        return None  # neighbours do not overrule the sparse points
    return replace(start, view=replace(start.view, fit=outcome.fit), outcome=outcome, source="overlap")


def _lent_by(lenders: Sequence[Start], start: Start, config: AlignmentConfig) -> Anchors:
    """Pixels of other views, carried into this one, as points of known depth."""
    views = [lender.view for lender in lenders]
    target = len(views)
    neighbours = [np.array([target])] * target + [np.zeros(0, np.int64)]
    depth, value, xy = [np.zeros(0)], [np.zeros(0)], [np.zeros((0, 2))]
    for carried in carried_pixels([*views, start.view], neighbours, config.advanced.overlap_samples):
        where, carried_log = carried.project(aligned_log_depth(carried, views), start.view.view.camera)
        xy.append(where)
        depth.append(np.exp(carried_log))
        prediction = start.view.prediction
        value.append(sample_without_jumps(prediction.values, prediction.valid, where, start.view.jump))
    count = sum(len(d) for d in depth)
    every = Anchors(
        np.full(count, -1),
        np.concatenate(xy),
        np.concatenate(depth),
        np.full(count, _LENT_SIGMA),
        np.concatenate(value),
    )
    return every.where(np.isfinite(every.depth) & np.isfinite(every.value))
