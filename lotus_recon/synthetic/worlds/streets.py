"""Streets and landscapes: tracks of games, and streets of our own with houses, vehicles, trees and people."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.synthetic.rooms.materials import Finishes
from lotus_recon.synthetic.rooms.scene import Material, Room, Shot
from lotus_recon.synthetic.rooms.sky_light import draw_sky
from lotus_recon.synthetic.rooms.solids import Finish, box_between, turned_pose
from lotus_recon.synthetic.surfaces import Surfaces
from lotus_recon.synthetic.worlds import growing
from lotus_recon.synthetic.worlds.assets import (
    ANIMALS,
    PEOPLE,
    STREET,
    VEHICLES,
    bounds_of,
    credit_of,
    outside_model,
    read_outside,
)
from lotus_recon.synthetic.worlds.cameras import Vector, around, draw_shots
from lotus_recon.synthetic.worlds.models import parts_of
from lotus_recon.synthetic.worlds.site import Site

log = logging.getLogger(__name__)

_REACH_M = 420.0
_TRACK_RADIUS_M = 450.0
_TRACK_SHARE = 0.4
_NEAREST_M = 0.7
_TREES_UNIQUE = 5
_WALK_M = 45.0  # how far from the middle of a stretch of track photos are taken


def make_street(site: Site, views: int, size: tuple[int, int]) -> tuple[Room, list[Shot]]:
    """A street, a landscape or a stretch of a track, and shots of it. Raises InputError for one without a view."""
    if site.assets.tracks and site.chance(_TRACK_SHARE):
        spots = _track(site)
    else:
        spots = built_street(site, houses=site.uniform(0, 1) ** 0.7)
    room = site.finished(sky=draw_sky(site.random))
    return room, draw_shots(room, site.random, _Photographer(site, spots), views, size, _NEAREST_M)


class _Photographer:
    """At eye height, from above, or close to something."""

    def __init__(self, site: Site, spots: NDArray[np.float64]) -> None:
        """``spots`` (N, 3): places to stand."""
        self._site, self._spots = site, spots

    def __call__(self, fov: float) -> tuple[Vector, Vector] | None:
        random = self._site.random
        kind = random.random()
        spot = self._spots[int(random.integers(len(self._spots)))]
        if kind < 0.3 and self._site.subjects:
            target, height = self._site.subjects[int(random.integers(len(self._site.subjects)))]
            wide = 2 * np.tan(np.radians(fov) / 2)
            distance = max(height, 0.5) / wide * np.array([0.7, 3.5])
            return around(random, target, (distance[0], distance[1]), (-8, 25)), target
        turn = random.uniform(0, 2 * np.pi)
        if kind < 0.78:
            center = spot + np.array([0, 0, random.uniform(0.5, 2.4)])
            pitch = random.normal(-0.03, 0.1)
        else:
            center = spot + np.array([0, 0, np.exp(random.uniform(np.log(4), np.log(60)))])
            pitch = -random.uniform(0.15, 1.1)
        way = np.array([np.cos(turn) * np.cos(pitch), np.sin(turn) * np.cos(pitch), np.sin(pitch)])
        return center, center + way


def _track(site: Site) -> NDArray[np.float64]:
    """A stretch of a track with things put on it; returns places to stand (N, 3)."""
    path = site.assets.tracks[int(site.random.integers(len(site.assets.tracks)))]
    model = read_outside(path)
    points = np.concatenate([surface.points for surface in model.surfaces])
    level = np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0])
    area = np.linalg.norm(level, axis=1)
    walkable = np.flatnonzero((np.abs(level[:, 2]) > 0.97 * area) & (area > 0.5) & (area < 400))
    if not len(walkable):
        raise InputError(f"{path} has no level ground")
    middle = points[int(site.random.choice(walkable))].mean(0).astype(np.float64)
    near = walkable[np.linalg.norm(points[walkable].mean(1)[:, :2] - middle[:2], axis=1) < _WALK_M]
    site.credits.append(credit_of(path))
    site.put("track", parts_of(model, (middle, _TRACK_RADIUS_M)), np.eye(4))
    ground = Surfaces([part.mesh for part in site.parts], threads=1)
    spots = _dropped(ground, points[site.random.choice(near, 300)].mean(1) + site.random.normal(0, 2, (300, 3)))
    if len(spots) < 20:
        raise InputError(f"{path}: no ground below")
    for x, y, z in spots[: int(site.random.integers(10, 60))]:
        _stand_any(site, x, y, z)
    _plant(site, spots[100 : 100 + int(site.random.integers(0, 40))])
    return spots


def _dropped(ground: Surfaces, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where points (N, 3) land on the ground, from 30 m above."""
    down = np.tile([0.0, 0.0, -1.0], (len(points), 1))
    return ground.cast(points + np.array([0, 0, 30.0]), down).points


def _stand_any(site: Site, x: float, y: float, z: float) -> None:
    """A vehicle, a thing of the street, a person or an animal."""
    pattern = (VEHICLES, STREET, PEOPLE, ANIMALS)[int(site.random.choice(4, p=[0.35, 0.3, 0.28, 0.07]))]
    choices = site.assets.named(pattern)
    turn = site.uniform(0, 2 * np.pi)
    if choices:
        site.stand(site.pick(choices), x, y, z, turn, site.uniform(0.9, 1.1), subject=True)


