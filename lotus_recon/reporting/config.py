"""Options of the report stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Interval, Unit

from lotus_recon.options import Options


@dataclass(frozen=True)
class AdvancedReport(Options):
    """Options that few need to turn, in YAML only."""

    # Width of the images of a view.
    picture_width: Annotated[int, Interval(ge=1, le=16_384), Unit("pixels")] = 480
    # Width of the renders of the mesh; 0 renders none.
    render_width: Annotated[int, Interval(ge=0, le=16_384), Unit("pixels")] = 800


@dataclass(frozen=True)
class ReportConfig(Options):
    """What the report shows."""

    # Views that are shown with their maps, spread evenly over the scene; 0 shows none.
    report_views: Annotated[int, Interval(ge=0, le=10_000)] = 8
    advanced: AdvancedReport = field(default_factory=AdvancedReport)
