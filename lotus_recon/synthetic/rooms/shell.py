"""The empty room: its plan drawn at random, and floor, walls, ceiling, doors and windows built after it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from lotus_recon.geometry.pose import transform
from lotus_recon.io.srgb import linear_of_bytes
from lotus_recon.synthetic.rooms.catalog import ModelPart
from lotus_recon.synthetic.rooms.materials import Palette
from lotus_recon.synthetic.rooms.openings import (
    SUN_DISTANCE_M,
    SUN_RADIUS_M,
    Outdoors,
    door_parts,
    draw_window_style,
    sky_parts,
    sun_center,
    window_parts,
)
from lotus_recon.synthetic.rooms.plan import Ceiling, Opening, Plan, Rect, Wall
from lotus_recon.synthetic.rooms.scene import Lamp, Part
from lotus_recon.synthetic.rooms.solids import Finish, box_between, placed_parts, quad
from lotus_recon.synthetic.shapes import joined
from lotus_recon.types import FloatArray, Mesh

_CORNER_M = 0.25  # wall that stays beside an opening
_SKIRTING_M = 0.014  # how far a skirting board stands out


@dataclass(frozen=True)
class RoomKind:
    """What a sort of room is like before it is furnished."""

    name: str
    share: float  # of all rooms
    width_m: tuple[float, float]
    depth_m: tuple[float, float]
    windows: float  # mean number
    sloped: float = 0.08  # chance of a sloped ceiling
    wet: bool = False


KINDS = (
    RoomKind("living", 0.2, (3.3, 7.0), (3.4, 8.0), 2.0, 0.1),
    RoomKind("bedroom", 0.14, (2.6, 5.0), (2.8, 5.5), 1.4, 0.25),
    RoomKind("office", 0.16, (2.6, 6.5), (2.8, 8.0), 1.6),
    RoomKind("kitchen", 0.13, (2.2, 5.0), (2.6, 6.0), 1.3),
    RoomKind("dining", 0.08, (2.8, 6.0), (3.0, 6.5), 1.6),
    RoomKind("bathroom", 0.06, (1.8, 3.2), (2.2, 4.0), 0.7, 0.15, wet=True),
    RoomKind("children", 0.06, (2.5, 4.6), (2.8, 5.0), 1.3, 0.25),
    RoomKind("storage", 0.09, (2.2, 6.5), (2.6, 8.0), 0.7, 0.15),
    RoomKind("corridor", 0.03, (1.4, 2.4), (3.5, 9.0), 0.5, 0.0),
    RoomKind("meeting", 0.05, (3.5, 9.0), (4.0, 7.0), 2.2, 0.0),
)


def draw_kind(random: np.random.Generator) -> RoomKind:
    """A kind of room, by its share."""
    shares = np.array([kind.share for kind in KINDS])
    return KINDS[int(random.choice(len(KINDS), p=shares / shares.sum()))]


def draw_plan(kind: RoomKind, random: np.random.Generator) -> Plan:
    """Shape, ceiling, doors and windows of a room."""
    width, depth = float(random.uniform(*kind.width_m)), float(random.uniform(*kind.depth_m))
    if random.random() < 0.5:
        width, depth = depth, width
    ceiling = _draw_ceiling(width, depth, kind, random)
    plan = Plan(width, depth, ceiling, tuple(_draw_cuts(width, depth, random)))
    doors = 1 + int(random.random() < (0.6 if kind.name == "corridor" else 0.2))
    plan = _with_openings(plan, "door", doors, random)
    windows = int(random.poisson(kind.windows)) if kind.windows < 1 else max(1, int(random.poisson(kind.windows)))
    return _with_openings(plan, "window", min(windows, 5), random)


def _draw_ceiling(width: float, depth: float, kind: RoomKind, random: np.random.Generator) -> Ceiling:
    height = float(np.clip(random.normal(2.6, 0.25), 2.3, 3.6))
    if random.random() > kind.sloped:
        return Ceiling(0, (0.0,), (height,))
    axis = int(random.integers(2))
    length = (width, depth)[axis]
    low, high = float(random.uniform(1.5, 2.1)), float(random.uniform(2.5, 3.6))
    if random.random() < 0.4:  # a gable
        ridge = length * float(random.uniform(0.4, 0.6))
        return Ceiling(axis, (0.0, ridge, length), (low, high, low))
    eaves = length * float(random.uniform(0.35, 0.9))  # sloped over a part of the room, flat over the rest
    return Ceiling(axis, (0.0, eaves, length), (low, height, height))


def _draw_cuts(width: float, depth: float, random: np.random.Generator) -> Iterator[Rect]:
    """Pieces that are not part of the room: a missing corner, a chimney breast, columns."""
    shape = random.random()
    if min(width, depth) > 3.2 and shape < 0.2:  # L-shape
        w, d = width * float(random.uniform(0.25, 0.5)), depth * float(random.uniform(0.25, 0.5))
        yield _in_corner(width, depth, w, d, int(random.integers(4)))
    elif min(width, depth) > 2.8 and shape < 0.35:  # a chimney breast or a shaft: it leaves alcoves beside it
        w, d = float(random.uniform(0.6, 1.4)), float(random.uniform(0.25, 0.6))
        along = float(random.uniform(0.15, 0.85)) * (width - w)
        y = 0.0 if random.random() < 0.5 else depth - d
        yield (along, y, along + w, y + d)
    elif shape < 0.42:
        side = float(random.uniform(0.25, 0.6))
        yield _in_corner(width, depth, side, side, int(random.integers(4)))
    if min(width, depth) > 4.5 and random.random() < 0.3:  # a free-standing column
        side = float(random.uniform(0.25, 0.5))
        x, y = width * float(random.uniform(0.3, 0.7)), depth * float(random.uniform(0.3, 0.7))
        yield (x, y, x + side, y + side)


def _in_corner(width: float, depth: float, w: float, d: float, corner: int) -> Rect:
    x0, y0 = (0.0, width - w)[corner % 2], (0.0, depth - d)[corner // 2]
    return (x0, y0, x0 + w, y0 + d)


def _with_openings(plan: Plan, kind: str, count: int, random: np.random.Generator) -> Plan:
    """The plan with up to ``count`` more openings where they fit; windows gather on one or two walls."""
    walls = [i for i, wall in enumerate(plan.walls) if plan.is_outer(wall) and wall.length > 0.9]
    if kind == "window":
        sunny = [int(i) for i in random.permutation(walls)[: 1 + int(random.random() < 0.4)]]
        walls = sunny or walls
    style = _draw_window(random)
    for _ in range(count):
        for _ in range(6):
            opening = _draw_opening(plan, kind, style, int(random.choice(walls)), random)
            if opening is not None:
                plan = replace(plan, openings=(*plan.openings, opening))
                break
    return plan


def _draw_window(random: np.random.Generator) -> tuple[float, float, float]:
    """Width, bottom, height: the windows of a room are alike."""
    kind = random.random()
    if kind < 0.2:  # down to the floor
        return float(random.uniform(0.9, 2.6)), 0.05, float(random.uniform(2.0, 2.25))
    if kind < 0.35:  # a band
        return float(random.uniform(1.6, 3.2)), float(random.uniform(0.8, 1.1)), float(random.uniform(1.0, 1.4))
    if kind < 0.45:  # small and high
        return float(random.uniform(0.5, 1.0)), float(random.uniform(1.2, 1.5)), float(random.uniform(0.4, 0.7))
    return float(random.uniform(0.7, 1.7)), float(random.uniform(0.7, 1.0)), float(random.uniform(1.0, 1.5))


def _draw_opening(
    plan: Plan, kind: str, window: tuple[float, float, float], wall: int, random: np.random.Generator
) -> Opening | None:
    if kind == "door":
        width, bottom, height = float(random.uniform(0.72, 0.95)), 0.0, float(random.uniform(1.95, 2.12))
    else:
        width, bottom, height = window
    length = plan.walls[wall].length
    width = min(width, length - 2 * _CORNER_M)
    if width < 0.45 or (kind == "door" and width < 0.7):
        return None
    start = float(random.uniform(_CORNER_M, length - width - _CORNER_M))
    free = all(start > other.end + 0.2 or start + width < other.start - 0.2 for other in plan.openings_of(wall))
    ends = [plan.walls[wall].point(start + share * width, 0.0) for share in (0.0, 0.5, 1.0)]
    headroom = min(plan.ceiling.at(*end) for end in ends) - 0.08
    if not free or headroom < bottom + (height if kind == "door" else 0.4):
        return None
    return Opening(kind, wall, start, width, bottom, min(height, headroom - bottom))


@dataclass(frozen=True, eq=False)
class Shell:
    """The built empty room."""

    parts: tuple[Part, ...]
    daylight: tuple[Lamp, ...]  # the light that windows let in
    suns: tuple[Lamp, ...]  # one behind each window, if the sun shines
    sills: tuple[Opening, ...]  # windows with room for things on the board below


def build_shell(plan: Plan, palette: Palette, outdoors: Outdoors, hall: Finish, random: np.random.Generator) -> Shell:
    """Everything of the empty room. ``hall`` is what the walls behind an open door look like."""
    parts = [*_named("floor", palette.floor.on(_floor(plan))), *_named("ceiling", palette.ceiling.on(_ceiling(plan)))]
    accent = int(random.integers(len(plan.walls)))
    for i, wall in enumerate(plan.walls):
        finish = palette.accent_wall if i == accent else palette.wall
        parts += placed_parts("wall", [finish.on(_wall(plan, i))], wall.world_from_wall)
    if random.random() < 0.8:
        parts += _skirting(plan, palette, float(random.uniform(0.05, 0.14)))
    if len(set(plan.ceiling.heights)) == 1 and random.random() < 0.08:
        parts += _named("beam", palette.wood.on(_beams(plan, random)))
    daylight: list[Lamp] = []
    suns: list[Lamp] = []
    style = draw_window_style(random)
    for opening in plan.openings:
        pose = plan.walls[opening.wall].world_from_wall
        if opening.kind == "door":
            angle = float(random.uniform(0.9, 1.9)) if random.random() < 0.3 else 0.0
            for name, part in door_parts(opening, palette, hall, angle, random):
                parts += placed_parts(name, [part], pose)
        else:
            for name, part in window_parts(opening, style, palette, random):
                parts += placed_parts(name, [part], pose)
            for part in sky_parts(opening, style.reveal_m, outdoors):
                parts += [replace(placed, is_sky=True) for placed in placed_parts("sky", [part], pose)]
            daylight.append(_daylight(opening, outdoors, pose))
            if outdoors.sun is not None:
                intensity = SUN_DISTANCE_M**2 * np.array(outdoors.sun)
                suns.append(_lamp(sun_center(opening, style.reveal_m, outdoors), SUN_RADIUS_M, intensity, pose))
    sills = tuple(o for o in plan.openings if o.kind == "window" and o.bottom > 0.3)
    return Shell(tuple(parts), tuple(daylight), tuple(suns), sills)


def _named(name: str, part: ModelPart) -> list[Part]:
    return placed_parts(name, [part], np.eye(4))


def _daylight(opening: Opening, outdoors: Outdoors, pose: FloatArray) -> Lamp:
    """A window as a ball of light just inside of it."""
    area = opening.width * opening.height
    mean = linear_of_bytes(outdoors.bitmap).mean((0, 1))
    middle = np.array([(opening.start + opening.end) / 2, -0.06, (opening.bottom + opening.top) / 2])
    return _lamp(middle, 0.3 * min(opening.width, opening.height), area * mean * outdoors.radiance, pose)


def _lamp(center_in_wall: FloatArray, radius: float, intensity: FloatArray, world_from_wall: FloatArray) -> Lamp:
    x, y, z = (float(v) for v in transform(world_from_wall, center_in_wall))
    r, g, b = (float(v) for v in intensity)
    return Lamp((x, y, z), radius, (r, g, b))


def _floor(plan: Plan) -> Mesh:
    rects = [[[x0, y0, 0], [x1, y0, 0], [x1, y1, 0], [x0, y1, 0]] for x0, y0, x1, y1 in plan.cells]
    return joined([quad(np.array(rect, np.float64)) for rect in rects])


def _ceiling(plan: Plan) -> Mesh:
    rects = [[(x0, y0), (x0, y1), (x1, y1), (x1, y0)] for x0, y0, x1, y1 in plan.cells]
    return joined([quad(np.array([[x, y, plan.ceiling.at(x, y)] for x, y in rect])) for rect in rects])


def _wall(plan: Plan, index: int) -> Mesh:
    """A wall in its own axes, without its openings, up to the ceiling."""
    wall = plan.walls[index]
    openings = plan.openings_of(index)
    knots = [abs(knot - wall.start[plan.ceiling.axis]) for knot in _knots_between(plan, wall)]
    xs = sorted({0.0, wall.length, *knots, *(o.start for o in openings), *(o.end for o in openings)})
    quads = []
    for a, b in itertools.pairwise(xs):
        holes = [(o.bottom, o.top) for o in openings if o.start <= a and b <= o.end]
        tops = [plan.ceiling.at(*wall.point(x, 0.0)) for x in (a, b)]
        for (z0a, z0b), (z1a, z1b) in _between_holes(holes, tops):
            if max(z1a - z0a, z1b - z0b) > 1e-6:
                quads.append(quad(np.array([[a, 0, z0a], [b, 0, z0b], [b, 0, z1b], [a, 0, z1a]])))
    return joined(quads)


def _knots_between(plan: Plan, wall: Wall) -> list[float]:
    axis = plan.ceiling.axis
    low, high = sorted((wall.start[axis], wall.end[axis]))
    return [knot for knot in plan.ceiling.knots if low < knot < high]


def _between_holes(
    holes: list[tuple[float, float]], tops: list[float]
) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    """Lower and upper ends (left, right) of the pieces of a strip of wall."""
    below = 0.0
    for bottom, top in sorted(holes):
        yield (below, below), (bottom, bottom)
        below = top
    yield (below, below), (tops[0], tops[1])


def _skirting(plan: Plan, palette: Palette, height: float) -> list[Part]:
    parts = []
    for i, wall in enumerate(plan.walls):
        doors = sorted((o.start - 0.07, o.end + 0.07) for o in plan.openings_of(i) if o.bottom < height)
        edges = [0.0, *(edge for door in doors for edge in door), wall.length]
        for a, b in zip(edges[0::2], edges[1::2], strict=True):
            if b - a > 0.02:
                board = box_between((a, -_SKIRTING_M, 0.0), (b, 0.0, height))
                parts += placed_parts("skirting", [palette.trim.on(board)], wall.world_from_wall)
    return parts


def _beams(plan: Plan, random: np.random.Generator) -> Mesh:
    side, height = float(random.uniform(0.1, 0.2)), plan.ceiling.heights[0]
    xs = np.arange(random.uniform(0.3, 0.8), plan.width - side, random.uniform(0.6, 1.2))
    return joined([box_between((x, 0, height - side), (x + side, plan.depth, height)) for x in xs])