def _stand_outside(site: Site, path: Path, x: float, y: float, turn: float) -> bool:
    """A model of a game on level ground; returns whether there was space for it and it could be read."""
    try:
        model = outside_model(path)
    except InputError as error:
        log.info("left out: %s", error)
        return False
    low, high = bounds_of(model)
    radius = float(np.hypot(*(high - low)[:2])) / 2
    if radius > 45 or high[2] - low[2] > 90 or not site.is_free(x, y, 0.7 * radius):
        return False
    centered = np.eye(4)
    centered[:3, 3] = [*-(low + high)[:2] / 2, -low[2]]
    site.put(path.stem, model, turned_pose(x, y, 0.0, turn) @ centered)
    site.credits.append(credit_of(path))
    site.taken.append((x, y, 0.7 * radius))
    return True


def built_street(site: Site, houses: float) -> NDArray[np.float64]:
    """A street along x on hilly ground, ``houses`` of its sides built over; returns places to stand (N, 3)."""
    random = site.random
    half = site.uniform(2.5, 6.0)
    pavement = site.uniform(1.2, 4.0) if houses > 0.3 or site.chance(0.5) else 0.0
    ground = growing.terrain(random, _REACH_M, half + pavement + 16, site.uniform(0, 30) * site.chance(0.8))
    lawn = growing.ground_finish(str(random.choice(growing.LAWNS)), random)
    site.put("ground", [lawn.on(ground)], np.eye(4))
    if houses > 0.05 or site.chance(0.6):
        _pave(site, half, pavement)
    _houses(site, half + pavement, houses)
    for _ in range(int(random.integers(10, 45))):
        side = 1 if site.chance(0.5) else -1
        _stand_any(site, float(random.normal(0, 28)), side * site.uniform(half - 1.5, half + pavement + 3), 0.0)
    count = int(random.integers(5, 80))
    x, y = random.normal(0, 70, count), random.normal(0, 1, count) * 60
    outside = np.abs(y) > half + pavement + 1
    _plant(
        site, np.array([[a, b, growing.on_ground(ground, a, b)] for a, b in zip(x[outside], y[outside], strict=True)])
    )
    spots_x, spots_y = random.normal(0, 30, 200), random.normal(0, 1, 200) * (half + pavement)
    return np.stack(
        [spots_x, spots_y, np.array([growing.on_ground(ground, *p) for p in zip(spots_x, spots_y, strict=True)])],
        axis=1,
    )


def _pave(site: Site, half: float, pavement: float) -> None:
    asphalt, stone = growing.ground_finish("asphalt", site.random), growing.ground_finish("paving", site.random)
    road = [asphalt.on(box_between((-_REACH_M, -half, -0.2), (_REACH_M, half, 0.0)))]
    if pavement:
        for low, high in ((-half - pavement, -half), (half, half + pavement)):
            road.append(stone.on(box_between((-_REACH_M, low, -0.2), (_REACH_M, high, 0.12))))
    if site.chance(0.7):
        paint = Finish(Material("paint", (0.7, 0.7, 0.66)))
        gap, dash = site.uniform(3, 9), site.uniform(1.5, 4)
        for x in np.arange(-150, 150, gap + dash):
            road.append(paint.on(box_between((x, -0.07, -0.1), (x + dash, 0.07, 0.004))))
    site.put("road", road, np.eye(4))


def _houses(site: Site, edge: float, share: float) -> None:
    finishes = Finishes(site.assets.catalog, site.random)
    far = site.uniform(0, 9)
    floors = int(site.random.integers(1, 7))
    for side in (-1, 1):
        x = -site.uniform(90, 160)
        while x < 150:
            width = site.uniform(7, 22)
            if site.chance(share):
                _house(site, finishes, x + width / 2, side, edge + site.uniform(0, 1) + far, width, floors)
            x += width + (0.0 if site.chance(0.5 * share) else site.uniform(0.5, 14))
    site.credits += finishes.credits


def _house(site: Site, finishes: Finishes, x: float, side: int, edge: float, width: float, floors: int) -> None:
    turn = 0.0 if side > 0 else np.pi
    if site.assets.buildings and site.chance(0.45):
        path = site.assets.buildings[int(site.random.integers(len(site.assets.buildings)))]
        if _stand_outside(site, path, x, side * (edge + 14), turn + site.random.choice([0, np.pi / 2, np.pi])):
            return
    depth = site.uniform(7, 14)
    walls = finishes.textured(("wall",)) if site.chance(0.6) else None
    roof = growing.ground_finish("gravel", site.random) if site.chance(0.5) else finishes.any_paint()
    stories = max(1, floors + int(site.random.integers(-1, 2)))
    model = growing.building(site.random, walls or finishes.light_paint(), roof, width, depth, stories)
    site.put("house", model, turned_pose(x, side * (edge + depth / 2), 0.0, turn))
    site.taken.append((x, side * (edge + depth / 2), min(width, depth) / 2))


def _plant(site: Site, spots: NDArray[np.float64]) -> None:
    """Trees of a few shapes."""
    shapes = [growing.tree(site.random) for _ in range(_TREES_UNIQUE)]
    for x, y, z in spots:
        if site.is_free(x, y, 0.8):
            height = site.uniform(2.5, 10)
            kind = shapes[int(site.random.integers(len(shapes)))]
            site.put("tree", kind, turned_pose(x, y, z - 0.05, site.uniform(0, 6.28)), height)
            site.taken.append((x, y, 0.5))
