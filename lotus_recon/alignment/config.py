"""Options of the alignment stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Interval, Unit

from lotus_recon.limits import Share
from lotus_recon.options import Options


@dataclass(frozen=True)
class AdvancedAlignment(Options):
    """Options that few need to turn, in YAML only."""

    # Sparse points below which a view gets a scale but no shift from them.
    min_points: Annotated[int, Interval(ge=2, le=1_000_000)] = 8
    # Sparse points below which a view gets nothing from them.
    min_points_scale: Annotated[int, Interval(ge=1, le=1_000_000)] = 3
    # Relative spread of the points' depth below which they lie at one depth and fix no shift.
    min_depth_spread: Annotated[float, Interval(ge=0, le=10)] = 0.05
    # RANSAC iterations per view, of two points each.
    ransac_iterations: Annotated[int, Interval(ge=1, le=1_000_000)] = 500
    # A view is rejected where a smaller ratio of its held-out points are inliers after the local correction.
    min_inlier_ratio: Share = 0.3
    # Scale of the Cauchy loss, in standard deviations.
    cauchy_scale: Annotated[float, Interval(gt=0, le=100)] = 0.7
    # Positivity tolerance: a fit that keeps all depth positive may have this many times the error of one that does not.
    positivity_tolerance: Annotated[float, Interval(ge=1, le=1000)] = 1.25
    # Pixels are dropped beyond this many times the depth of the far sparse points (their 98th percentile).
    max_depth_factor: Annotated[float, Interval(ge=1, le=1e6)] = 4.0
    # Refine scales and shifts of all views together, so that overlapping maps agree.
    joint: bool = True
    # Views that each view is compared with.
    overlap_neighbours: Annotated[int, Interval(ge=1, le=1000)] = 8
    # Pixels of each view that are compared.
    overlap_samples: Annotated[int, Interval(ge=1, le=1_000_000)] = 400
    # Relative difference of depth beyond which two maps do not see the same surface.
    overlap_gate: Annotated[float, Interval(gt=0, le=10)] = 0.15
    # Rounds in which maps move locally towards what overlapping maps agree on; 0 leaves them to the points.
    overlap_rounds: Annotated[int, Interval(ge=0, le=1000)] = 3
    # Sparse points that correct a pixel.
    local_neighbours: Annotated[int, Interval(ge=1, le=1000)] = 8


@dataclass(frozen=True)
class AlignmentConfig(Options):
    """How predicted depth is brought to the scale of the scene."""

    # auto: fit each map to the scene; none: pass METRIC depth through (the poses must be metric: --pose-unit m).
    align: Literal["auto", "none"] = "auto"
    # Share of the sparse points that is held out to score the fit; 0 skips the score.
    holdout: Annotated[float, Interval(ge=0, lt=1)] = 0.2
    # Never use the held-out points, not even for the final fit (for measurements against them).
    holdout_strict: bool = False
    # Relative depth error up to which a point is an inlier of a map.
    inlier_threshold: Annotated[float, Interval(gt=0, le=1)] = 0.05
    # Sky and far mask: drop pixels deeper than this percentile of the depth of all aligned maps (none: keep them).
    far_percentile: Annotated[float | None, Interval(gt=0, le=100), Unit("percent")] = None
    advanced: AdvancedAlignment = field(default_factory=AdvancedAlignment)
