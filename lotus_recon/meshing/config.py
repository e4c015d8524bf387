"""Options of meshes. Standard library only: shown by --help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class SurfaceConfig:
    """How one depth map becomes a mesh."""

    # depth: the mesh of the predicted depth; integrated: first let the predicted normals decide its small shapes
    surface: Literal["depth", "integrated"] = "depth"
    # Depth that jumps between neighbours by more than this share of itself, beyond the slope around, is cut.
    edge_jump: float = 0.04
    # Triangles seen at less than this angle between surface and ray, in degrees, are cut.
    min_grazing_deg: float = 4.0


@dataclass(frozen=True)
class MeshConfig:
    """How a fused surface becomes the mesh that is written."""

    # Separate pieces of surface with less than this share of the whole area are removed.
    min_island_ratio: float = 0.0002
    # The mesh is simplified (quadric error) to at most this many triangles; None: as it comes.
    max_triangles: int | None = None
