"""Options of meshes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Interval

from lotus_recon.limits import LARGEST_INT, GrazingAngle, Positive, Share
from lotus_recon.options import Options


@dataclass(frozen=True)
class SurfaceConfig(Options):
    """How one depth map becomes a mesh."""

    # depth: the mesh of the predicted depth; integrated: first let the predicted normals decide its small shapes.
    surface: Literal["depth", "integrated"] = "depth"
    # The mesh is cut where depth jumps between neighbours by more than this share of itself, beyond the slope around.
    edge_jump: Positive = 0.04
    # Triangles that are seen at a smaller angle between surface and ray are cut.
    min_grazing_deg: GrazingAngle = 4.0


@dataclass(frozen=True)
class MeshConfig(Options):
    """How a fused surface becomes the mesh that is written."""

    # Separate pieces of surface with a smaller share of the whole area are removed.
    min_island_ratio: Annotated[float, Interval(ge=0, lt=1)] = 0.0002
    # Surface that the photos are less sure of is removed: what they do not show, but was filled in, has next to none.
    min_confidence: Share = 0.0
    # Most triangles of the mesh, which is simplified (quadric error) to have no more; none: all that there are.
    max_triangles: Annotated[int | None, Interval(ge=4, le=LARGEST_INT)] = None
