"""What the surfaces of one room are made of: a palette drawn per room, and furniture in new colours."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lotus_recon.io.srgb import linear_of_srgb
from lotus_recon.synthetic.rooms.catalog import Catalog, ModelPart, Texture
from lotus_recon.synthetic.rooms.scene import Credit, Material, Rgb
from lotus_recon.synthetic.rooms.solids import Finish, box_uv, triangle_areas

# What furniture of a category may become; everything else keeps its own materials (appliances, screens, plants).
_STUFFS = {
    "sofa": ("fabric", "fabric", "leather"),
    "armchair": ("fabric", "fabric", "leather"),
    "chair": ("wood", "paint", "fabric", "plastic"),
    "stool": ("wood", "paint", "fabric", "plastic"),
    "bench": ("wood", "paint"),
    "table": ("wood", "wood", "paint", "lacquer"),
    "coffee_table": ("wood", "wood", "paint", "lacquer"),
    "desk": ("wood", "wood", "paint", "lacquer"),
    "bed": ("wood", "fabric", "fabric", "paint"),
    "bedside": ("wood", "wood", "paint"),
    "shelf": ("wood", "wood", "paint", "lacquer"),
    "wardrobe": ("wood", "wood", "paint", "lacquer"),
    "cabinet": ("wood", "wood", "paint", "lacquer"),
    "tv_unit": ("wood", "paint", "lacquer"),
    "kitchen": ("paint", "lacquer", "wood"),
    "kitchen_wall": ("paint", "lacquer", "wood"),
    "clutter": ("paint", "plastic", "metal"),
    "floor_thing": ("paint", "plastic", "wood"),
    "rug": ("fabric",),
}

_GREYS = (0.1, 0.25, 0.5, 0.75, 0.93, 0.95)
_TINTED = 0.5  # chance that a texture is drawn in another tone


def hsv_color(hue: float, saturation: float, value: float) -> Rgb:
    """Linear RGB of a colour given as hue, saturation and value of sRGB, all in [0, 1]."""
    encoded = np.array(colorsys.hsv_to_rgb(hue % 1.0, saturation, value))
    r, g, b = (float(value) for value in linear_of_srgb(encoded))
    return r, g, b


def _tinted(bitmap: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """The bitmap, greyer or more colourful, lighter or darker, warmer or colder."""
    values = bitmap.astype(np.float32) / 255
    grey = values.mean(axis=-1, keepdims=True)
    colored = grey + random.uniform(0.3, 1.2) * (values - grey)
    toned = colored * random.uniform(0.85, 1.1, 3).astype(np.float32)
    return np.asarray(255 * np.clip(toned, 0, 1) ** random.uniform(0.6, 1.6), np.uint8)


@dataclass(frozen=True, eq=False)
class Palette:
    """The finishes of a room. Two rooms hardly share one; within a room wood, trim and metal agree."""

    floor: Finish
    wall: Finish
    accent_wall: Finish
    ceiling: Finish
    trim: Finish  # skirting boards, frames of doors and windows
    door: Finish
    wood: Finish
    metal: Finish
    fronts: Finish  # of built-in furniture
    worktop: Finish
    splashback: Finish
    curtain: Finish


class Finishes:
    """Draws finishes from a catalog and remembers whose textures were taken."""

    def __init__(self, catalog: Catalog, random: np.random.Generator) -> None:
        self._catalog = catalog
        self._random = random
        self._by_category: dict[str, list[Texture]] = {}
        self._drawn: dict[str, Finish] = {}
        self.credits: list[Credit] = []
        for texture in catalog.textures:
            self._by_category.setdefault(texture.category, []).append(texture)

    def textured(self, categories: Sequence[str], gloss: float = 0.0, roughness: float = 0.3) -> Finish | None:
        """A texture of one of the categories; None when the catalog has none."""
        textures = [texture for category in categories for texture in self._by_category.get(category, [])]
        if not textures:
            return None
        texture = textures[int(self._random.integers(len(textures)))]
        if texture.id not in self._drawn:
            material = Material(texture.id, texture=self._catalog.bitmap(texture))
            self._drawn[texture.id] = Finish(material, texture.size_m)
            self.credits.append(texture.credit)
        drawn = self._drawn[texture.id]
        if texture.category != "outdoor" and self._random.random() < _TINTED:
            tinted = _tinted(self._catalog.bitmap(texture), self._random)
            drawn = self._drawn[texture.id] = Finish(replace(drawn.material, texture=tinted), texture.size_m)
        material = replace(drawn.material, gloss=gloss, roughness=roughness)
        scale = float(self._random.uniform(0.8, 1.25))
        tile_m = (texture.size_m[0] * scale, texture.size_m[1] * scale)
        return Finish(material, tile_m, turned=bool(self._random.random() < 0.5))

    def plain(self, name: str, color: Rgb, gloss: float = 0.0, roughness: float = 0.3, metal: bool = False) -> Finish:
        """One colour."""
        return Finish(Material(name, color, gloss=gloss, roughness=roughness, metal=metal))

    def light_paint(self) -> Finish:
        """What most walls have: white, cream, grey, a breath of colour; sometimes a strong one."""
        random = self._random
        kind = random.random()
        if kind < 0.6:
            color = hsv_color(random.uniform(0.05, 0.17), random.uniform(0.0, 0.12), random.uniform(0.8, 0.97))
        elif kind < 0.88:
            color = hsv_color(random.random(), random.uniform(0.03, 0.18), random.uniform(0.65, 0.95))
        else:
            color = hsv_color(random.random(), random.uniform(0.2, 0.55), random.uniform(0.35, 0.85))
        return self.plain("paint", color, gloss=float(random.choice([0, 0, 0, 0.3])), roughness=0.4)

    def any_paint(self) -> Finish:
        """A colour of furniture: black, white, grey or anything, matte to lacquered."""
        random = self._random
        if random.random() < 0.55:
            color = hsv_color(random.random(), random.uniform(0, 0.1), random.choice(_GREYS))
        else:
            color = hsv_color(random.random(), random.uniform(0.15, 0.7), random.uniform(0.2, 0.9))
        return self.plain(
            "paint", color, gloss=float(random.choice([0, 0.2, 0.6, 1])), roughness=random.uniform(0.1, 0.4)
        )

    def wood(self) -> Finish:
        """Wood, from its texture or as a brown that stands for it."""
        random = self._random
        gloss, roughness = float(random.choice([0, 0.2, 0.5, 0.9])), float(random.uniform(0.1, 0.4))
        if random.random() < 0.75 and (finish := self.textured(("wood",), gloss, roughness)):
            return finish
        color = hsv_color(random.uniform(0.05, 0.1), random.uniform(0.3, 0.65), random.uniform(0.25, 0.8))
        return self.plain("wood", color, gloss, roughness)

    def fabric(self) -> Finish:
        """Cloth, patterned or of one colour."""
        random = self._random
        if random.random() < 0.5 and (finish := self.textured(("fabric",))):
            return finish
        color = hsv_color(random.random(), random.uniform(0.02, 0.6), random.uniform(0.15, 0.9))
        return self.plain("fabric", color)

    def metal(self) -> Finish:
        """Steel, chrome, aluminium, brass or black iron."""
        random = self._random
        tone = float(random.uniform(0.35, 0.9))
        color = (tone, tone, tone) if random.random() < 0.8 else (0.85, 0.62, 0.3)
        return self.plain("metal", color, roughness=float(random.uniform(0.05, 0.45)), metal=True)

    def tiles(self, gloss: float = 0.8) -> Finish:
        """Glazed tiles, or what else the catalog has for walls."""
        return self.textured(("wall", "tile"), gloss, 0.1) or self.light_paint()

    def floor(self) -> Finish:
        """Boards, tiles, carpet; sometimes plain concrete or linoleum."""
        random = self._random
        gloss, roughness = float(random.choice([0, 0, 0.3, 0.7, 1])), float(random.uniform(0.05, 0.4))
        if random.random() < 0.85 and (finish := self.textured(("floor", "wood"), gloss, roughness)):
            return finish
        if random.random() < 0.3:
            return self.fabric()
        color = hsv_color(random.random(), random.uniform(0, 0.3), random.uniform(0.25, 0.8))
        return self.plain("floor", color, gloss, roughness)

    def artwork(self) -> Finish | None:
        """A painting."""
        return self.textured(("other",))

    def outdoors(self) -> Finish | None:
        """A view of the outside."""
        return self.textured(("outdoor",))


def draw_palette(catalog: Catalog, random: np.random.Generator, wet: bool = False) -> tuple[Palette, Finishes]:
    """The finishes of a room (``wet``: a bathroom, tiled), and the drawer for more of them."""
    finishes = Finishes(catalog, random)
    wall = finishes.light_paint()
    if random.random() < (0.6 if wet else 0.14):
        wall = finishes.textured(("wall",), gloss=0.8 if wet else 0.0, roughness=0.1) or wall
    accent = finishes.textured(("wall",)) if random.random() < 0.5 else finishes.any_paint()
    white = finishes.plain("white", hsv_color(0.12, random.uniform(0, 0.06), random.uniform(0.85, 0.97)), 0.4, 0.25)
    trim = white if random.random() < 0.7 else finishes.wood()
    palette = Palette(
        floor=finishes.floor(),
        wall=wall,
        accent_wall=(accent or wall) if random.random() < 0.3 else wall,
        ceiling=_ceiling(finishes, random),
        trim=trim,
        door=trim if random.random() < 0.5 else finishes.wood() if random.random() < 0.6 else finishes.any_paint(),
        wood=finishes.wood(),
        metal=finishes.metal(),
        fronts=finishes.wood() if random.random() < 0.4 else finishes.any_paint(),
        worktop=finishes.wood() if random.random() < 0.4 else finishes.any_paint(),
        splashback=finishes.tiles(),
        curtain=finishes.fabric(),
    )
    return palette, finishes


def _ceiling(finishes: Finishes, random: np.random.Generator) -> Finish:
    if random.random() < 0.12:
        return finishes.wood()
    return finishes.plain("ceiling", hsv_color(0.12, random.uniform(0, 0.05), random.uniform(0.8, 0.98)))


def refinished(
    parts: Sequence[ModelPart], category: str, finishes: Finishes, random: np.random.Generator, chance: float = 0.55
) -> tuple[ModelPart, ...]:
    """The parts of a model, with a chance of new materials on its largest surfaces."""
    stuffs = _STUFFS.get(category)
    if stuffs is None or random.random() > chance or not parts:
        return tuple(parts)
    areas = np.array([triangle_areas(part.mesh).sum() for part in parts])
    main = _stuff(str(random.choice(stuffs)), finishes)
    second = finishes.any_paint() if random.random() < 0.5 else finishes.metal()
    order = np.argsort(-areas, kind="stable")
    new = list(parts)
    for rank, index in enumerate(order[: 1 + int(random.integers(3))]):
        if not parts[index].material.shines:
            new[index] = _in_finish(parts[index], main if rank == 0 else second)
    return tuple(new)


def _stuff(kind: str, finishes: Finishes) -> Finish:
    if kind == "wood":
        return finishes.wood()
    if kind == "fabric":
        return finishes.fabric()
    if kind == "metal":
        return finishes.metal()
    paint = finishes.any_paint()
    gloss = {"leather": 0.3, "lacquer": 1.0, "plastic": 0.6, "paint": 0.1}[kind]
    return Finish(replace(paint.material, name=kind, gloss=gloss))


def _in_finish(part: ModelPart, finish: Finish) -> ModelPart:
    uv = box_uv(part.mesh, finish.tile_m, finish.turned) if finish.material.texture is not None else None
    return ModelPart(part.mesh, finish.material, uv)
