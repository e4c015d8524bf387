"""Options of the alignment stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class AdvancedAlignment:
    """Options that few need to turn, in YAML only."""

    # sparse points below which a view gets a scale but no shift from them
    min_points: int = 8
    # sparse points below which a view gets nothing from them
    min_points_scale: int = 3
    # spread of the points' depth, as a share, below which they lie at one depth and fix no shift
    min_depth_spread: float = 0.05
    # two-point hypotheses that are tried per view
    ransac_iterations: int = 500
    # share of agreeing points below which a view is rejected
    min_inlier_ratio: float = 0.3
    # width of the Cauchy loss, in standard deviations
    cauchy_scale: float = 0.7
    # factor by which a fit that keeps all depth positive may fit the points worse than one that does not
    positivity_tolerance: float = 1.25
    # depth beyond which pixels are dropped, as a multiple of that of the far sparse points (their 98th percentile)
    max_depth_factor: float = 4.0
    # refine scales and shifts of all views together, so that overlapping maps agree
    joint: bool = True
    # views that each view is compared with
    overlap_neighbours: int = 8
    # pixels of each view that are compared
    overlap_samples: int = 400
    # relative difference of depth beyond which two maps do not see the same surface
    overlap_gate: float = 0.15
    # rounds in which maps move locally towards what overlapping maps agree on; 0 leaves them to the points
    overlap_rounds: int = 3
    # sparse points that correct a pixel
    local_neighbours: int = 8


@dataclass(frozen=True)
class AlignmentConfig:
    """How predicted depth is brought to the scale of the scene."""

    # auto: fit each map to the scene; none: pass METRIC depth through (the poses must be metric: --pose-unit m)
    align: Literal["auto", "none"] = "auto"
    # share of the sparse points that is held out to score the fit; 0 skips the score
    holdout: float = 0.2
    # never use the held-out points, not even for the final fit (for measurements against them)
    holdout_strict: bool = False
    # relative depth error up to which a point agrees with a map
    inlier_threshold: float = 0.05
    # sky and far mask: drop pixels deeper than this percentile of the depth of all aligned maps (none: keep them)
    far_percentile: float | None = None
    advanced: AdvancedAlignment = field(default_factory=AdvancedAlignment)
