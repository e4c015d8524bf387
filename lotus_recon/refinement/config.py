"""Options of the refinement stage."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class AdvancedRefinement:
    """Options that few need to turn, in YAML only."""

    # photos that each photo is compared with
    sources: int = 8
    # of them, those that agree best at a pixel count: others may not see it
    best_sources: int = 3
    # angle in degrees between viewing rays that is best for a comparison
    best_parallax_deg: float = 12.0
    # half width of the first search, as a multiple of the 90th percentile of the alignment's own held-out error
    search_range_factor: float = 2.0
    # least of that half width, relative to depth
    min_search_range: float = 0.004
    # largest of that half width, relative to depth
    max_search_range: float = 0.3
    # step of the search in pixels of the sources
    step_px: float = 0.7
    # standard deviation of a match in pixels of the sources, at least; the reprojection error of the points if that is
    # larger: what photos know of depth, beside the error of the prior
    match_px: float = 0.3
    # standard deviation of the windows in pixels
    window_sigma: float = 1.4
    # give the prior the slant of the predicted normals, over so many pixels (0: it keeps its own)
    slant_window_px: float = 0.0
    # passes; from the second on the refined depth of the sources counts too
    passes: int = 2
    # half width of the search of later passes, in pixels of the sources
    later_search_range_px: float = 2.0
    # weight of the agreement with the sources' depth in those passes, beside that of their photos
    geometric_weight: float = 0.3
    # cost of a change of offset between neighbours by one step
    sgm_p1: float = 0.03
    # cost of a change of offset between neighbours by more than one step
    sgm_p2: float = 0.15
    # weight of the smoothness of the field of offsets; more is smoother
    smoothness_weight: float = 0.5
    # log depth by which the slope of the prior changes at an edge
    edge_width: float = 0.01
    # confidence of a pixel that no photo decides: its aligned depth is kept
    prior_confidence: float = 0.05
    # memory in gigabytes for what is compared at once (but never less than four hypotheses and sources)
    chunk_gb: float = 0.1


@dataclass(frozen=True)
class RefinementConfig:
    """How aligned depth is refined by comparing photos."""

    # search the depth at which other photos agree, near the aligned depth (never with --align none)
    refine: bool = True
    # longer edge in pixels that photos are compared at, 64 or more (0: that of the depth maps)
    refine_size: int = 0
    advanced: AdvancedRefinement = field(default_factory=AdvancedRefinement)
