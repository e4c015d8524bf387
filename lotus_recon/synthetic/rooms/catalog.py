"""What a catalog of assets offers to furnish a room with, wherever the assets come from.

Axes of a model: metres, z up, standing on z = 0, centred on x = y = 0, back towards +y, front towards -y.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lotus_recon.synthetic.rooms.scene import Credit, Material
from lotus_recon.types import Mesh

# Groups of furniture by purpose, which layouts pick from. On the floor unless noted.
GROUPS = (
    "bed",
    "bedside",
    "sofa",
    "armchair",
    "chair",
    "stool",
    "bench",
    "table",  # to sit around
    "coffee_table",
    "desk",
    "wardrobe",
    "shelf",
    "cabinet",
    "tv_unit",
    "kitchen",  # base cabinets, sinks, stoves: about 0.85 m high, in a row along a wall
    "kitchen_wall",  # upper cabinets and hoods: hang at their elevation
    "appliance",
    "bathroom",
    "bathroom_wall",  # hangs at its elevation
    "ceiling_lamp",  # hangs from the ceiling
    "floor_lamp",
    "table_lamp",
    "wall_lamp",
    "plant",  # small ones go on tables
    "rug",
    "picture",  # hangs at its elevation
    "mirror",  # hangs at its elevation
    "tv",  # on furniture
    "wall_tv",
    "clutter",  # small things that lie on tables and in shelves
    "floor_thing",  # what stands about in rooms: bins, boxes, toys, shoes
    "large_thing",  # instruments, fireplaces, game tables, sports machines
    "radiator",  # at a wall
    "wall_thing",  # hangs at its elevation: clocks, sockets, switches
    "door",
    "window",
    "curtain",  # in front of a window
    "other",  # no use in a room: vehicles, trees, people
)
TEXTURE_CATEGORIES = ("floor", "wall", "outdoor", "fabric", "wood", "other")


@dataclass(frozen=True)
class Furniture:
    """A model that can be placed."""

    id: str
    name: str
    category: str  # one of GROUPS
    size_m: tuple[float, float, float]  # width (x), depth (y), height (z)
    elevation_m: float  # of its lowest point above the floor
    credit: Credit


@dataclass(frozen=True, eq=False)
class ModelPart:
    """A surface of one material of a model. Its mesh has unit vertex normals on the outer side of the triangles."""

    mesh: Mesh
    material: Material
    uv: NDArray[np.float32] | None = None  # (V, 2)


Model = tuple[ModelPart, ...]


@dataclass(frozen=True)
class Texture:
    """A repeating image of a surface."""

    id: str
    category: str  # one of TEXTURE_CATEGORIES
    size_m: tuple[float, float]  # width, height of one repetition
    credit: Credit


class Catalog(Protocol):
    """Furniture and textures. The same id always gives the same model and the same bitmap."""

    @property
    def name(self) -> str:
        """Short name of the source."""

    @property
    def furniture(self) -> tuple[Furniture, ...]:
        """Everything that can be placed, in a fixed order."""

    @property
    def textures(self) -> tuple[Texture, ...]:
        """All textures, in a fixed order."""

    def model(self, furniture: Furniture) -> Model:
        """The surfaces of a piece of furniture, scaled to its size."""

    def bitmap(self, texture: Texture) -> NDArray[np.uint8]:
        """(h, w, 3) sRGB of one repetition; the first row is its top."""


def model_bytes(model: Model) -> int:
    """Memory of a model."""
    arrays: list[NDArray | None] = []
    for part in model:
        arrays += [part.mesh.vertices, part.mesh.triangles, part.mesh.normals, part.uv, part.material.texture]
    return sum(array.nbytes for array in arrays if array is not None)
