"""Options of the consistency stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Interval, Unit

from lotus_recon.limits import GrazingAngle, Positive, Share
from lotus_recon.options import Options


@dataclass(frozen=True)
class AdvancedConsistency(Options):
    """Options that few need to turn, in YAML only."""

    # Most covisible views that each map is checked against.
    check_neighbours: Annotated[int, Interval(ge=1, le=1000)] = 8
    # Minimum parallax for full weight: a view at a smaller angle between the viewing rays is a weaker check.
    min_parallax_deg: Annotated[float, Interval(ge=0, le=90), Unit("degrees")] = 3.0
    # Width of agreement, in standard deviations of the difference between the maps.
    agreement_sigmas: Annotated[float, Interval(gt=0, le=100)] = 5.0
    # Least width of agreement, relative to depth.
    min_agreement: Annotated[float, Interval(gt=0, le=1)] = 0.002
    # Largest width of agreement, relative to depth.
    max_agreement: Annotated[float, Interval(gt=0, le=1)] = 0.03
    # Occlusion tolerance, in widths of agreement: a pixel farther behind another view's surface is occluded there; a
    # nearer one is contradicted.
    occlusion_tolerance: Annotated[float, Interval(ge=0, le=1000)] = 2.5
    # Confidence of a pixel that no other view sees.
    single_view_confidence: Share = 0.25
    # Relative jump of depth between neighbouring pixels that makes both of them flying pixels.
    edge_jump: Positive = 0.03
    # Pixels that are seen at a smaller angle between surface and ray are dropped.
    min_grazing_deg: GrazingAngle = 4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_agreement > self.max_agreement:
            self.refuse("min_agreement", f"at most max_agreement, {self.max_agreement:g}")


@dataclass(frozen=True)
class ConsistencyConfig(Options):
    """What it takes for a pixel to stay."""

    # on: check maps against each other; off: keep them whole; auto: off for METRIC depth that --align none passed
    # through, because a sensor is trusted.
    check_depth: Literal["auto", "on", "off"] = "auto"
    # Minimum number of views that are consistent with a pixel, where at least as many see it.
    min_consistent_views: Annotated[int, Interval(ge=0, le=1000)] = 1
    # Minimum ratio of the views that are consistent with a pixel to those that observe it.
    min_consistent_ratio: Share = 0.5
    advanced: AdvancedConsistency = field(default_factory=AdvancedConsistency)
