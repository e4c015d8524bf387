"""Objects close by: small things on a table or on the ground, indoors by lamps or outdoors under a sky."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.synthetic import shapes
from lotus_recon.synthetic.rooms.materials import Finishes
from lotus_recon.synthetic.rooms.scene import Lamp, Material, Part, Room, Shot
from lotus_recon.synthetic.rooms.sky_light import draw_sky
from lotus_recon.synthetic.rooms.solids import box_between, shifted, turned_pose
from lotus_recon.synthetic.worlds import growing
from lotus_recon.synthetic.worlds.cameras import Vector, around, draw_shots
from lotus_recon.synthetic.worlds.site import Site

_NEAREST_M = 0.08
_SMALL_GROUPS = ("clutter", "plant", "table_lamp", "floor_thing", "wall_thing", "appliance", "other", "stool", "chair")
_LARGEST_M = 0.45  # what is larger is made a toy
_BACKGROUND = re.compile(r"(?i)(chair|sofa|shelf|wardrobe|plant|cabinet|lamp|bed)")
_FLAT_M = 0.012


def make_objects(site: Site, views: int, size: tuple[int, int]) -> tuple[Room, list[Shot]]:
    """Things on a table, and shots of them. Raises InputError when nothing could be put there."""
    finishes = Finishes(site.assets.catalog, site.random)
    outdoors = site.chance(0.35)
    height = 0.0 if site.chance(0.25) else site.uniform(0.4, 0.95)
    width, depth = site.uniform(0.5, 1.8), site.uniform(0.4, 1.0)
    _table(site, finishes, width, depth, height)
    for _ in range(int(site.random.integers(4, 16))):
        _lay(site, width, depth, height)
    if not site.subjects:
        raise InputError("no small thing could be put on the table")
    lamps = surroundings(site, finishes, outdoors, np.array([width, depth]) / 2)
    site.credits += finishes.credits
    sky = draw_sky(site.random) if outdoors else None
    room = site.finished(lamps, site.uniform(0.12, 0.4), sky)
    return room, draw_shots(room, site.random, lambda fov: _aim(site, fov, height), views, size, _NEAREST_M)


def _aim(site: Site, fov: float, table: float) -> tuple[Vector, Vector] | None:
    """So near that a thing fills the picture or several do."""
    target, height = site.subjects[int(site.random.integers(len(site.subjects)))]
    fits = max(height, 0.08) / (2 * np.tan(np.radians(fov) / 2))
    near, far = np.clip([0.9 * fits, 4.5 * fits], 0.17, 1.6)
    center = around(site.random, target, (near, max(far, near * 1.05)), (3, 70))
    if center[2] < table + 0.04:
        return None
    return center, target + site.random.normal(0, 0.12, 3) * height


def _table(site: Site, finishes: Finishes, width: float, depth: float, height: float) -> None:
    if height == 0:
        return
    top = finishes.wood() if site.chance(0.55) else (finishes.fabric() if site.chance(0.5) else finishes.any_paint())
    thick, leg = site.uniform(0.015, 0.05), site.uniform(0.03, 0.07)
    x, y = width / 2, depth / 2
    parts = [top.on(box_between((-x, -y, height - thick), (x, y, height)))]
    for a in (-x, x - leg):
        parts += [top.on(box_between((a, b, 0), (a + leg, b + leg, height - thick))) for b in (-y, y - leg)]
    site.put("table", parts, np.eye(4))


def _lay(site: Site, width: float, depth: float, height: float) -> None:
    choices = [item for item in site.assets.catalog.furniture if item.category in _SMALL_GROUPS]
    item = site.pick(choices)
    largest = max(item.size_m)
    if largest <= 0 or min(item.size_m) < 0:
        return
    scale = site.uniform(0.85, 1.15)
    if largest > _LARGEST_M:
        scale = site.uniform(0.12, 0.4) / largest
    if item.size_m[2] * scale < _FLAT_M:
        return
    margin = 0.42 if height else 0.5
    x, y = site.uniform(-margin, margin) * width, site.uniform(-margin, margin) * depth
    site.stand(item, x, y, height, site.uniform(0, 2 * np.pi), scale, subject=True)


def surroundings(site: Site, finishes: Finishes, outdoors: bool, half: NDArray[np.float64]) -> list[Lamp]:
    """Ground, and indoors walls, a ceiling, furniture along the walls and lamps; returns the lamps.

    ``half`` (2,): half the size of what must stay free around the origin.
    """
    if outdoors:
        kind = str(site.random.choice([*growing.LAWNS, "paving", "asphalt"]))
        ground = growing.terrain(site.random, 250.0, 20.0, site.uniform(0, 20))
        site.put("ground", [growing.ground_finish(kind, site.random).on(shifted(ground, (0, 0, 0.02)))], np.eye(4))
        for _ in range(int(site.random.integers(0, 25))):
            x, y = site.random.normal(0, 14, 2)
            if np.hypot(x, y) > 3:
                model = growing.tree(site.random)
                site.put("tree", model, turned_pose(x, y, 0, 0), site.uniform(2, 9))
        return []
    low, high = -half - site.random.uniform(0.4, 3.2, 2), half + site.random.uniform(0.4, 3.2, 2)
    ceiling = site.uniform(2.3, 3.2)
    _shell(site, finishes, low, high, ceiling)
    behind = [item for item in site.assets.catalog.furniture if _BACKGROUND.search(item.name)]
    site.taken.append((0.0, 0.0, float(half.max())))
    for _ in range(int(site.random.integers(0, 9)) if behind else 0):
        x, y = site.random.uniform(low + 0.3, high - 0.3)
        site.stand(site.pick(behind), float(x), float(y), 0.0, site.uniform(0, 6.28))
    return [_lamp(site, low, high, ceiling) for _ in range(int(site.random.integers(1, 4)))]


def _shell(site: Site, finishes: Finishes, low: NDArray[np.float64], high: NDArray[np.float64], ceiling: float) -> None:
    (a, b), (c, d) = low, high
    walls = finishes.textured(("wall",)) if site.chance(0.5) else None
    wall = walls or finishes.light_paint()
    sides = [
        box_between((a - 0.1, b, 0), (a, d, ceiling)),
        box_between((c, b, 0), (c + 0.1, d, ceiling)),
        box_between((a, b - 0.1, 0), (c, b, ceiling)),
        box_between((a, d, 0), (c, d + 0.1, ceiling)),
    ]
    floor = finishes.floor().on(box_between((a, b, -0.1), (c, d, 0)))
    top = finishes.light_paint().on(box_between((a, b, ceiling), (c, d, ceiling + 0.1)))
    site.put("shell", [floor, top, *(wall.on(side) for side in sides)], np.eye(4))


def _lamp(site: Site, low: NDArray[np.float64], high: NDArray[np.float64], ceiling: float) -> Lamp:
    """A ball of light, large as a window or small as a bulb."""
    radius = float(np.exp(site.uniform(np.log(0.04), np.log(0.3))))
    x, y = site.random.uniform(low + radius + 0.02, high - radius - 0.02)
    z = site.uniform(1.6, ceiling - radius - 0.02)
    warmth = site.uniform(0, 1)
    tint = np.array([1.0, 1 - 0.3 * warmth, 1 - 0.6 * warmth]) * site.uniform(0.6, 3.0)
    r, g, b = (float(value) for value in tint)
    shining = Material("lamp", (0, 0, 0), emission=tuple(np.minimum(tint / (np.pi * radius**2), 60)))
    site.parts.append(Part("lamp", shifted(shapes.sphere(radius, 24), (x, y, z)), shining))
    return Lamp((float(x), float(y), z), radius, (r, g, b))
