"""Options of the integration of normals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval, Unit

from lotus_recon.limits import LARGEST_INT, Share
from lotus_recon.options import Options


@dataclass(frozen=True)
class IntegrationConfig(Options):
    """How normals become depth."""

    # How strongly the less steep side of a pixel is preferred to the steeper one (k of bilateral normal integration);
    # a larger value makes depth discontinuities sooner.
    discontinuity_sharpness: Annotated[float, Interval(ge=0, le=100)] = 2.0
    # Angle between neighbouring normals at which the depth step between them counts half.
    bend_deg: Annotated[float, Interval(ge=0.01, le=1e6), Unit("degrees")] = 5.0
    # Length above which the depth prior decides over the normals, as a share of the longer side of the map.
    prior_length: Annotated[float, Interval(ge=1e-4, le=1e4)] = 0.1
    # Weight of a depth constraint (a sparse point) beside the four steps to its neighbours, which weigh 1 each.
    anchor_weight: Annotated[float, Interval(ge=0, le=1e6)] = 0.03
    # Smallest cosine between normal and ray that is used; pixels seen at a flatter angle count as seen at this one.
    min_grazing_cos: Annotated[float, Interval(ge=1e-6, le=0.5)] = 0.02
    # Share of the pixels whose normals may be missing, or face away, before the map is refused.
    max_bad_share: Share = 0.1
    # Most rounds of reweighting.
    max_rounds: Annotated[int, Interval(ge=1, le=10_000)] = 30
    # The surface is done when a round changes it by less than this (rms, as a share of its rms relief).
    round_tolerance: Share = 0.005
    # Residual at which the linear solver stops, relative to that of a flat start.
    solver_tolerance: Annotated[float, Interval(ge=1e-14, le=0.1)] = 3e-5
    # Most iterations of the linear solver in one round.
    max_solver_iterations: Annotated[int, Interval(ge=1, le=1_000_000)] = 200
    # Maps with more pixels start from the surface of the same map at half the size.
    direct_pixels: Annotated[int, Interval(ge=1, le=LARGEST_INT)] = 60_000
