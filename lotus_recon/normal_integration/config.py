"""Options of the integration stage. Standard library only: shown by --help."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class AdvancedNormalIntegration:
    """Options that few need to turn, in YAML only."""

    # Angle in degrees between predicted normals and those of the depth at which the depth counts half.
    disagreement_deg: float = 20.0
    # Weight of a sparse point beside the steps to its neighbouring pixels, which weigh 1 each.
    point_weight: float = 0.3


@dataclass(frozen=True)
class NormalIntegrationConfig:
    """How normals are integrated (for --fusion normal and --surface integrated)."""

    # Length up to which shapes come from the normals, as a share of the longer side of the map; larger ones come from
    # the depth. None: that at which points that were left aside are met best or, where they are few, views agree best.
    integration_scale: float | None = None
    # Rounds in which the integrated maps of views that see the same surfaces are drawn together. None: one where a view
    # has fewer than 100 sparse points, which would hold it better, else none.
    consensus_iterations: int | None = None
    advanced: AdvancedNormalIntegration = field(default_factory=AdvancedNormalIntegration)
