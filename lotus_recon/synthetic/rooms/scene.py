"""What a room or an outdoor place is, whoever renders it: surfaces with materials, light, where photos are taken.

World: metres, z up, the floor at z = 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.synthetic.rooms.sky_light import Sky
from lotus_recon.synthetic.shapes import joined
from lotus_recon.types import Camera, Mesh

Rgb = tuple[float, float, float]  # linear


@dataclass(frozen=True, eq=False)
class Material:
    """How a surface reflects, or shines."""

    name: str
    color: Rgb = (0.5, 0.5, 0.5)  # albedo, linear RGB in [0, 1]; a texture replaces it
    texture: NDArray[np.uint8] | None = None  # (h, w, 3) sRGB, repeated; u to the right, v UP (as in OBJ files)
    gloss: float = 0.0  # 0: matte only; 1: the full clear coat of lacquer, glass or glazed tiles
    roughness: float = 0.3  # of the coat or the metal: 0 mirror, 1 dull
    metal: bool = False  # reflects in its own colour and nothing else
    emission: Rgb = (0.0, 0.0, 0.0)  # radiance, linear; with a texture: a factor on the (linear) texture
    # Leaves, or a picture cut out: the truth has its depth, and no normals, since a photo shows something finer.
    fine: bool = False

    @property
    def shines(self) -> bool:
        """Whether the surface is a source of light."""
        return max(self.emission) > 0


@dataclass(frozen=True, eq=False)
class Part:
    """A surface of one material, in world coordinates. Its mesh has vertex normals: shading and truth use them."""

    name: str
    mesh: Mesh
    material: Material
    uv: NDArray[np.float32] | None = None  # (V, 2), needed for a texture; 1 = one repetition
    is_sky: bool = False  # a window's view of outdoors: bright, without depth

    def __post_init__(self) -> None:
        if self.mesh.normals is None:
            raise InputError(f"part {self.name!r}: its mesh needs vertex normals")
        if self.material.texture is not None and (self.uv is None or self.uv.shape != (len(self.mesh.vertices), 2)):
            raise InputError(f"part {self.name!r}: a texture needs uv of shape ({len(self.mesh.vertices)}, 2)")


@dataclass(frozen=True)
class Lamp:
    """A bright part as a ball of light, for renderers that do not trace light to surfaces."""

    center: tuple[float, float, float]  # world, metres
    radius: float  # metres
    intensity: Rgb  # what a surface receives at distance d (metres) facing it is intensity / d^2


@dataclass(frozen=True)
class Credit:
    """Whom a used asset comes from."""

    asset: str
    creator: str
    licence: str


@dataclass(frozen=True, eq=False)
class Room:
    """A furnished, lit room, or a lit place under a sky."""

    parts: tuple[Part, ...]
    lamps: tuple[Lamp, ...]
    size: tuple[float, float, float]  # of the free box inside the walls, corner at the origin
    ambient: Rgb = (0.1, 0.1, 0.1)  # light from everywhere: what bounces, for renderers that do not trace bounces
    credits: tuple[Credit, ...] = field(default=())
    sky: Sky | None = None  # what rays see that leave the place; of the renderers only ray casting shows it

    @property
    def mesh(self) -> Mesh:
        """The true surface: all parts but the sky."""
        return joined([part.mesh for part in self.parts if not part.is_sky])


@dataclass(frozen=True, eq=False)
class Shot:
    """One photo to take."""

    camera: Camera
    cam_from_world: NDArray[np.float64]  # (4, 4)
