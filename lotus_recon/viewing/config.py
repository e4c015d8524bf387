"""Options of the 3D page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval

from lotus_recon.options import Options


@dataclass(frozen=True)
class ViewConfig(Options):
    """The page view.html, which shows a result in 3D and is opened from disk."""

    # Write view.html.
    view: bool = True
    # Most triangles of its mesh, and most points of its cloud. Large pages open slowly, on phones above all.
    view_size: Annotated[int, Interval(ge=1000, le=5_000_000)] = 200_000
