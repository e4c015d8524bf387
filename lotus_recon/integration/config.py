"""Options of the integration of normals."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class IntegrationConfig:
    """How normals become depth."""

    # how strongly the less steep side of a pixel is preferred to the steeper one (k of bilateral normal integration);
    # larger tears the surface sooner
    discontinuity_sharpness: float = 2.0
    # angle in degrees between neighbouring normals at which the depth step between them counts half
    bend_deg: float = 5.0
    # length above which the depth prior decides over the normals, as a share of the longer side of the map
    prior_length: float = 0.1
    # weight of a depth anchor (a sparse point) beside the four steps to its neighbours, which weigh 1 each
    anchor_weight: float = 0.03
    # smallest cosine between normal and ray that is believed; pixels seen at a flatter angle count as seen at this one
    min_grazing_cos: float = 0.02
    # share of the pixels whose normals may be missing, or face away, before the map is refused
    max_bad_share: float = 0.1
    # rounds of reweighting, at most
    max_rounds: int = 30
    # the surface is done when a round changes it by less than this (rms, as a share of its rms relief)
    round_tolerance: float = 0.005
    # residual at which the linear solver stops, relative to that of a flat start
    solver_tolerance: float = 3e-5
    # iterations of the linear solver in one round, at most
    max_solver_iterations: int = 200
    # maps with more pixels start from the surface of the same map at half the size
    direct_pixels: int = 60_000
