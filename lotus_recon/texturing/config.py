"""Options of textures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Interval, Unit

from lotus_recon.limits import LARGEST_INT, Or, Share
from lotus_recon.options import Options


@dataclass(frozen=True)
class AdvancedTexture(Options):
    """Options that few need to turn, in YAML only."""

    # Longer edge at which photos are read; 0: as they are. Larger ones are reduced.
    photo_size: Annotated[int, Interval(ge=16, le=65_536), Or(0), Unit("pixels")] = 4096
    # Holes up to this diameter, relative to the size of the scene, are closed where depth maps show a surface; 0: none.
    max_hole: Share = 0.02


@dataclass(frozen=True)
class PhotoTextureConfig(Options):
    """How the mesh of one photo gets the photo as its texture."""

    # Make a textured mesh: few triangles then show all that the photos do.
    texture: bool = False
    # Most triangles of the textured mesh; the mesh is simplified (quadric error) to have no more.
    texture_faces: Annotated[int, Interval(ge=4, le=LARGEST_INT)] = 200_000
    # Side of the texture; none: what the photos resolve, up to 8,192.
    texture_size: Annotated[int | None, Interval(ge=64, le=8192), Unit("pixels")] = None
    # How the texture is stored in GLB and USDZ.
    texture_format: Literal["jpeg", "png"] = "jpeg"
    # Show the texture as it is, without lights: it holds those of the scene already.
    unlit: bool = False


@dataclass(frozen=True)
class TextureConfig(PhotoTextureConfig):
    """How a mesh gets its texture from many photos."""

    # Make a textured mesh (GLB and OBJ).
    texture: bool = True
    # Most memory of the texture, not compressed; coarser than the photos if it has to be.
    texture_budget: Annotated[int, Interval(ge=1, le=65_536), Unit("MB")] = 256
    # Write mesh.usdz too, for Apple's viewers (needs the extra usd).
    usdz: bool = False
    # Photos that take no part in the texture, spread evenly; the report compares the textured mesh with them.
    holdout_photos: Annotated[int, Interval(ge=0, le=100_000)] = 0
    advanced: AdvancedTexture = field(default_factory=AdvancedTexture)
