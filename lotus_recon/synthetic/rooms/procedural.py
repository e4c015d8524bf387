"""Simple furniture and computed textures: what there is where nothing is installed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from operator import attrgetter
from typing import Any

import numpy as np
from cachetools import LRUCache, cachedmethod
from numpy.typing import NDArray

from lotus_recon.synthetic.rooms.catalog import GROUPS, Furniture, Model, Texture
from lotus_recon.synthetic.rooms.procedural_furniture import FURNITURE, Design, Piece, Random
from lotus_recon.synthetic.rooms.procedural_textures import PATTERNS
from lotus_recon.synthetic.rooms.procedural_things import THINGS
from lotus_recon.synthetic.rooms.scene import Credit, Material, Rgb
from lotus_recon.synthetic.rooms.solids import Finish, merged, shifted

_LICENCE = "Apache-2.0"
_CREATOR = "lotus_recon"
_BITMAPS_BYTES = 200 << 20
_VARIANTS = 6  # of each design

# Made of: the kinds of patterns to choose from, or colours (linear); gloss; roughness.
_Look = tuple[Sequence[str], Sequence[Rgb], float, float]
STUFFS: dict[str, _Look] = {
    "wood": (("grain",), (), 0.2, 0.35),
    "cloth": (("cloth", "bands", "leather"), (), 0.0, 0.5),
    "linen": (("cloth", "bands"), ((0.8, 0.8, 0.78),), 0.0, 0.5),
    "rug": (("rug", "bands"), (), 0.0, 0.5),
    "painting": (("painting",), (), 0.1, 0.3),
    "paint": ((), ((0.8, 0.8, 0.78), (0.05, 0.05, 0.05), (0.2, 0.3, 0.5), (0.5, 0.1, 0.08), (0.3, 0.4, 0.3)), 0.4, 0.2),
    "thing": ((), ((0.7, 0.2, 0.1), (0.1, 0.3, 0.6), (0.8, 0.6, 0.1), (0.8, 0.8, 0.8), (0.1, 0.4, 0.2)), 0.6, 0.2),
    "white": ((), ((0.8, 0.8, 0.8),), 0.8, 0.1),
    "dark": ((), ((0.02, 0.02, 0.02),), 0.6, 0.1),
    "metal": ((), ((0.6, 0.6, 0.6), (0.1, 0.1, 0.1), (0.7, 0.55, 0.25)), 0.6, 0.3),
    "shade": ((), ((0.8, 0.75, 0.6), (0.8, 0.8, 0.8), (0.6, 0.3, 0.15)), 0.0, 0.5),
    "clay": (("cloth",), ((0.5, 0.2, 0.1), (0.8, 0.8, 0.75), (0.1, 0.2, 0.3)), 0.4, 0.2),
    "leaf": ((), ((0.05, 0.2, 0.03), (0.1, 0.25, 0.05), (0.15, 0.3, 0.1)), 0.1, 0.5),
    "soil": ((), ((0.05, 0.03, 0.02),), 0.0, 0.5),
    "mirror": ((), ((0.9, 0.9, 0.9),), 1.0, 0.02),
}
_ELEVATION_M = {
    "kitchen_wall": 1.45,
    "wall_lamp": 1.7,
    "picture": 1.4,
    "mirror": 1.3,
    "wall_tv": 1.1,
    "wall_thing": 1.5,
    "ceiling_lamp": 1.9,
    "radiator": 0.1,
}


class ProceduralCatalog:
    """Simple furniture (of all groups, or of some) and computed textures. Needs nothing installed."""

    name = "procedural"

    def __init__(self, groups: Collection[str] = GROUPS) -> None:
        self._bitmaps: LRUCache[Any, NDArray[np.uint8]] = LRUCache(_BITMAPS_BYTES, attrgetter("nbytes"))
        self._pieces: dict[str, list[Piece]] = {}
        self.furniture = tuple(
            self._add(group, number, variant, design)
            for number, (group, design) in enumerate(FURNITURE + THINGS)
            if group in groups
            for variant in range(_VARIANTS)
        )
        self.textures = tuple(
            Texture(name, pattern.category, pattern.size_m, _credit(name)) for name, pattern in PATTERNS.items()
        )

    def model(self, furniture: Furniture) -> Model:
        """The surfaces of a piece of furniture."""
        random = np.random.default_rng([2, *furniture.id.encode()])
        pieces = self._pieces[furniture.id]
        finishes = {stuff: self._finish(stuff, random) for stuff in dict.fromkeys(stuff for _, stuff in pieces)}
        return merged([finishes[stuff].on(mesh) for mesh, stuff in pieces])

    def bitmap(self, texture: Texture) -> NDArray[np.uint8]:
        """(h, w, 3) sRGB of one repetition."""
        return self._cached_bitmap(texture.id)

    @cachedmethod(attrgetter("_bitmaps"))
    def _cached_bitmap(self, name: str) -> NDArray[np.uint8]:
        return self._bitmap(name)

    def _bitmap(self, name: str) -> NDArray[np.uint8]:
        """(h, w, 3) sRGB, computed."""
        return PATTERNS[name].bitmap()

    def _add(self, group: str, number: int, variant: int, design: Design) -> Furniture:
        name = f"{group}-{number}-{variant}"
        pieces = design(np.random.default_rng([1, number, variant]))
        points = np.concatenate([mesh.vertices for mesh, _ in pieces])
        low, high = points.min(0), points.max(0)
        offset = (-(low[0] + high[0]) / 2, -(low[1] + high[1]) / 2, -low[2])
        self._pieces[name] = [(shifted(mesh, offset), stuff) for mesh, stuff in pieces]
        w, d, h = (float(v) for v in high - low)
        return Furniture(name, group.replace("_", " "), group, (w, d, h), _ELEVATION_M.get(group, 0.0), _credit(name))

    def _finish(self, stuff: str, random: Random) -> Finish:
        kinds, colors, gloss, roughness = STUFFS[stuff]
        choice = int(random.integers(len(kinds) + len(colors)))
        if choice >= len(kinds):
            shade = random.uniform(0.7, 1.1)
            r, g, b = (min(float(shade * v), 0.9) for v in colors[choice - len(kinds)])
            return Finish(Material(stuff, (r, g, b), gloss=gloss, roughness=roughness, metal=stuff == "mirror"))
        name = str(random.choice([name for name in PATTERNS if name.startswith(kinds[choice])]))
        return Finish(
            Material(name, texture=self._cached_bitmap(name), gloss=gloss, roughness=roughness), PATTERNS[name].size_m
        )


def _credit(name: str) -> Credit:
    return Credit(name, _CREATOR, _LICENCE)
