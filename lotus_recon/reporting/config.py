"""Options of the report stage."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class AdvancedReport:
    """Options that few need to turn, in YAML only."""

    # width in pixels of the pictures of a view
    picture_width: int = 480
    # width in pixels of the renders of the mesh; 0 renders none
    render_width: int = 800


@dataclass(frozen=True)
class ReportConfig:
    """What the report shows."""

    # views that are shown with their maps, spread evenly over the scene; 0 shows none
    report_views: int = 8
    advanced: AdvancedReport = field(default_factory=AdvancedReport)
