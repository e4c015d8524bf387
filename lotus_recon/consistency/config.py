"""Options of the consistency stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class AdvancedConsistency:
    """Options that few need to turn, in YAML only."""

    # most covisible views that each map is checked against
    check_neighbours: int = 8
    # angle in degrees between the viewing rays below which a second view is less welcome as a check
    min_parallax_deg: float = 3.0
    # width of agreement, in standard deviations of the difference between the maps
    agreement_sigmas: float = 5.0
    # least of that width, relative to depth
    min_agreement: float = 0.002
    # largest of that width, relative to depth
    max_agreement: float = 0.03
    # a pixel this many widths behind another view's surface is taken for hidden by it; nearer, for contradicted
    occlusion_tolerance: float = 2.5
    # confidence of a pixel that no other view sees
    single_view_confidence: float = 0.25
    # relative jump of depth between neighbouring pixels that makes both of them flying pixels
    edge_jump: float = 0.03
    # angle in degrees between surface and ray below which a pixel is dropped
    min_grazing_deg: float = 4.0


@dataclass(frozen=True)
class ConsistencyConfig:
    """What it takes for a pixel to stay."""

    # on: check maps against each other; off: keep them whole; auto: off for METRIC depth that --align none passed
    # through, because a sensor is taken at its word
    check_depth: Literal["auto", "on", "off"] = "auto"
    # views that must confirm a pixel, where at least as many see it
    min_consistent_views: int = 1
    # share of the views with a say that must confirm a pixel
    min_consistent_ratio: float = 0.5
    advanced: AdvancedConsistency = field(default_factory=AdvancedConsistency)
