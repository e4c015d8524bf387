"""Options of multi-view stereo, and what its search is set to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Interval, Unit

from lotus_recon.limits import Or
from lotus_recon.options import Options


@dataclass(frozen=True)
class SearchConfig:
    """How the depth of a view is searched by comparing photos (PatchMatch multi-view stereo)."""

    # scales, each half the size of the one before; the search starts at the smallest
    scales: int = 3
    # rounds of propagation and perturbation at the smallest scale, at those between, and at full size
    rounds: tuple[int, int, int] = (5, 2, 1)
    # the same in later passes, which start from the pass before; 0: the scale is left out
    later_rounds: tuple[int, int, int] = (0, 1, 1)
    # of the sources of a view, those that count at a pixel: others may not see it
    best_sources: int = 4
    # angle in degrees between viewing rays from which a source counts fully
    min_parallax_deg: float = 3.0
    # radius of a window in pixels
    window_radius: int = 4
    # difference in grey value (0 to 1) from the centre at which a pixel of a window counts a quarter
    window_contrast: float = 0.15
    # weight of the agreement with the sources' depth from the second pass on, beside that of their photos
    geometric_weight: float = 0.4
    # difference in pixels at which that agreement is lost
    geometric_px: float = 2.0


@dataclass(frozen=True)
class AdvancedMvs(Options):
    """Options that few need to turn, in YAML only."""

    # Longer edge at which photos are compared; 0: that of the depth maps.
    match_size: Annotated[int, Interval(ge=64, le=65_536), Or(0), Unit("pixels")] = 0
    # Photos that each photo is compared with.
    sources: Annotated[int, Interval(ge=1, le=64)] = 8
    # Angle between viewing rays that is best for a comparison.
    best_parallax_deg: Annotated[float, Interval(ge=1, le=60), Unit("degrees")] = 12.0
    # Passes; from the second on the depth of the other photos counts too.
    passes: Annotated[int, Interval(ge=1, le=10)] = 2


@dataclass(frozen=True)
class MvsConfig(Options):
    """How depth is found by comparing photos."""

    # Find the depth at which photos agree, and complete it from the network (never with --align none).
    mvs: bool = True
    # Uniform regions that no photo decides and that reach the border of the photo, such as a studio backdrop or the
    # sky. drop: they get no depth; keep: they are completed like any; auto: dropped where they are nearly black, nearly
    # white, or sky.
    background: Literal["auto", "keep", "drop"] = "auto"
    advanced: AdvancedMvs = field(default_factory=AdvancedMvs)
