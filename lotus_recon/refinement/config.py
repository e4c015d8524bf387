"""Options of the refinement stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Interval, Unit

from lotus_recon.limits import Or, Share
from lotus_recon.options import Options

# Half width of a depth search, relative to depth.
SearchRange = Annotated[float, Interval(ge=1e-5, le=2)]


@dataclass(frozen=True)
class AdvancedRefinement(Options):
    """Options that few need to turn, in YAML only."""

    # Longer edge at which photos are compared; 0: that of the depth maps.
    refine_size: Annotated[int, Interval(ge=64, le=65_536), Or(0), Unit("pixels")] = 0
    # Photos that each photo is compared with.
    sources: Annotated[int, Interval(ge=1, le=64)] = 8
    # Of them, those that agree best at a pixel count: others may not see it.
    best_sources: Annotated[int, Interval(ge=1, le=64)] = 3
    # Angle between viewing rays that is best for a comparison.
    best_parallax_deg: Annotated[float, Interval(ge=1, le=60), Unit("degrees")] = 12.0
    # Depth search range of the first pass (relative half width), in multiples of the 90th percentile of the alignment's
    # own held-out error.
    search_range_factor: Annotated[float, Interval(ge=0.1, le=100)] = 2.0
    # Least depth search range of the first pass (relative half width).
    min_search_range: SearchRange = 0.004
    # Largest depth search range of the first pass (relative half width).
    max_search_range: SearchRange = 0.3
    # Step of the search in the source photos.
    step_px: Annotated[float, Interval(ge=0.1, le=4), Unit("pixels")] = 0.7
    # Standard deviation of a match in the source photos, at least; the reprojection error of the points if that is
    # larger: what photos know of depth, beside the error of the prior.
    match_px: Annotated[float, Interval(ge=0.01, le=10), Unit("pixels")] = 0.3
    # Standard deviation of the matching windows.
    window_sigma: Annotated[float, Interval(ge=0.5, le=20), Unit("pixels")] = 1.4
    # Window over which the prior gets the slant of the predicted normals; 0: it keeps its own slant.
    slant_window_px: Annotated[float, Interval(ge=0, le=1000), Unit("pixels")] = 0.0
    # Passes; from the second on the refined depth of the source photos counts too.
    passes: Annotated[int, Interval(ge=1, le=10)] = 2
    # Depth search range of later passes (half width), in pixels of the source photos.
    later_search_range_px: Annotated[float, Interval(ge=0.5, le=20), Unit("pixels")] = 2.0
    # Weight of the agreement with the sources' depth in later passes, beside that of their photos.
    geometric_weight: Annotated[float, Interval(ge=0, le=10)] = 0.3
    # SGM penalty P1, of a change of the depth offset between neighbours by one step.
    sgm_p1: Annotated[float, Interval(ge=0, le=10)] = 0.03
    # SGM penalty P2, of a change by more than one step.
    sgm_p2: Annotated[float, Interval(ge=0, le=10)] = 0.15
    # Weight of the smoothness of the depth offsets.
    smoothness_weight: Annotated[float, Interval(ge=0, le=1e4)] = 0.5
    # Log depth by which the slope of the prior changes at a depth discontinuity.
    edge_width: Annotated[float, Interval(ge=1e-6, le=1)] = 0.01
    # Confidence of a pixel that no photo decides: its aligned depth is kept.
    prior_confidence: Share = 0.05
    # Memory for what is compared at once (but never less than four hypotheses and source photos).
    chunk_gb: Annotated[float, Interval(ge=0.01, le=1000), Unit("gigabytes")] = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.best_sources > self.sources:
            self.refuse("best_sources", f"at most sources, {self.sources}")
        if self.min_search_range > self.max_search_range:
            self.refuse("min_search_range", f"at most max_search_range, {self.max_search_range:g}")
        if self.sgm_p1 > self.sgm_p2:
            self.refuse("sgm_p1", f"at most sgm_p2, {self.sgm_p2:g}")


@dataclass(frozen=True)
class RefinementConfig(Options):
    """How aligned depth is refined by comparing photos."""

    # Search the depth at which other photos agree, near the aligned depth (never with --align none).
    refine: bool = True
    advanced: AdvancedRefinement = field(default_factory=AdvancedRefinement)
