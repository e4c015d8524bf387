"""Options of the normal integration stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Interval, Unit

from lotus_recon.options import Options


@dataclass(frozen=True)
class AdvancedNormalIntegration(Options):
    """Options that few need to turn, in YAML only."""

    # Angle between predicted normals and those of the depth at which the depth counts half.
    disagreement_deg: Annotated[float, Interval(ge=0.1, le=1000), Unit("degrees")] = 20.0
    # Weight of a sparse point beside the steps to its neighbouring pixels, which weigh 1 each.
    point_weight: Annotated[float, Interval(ge=0, le=1000)] = 0.3


@dataclass(frozen=True)
class NormalIntegrationConfig(Options):
    """How normals are integrated (for --fusion normal and --surface integrated)."""

    # Normal integration scale: shapes up to this length come from the normals, larger ones from the depth; a share of
    # the longer side of the map. None: the scale with the least error at held-out points or, where these are few, with
    # the best agreement of the views.
    integration_scale: Annotated[float | None, Interval(ge=1e-3, le=100)] = None
    # Iterations of the multi-view depth consensus of the integrated maps. None: one where a view has fewer than 100
    # sparse points to constrain it, else none.
    consensus_iterations: Annotated[int | None, Interval(ge=0, le=100)] = None
    advanced: AdvancedNormalIntegration = field(default_factory=AdvancedNormalIntegration)
