"""Designs of simple furniture: boxes, cylinders and turned shapes, drawn at random between sensible sizes.

Axes as in the catalog: standing on z = 0, back towards +y; metres.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from lotus_recon.synthetic.rooms.solids import box_between, shifted
from lotus_recon.synthetic.shapes import cylinder, lathe, rounded_box, sphere
from lotus_recon.types import FloatArray, Mesh

Random = np.random.Generator
Piece = tuple[Mesh, str]  # a surface, and what it is made of: a key of procedural.STUFFS
Design = Callable[[Random], list[Piece]]


def _slab(width: float, depth: float, z: float, thickness: float, stuff: str) -> Piece:
    return rounded_box((-width / 2, -depth / 2, z), (width / 2, depth / 2, z + thickness), 0.01), stuff


def _legs(width: float, depth: float, height: float, thick: float, stuff: str, round_: bool) -> list[Piece]:
    x, y = width / 2 - thick, depth / 2 - thick
    corners = [(sx * x, sy * y) for sx in (-1, 1) for sy in (-1, 1)]
    if round_:
        return [(shifted(cylinder(thick / 2, height, 24), (cx, cy, 0)), stuff) for cx, cy in corners]
    t = thick / 2
    return [(box_between((cx - t, cy - t, 0), (cx + t, cy + t, height)), stuff) for cx, cy in corners]


def _table(low: tuple[float, float, float], high: tuple[float, float, float], round_share: float = 0.2) -> Design:
    """Tables between two sizes (width, depth, height): on four legs, or round on a foot."""

    def design(random: Random) -> list[Piece]:
        width, depth, height = random.uniform(low, high)
        stuff, under = random.choice(["wood", "wood", "paint"]), random.choice(["wood", "metal", "paint"])
        thickness = random.uniform(0.02, 0.05)
        if random.random() < round_share:
            top = shifted(cylinder(depth / 2, thickness, 48), (0, 0, height - thickness))
            foot = lathe(
                np.array([[0.5 * depth / 2, 0], [0.04, 0.06], [0.03, height / 2], [0.05, height - thickness]]), 32
            )
            return [(top, stuff), (foot, under)]
        legs = _legs(width, depth, height - thickness, random.uniform(0.03, 0.08), under, bool(random.random() < 0.4))
        return [_slab(width, depth, height - thickness, thickness, stuff), *legs]

    return design


def _chair(seat_height: tuple[float, float], back: bool) -> Design:
    def design(random: Random) -> list[Piece]:
        w, d = random.uniform((0.38, 0.38), (0.48, 0.46))
        seat, thick = random.uniform(*seat_height), random.uniform(0.025, 0.07)
        stuff = str(random.choice(["wood", "cloth", "paint"]))
        legs = str(random.choice(["wood", "metal", "paint"]))
        leg = random.uniform(0.02, 0.045)
        pieces = [_slab(w, d, seat - thick, thick, stuff)]
        pieces += _legs(w, d, seat - thick, leg, legs, bool(random.random() < 0.5))
        if back:
            top = seat + random.uniform(0.35, 0.55)
            for x in (-w / 2 + leg, w / 2 - leg):
                pieces.append((box_between((x - leg / 2, d / 2 - leg, seat), (x + leg / 2, d / 2, top - 0.05)), legs))
            bottom = random.choice([seat + 0.03, top - 0.2])
            pieces.append((rounded_box((-w / 2, d / 2 - leg - 0.02, bottom), (w / 2, d / 2 - 0.01, top), 0.02), stuff))
        return pieces

    return design


def _seat(width: tuple[float, float]) -> Design:
    """Armchairs and sofas of cushions."""

    def design(random: Random) -> list[Piece]:
        w, d = random.uniform(*width), random.uniform(0.75, 0.95)
        seat, back = random.uniform(0.38, 0.46), random.uniform(0.75, 0.95)
        arm, arm_top = random.uniform(0.1, 0.22), random.uniform(0.52, 0.68)
        foot, r = random.uniform(0.04, 0.12), random.uniform(0.03, 0.08)
        x, y = w / 2, d / 2
        inner = w - 2 * arm
        count = max(round(inner / 0.75), 1)
        edges = np.linspace(-inner / 2, inner / 2, count + 1)
        pieces: list[Piece] = [
            (rounded_box((-x, -y, foot), (x, y, seat - 0.14), r), "cloth"),
            (rounded_box((-x, -y, foot), (-x + arm, y, arm_top), r), "cloth"),
            (rounded_box((x - arm, -y, foot), (x, y, arm_top), r), "cloth"),
            (rounded_box((-x + arm, y - 0.2, foot), (x - arm, y, back - 0.08), r), "cloth"),
        ]
        for left, right in pairwise(edges):
            pieces.append((rounded_box((left, -y, seat - 0.16), (right, y - 0.18, seat), 0.06), "cloth"))
            pieces.append((rounded_box((left, y - 0.36, seat - 0.01), (right, y - 0.16, back), 0.08), "cloth"))
        return pieces + _legs(w - 0.1, d - 0.1, foot + 0.02, 0.05, str(random.choice(["wood", "metal"])), True)

    return design


def _bed(random: Random) -> list[Piece]:
    w, d = float(random.choice([0.9, 1.2, 1.4, 1.6, 1.8])), random.uniform(2.0, 2.15)
    base, top = random.uniform(0.18, 0.3), random.uniform(0.42, 0.58)
    head = random.uniform(0.75, 1.2)
    x, y = w / 2 + 0.04, d / 2
    frame = str(random.choice(["wood", "paint", "cloth"]))
    pieces: list[Piece] = [
        (box_between((-x, -y, 0.08), (x, y, base)), frame),
        (rounded_box((-x, y, 0), (x, y + random.uniform(0.04, 0.12), head), 0.02), frame),
        (rounded_box((-w / 2, -y + 0.03, base), (w / 2, y, top), 0.06), "linen"),
        (rounded_box((-x - 0.02, -y + 0.02, base + 0.05), (x + 0.02, y - 0.55, top + 0.07), 0.07), "cloth"),
    ]
    count = 1 if w < 1.3 else 2
    for i in range(count):
        center = (i - (count - 1) / 2) * w / 2
        pieces.append((rounded_box((center - 0.3, y - 0.45, top), (center + 0.3, y - 0.06, top + 0.14), 0.07), "linen"))
    return pieces + _legs(w, d, 0.08, 0.06, frame, False)


def _carcass(low: tuple[float, float, float], high: tuple[float, float, float], fronts: str, foot_m: float) -> Design:
    """Boxes along a wall between two sizes; ``fronts``: open boards, drawers, doors, or any of them."""

    def design(random: Random) -> list[Piece]:
        w, d, h = random.uniform(low, high)
        kind = str(random.choice(["open", "drawers", "doors"])) if fronts == "any" else fronts
        stuff = str(random.choice(["wood", "paint", "white"]))
        x, y, t = w / 2, d / 2, 0.02
        columns, rows = max(round(w / random.uniform(0.4, 0.8)), 1), max(round((h - foot_m) / 0.33), 1)
        if kind != "open":
            rows = max(round((h - foot_m) / 0.22), 1) if kind == "drawers" else 1
            pieces = [(box_between((-x, -y + t, foot_m), (x, y, h)), stuff)]
            return pieces + _fronts(w, h, -y, foot_m, columns, rows, str(random.choice([stuff, "paint", "wood"])))
        pieces = [(box_between((-x, y - 0.01, foot_m), (x, y, h)), stuff)]
        for edge in np.linspace(-x, x - t, columns + 1):
            pieces.append((box_between((edge, -y, foot_m), (edge + t, y - 0.01, h)), stuff))
        levels = np.linspace(foot_m, h - t, rows + 1)
        pieces += [(box_between((-x + t, -y, z), (x - t, y - 0.01, z + t)), stuff) for z in levels]
        return pieces + (_books(random, w, levels, -y) if h > 0.6 else [])

    return design


def _fronts(w: float, h: float, front: float, foot: float, columns: int, rows: int, stuff: str) -> list[Piece]:
    """Doors or drawers with knobs on the face at y = front."""
    xs, zs = np.linspace(-w / 2, w / 2, columns + 1), np.linspace(foot, h, rows + 1)
    pieces: list[Piece] = []
    for left, right in pairwise(xs):
        for low, high in pairwise(zs):
            panel = rounded_box((left + 0.003, front, low + 0.003), (right - 0.003, front + 0.019, high - 0.003), 0.004)
            knob = shifted(sphere(0.014, 16), ((left + right) / 2, front - 0.014, high - min(0.1, (high - low) / 2)))
            pieces += [(panel, stuff), (knob, "metal")]
    return pieces


def _books(random: Random, width: float, levels: FloatArray, front: float) -> list[Piece]:
    pieces: list[Piece] = []
    for low, high in pairwise(levels):
        x = -width / 2 + 0.03
        end = x + random.uniform(0, width - 0.1)
        while x < end:
            t, tall = random.uniform(0.015, 0.05), random.uniform(0.5, 0.85) * (high - low)
            book = box_between(
                (x, front + random.uniform(0.02, 0.06), low + 0.02), (x + t, front + 0.2, low + 0.02 + tall)
            )
            pieces.append((book, str(random.choice(["paint", "thing", "cloth"]))))
            x += t + 0.001
    return pieces


def _basin(random: Random) -> list[Piece]:
    w, d = random.uniform((0.5, 0.4), (0.7, 0.5))
    profile = np.array(
        [[0.001, 0.6], [0.3 * d, 0.62], [0.48 * d, 0.84], [0.5 * d, 0.85], [0.44 * d, 0.84], [0.25 * d, 0.7]]
    )
    bowl = lathe(profile, 48, 48)
    wide = Mesh(bowl.vertices * np.array([w / d, 1, 1], np.float32), bowl.triangles, normals=bowl.normals)
    column = lathe(np.array([[0.11, 0], [0.08, 0.3], [0.1, 0.62]]), 32, 16)
    tap = box_between((-0.015, 0.1, 0.84), (0.015, 0.22, 0.95))
    return [(wide, "white"), (column, "white"), (tap, "metal")]


def _toilet(random: Random) -> list[Piece]:
    tall = random.uniform(0.72, 0.85)
    bowl = lathe(np.array([[0.11, 0], [0.1, 0.15], [0.19, 0.38], [0.19, 0.41], [0.001, 0.42]]), 48, 32)
    tank = rounded_box((-0.19, 0.15, 0.38), (0.19, 0.35, tall), 0.03)
    return [(bowl, "white"), (tank, "white"), (box_between((-0.09, 0.05, 0), (0.09, 0.33, 0.4)), "white")]


def _bath(random: Random) -> list[Piece]:
    w, d, h = random.uniform((1.5, 0.7, 0.5), (1.8, 0.85, 0.6))
    x, y, t = w / 2, d / 2, 0.05
    walls = [((-x, -y, 0.0), (x, -y + t, h)), ((-x, y - t, 0.0), (x, y, h))]
    walls += [
        ((-x, -y + t, 0.0), (-x + t, y - t, h)),
        ((x - t, -y + t, 0.0), (x, y - t, h)),
        ((-x, -y, 0.0), (x, y, 0.12)),
    ]
    return [(rounded_box(*wall, 0.02), "white") for wall in walls]


def _piano(random: Random) -> list[Piece]:
    h = random.uniform(1.1, 1.3)
    body = box_between((-0.72, 0.0, 0), (0.72, 0.3, h))
    keys = box_between((-0.72, -0.25, 0.6), (0.72, 0.0, 0.72))
    white = box_between((-0.62, -0.2, 0.72), (0.62, -0.03, 0.735))
    return [(body, "paint"), (keys, "paint"), (white, "white"), *_legs(1.44, 0.5, 0.6, 0.06, "paint", False)]


# The group of the catalog, and how to draw one of it.
FURNITURE: tuple[tuple[str, Design], ...] = (
    ("bed", _bed),
    ("bedside", _carcass((0.4, 0.35, 0.4), (0.55, 0.45, 0.6), "any", 0.06)),
    ("sofa", _seat((1.4, 2.6))),
    ("armchair", _seat((0.75, 1.0))),
    ("chair", _chair((0.43, 0.48), True)),
    ("stool", _chair((0.44, 0.75), False)),
    ("bench", _table((0.9, 0.3, 0.42), (1.6, 0.45, 0.48), 0.0)),
    ("table", _table((1.0, 0.75, 0.72), (2.2, 1.1, 0.78))),
    ("coffee_table", _table((0.7, 0.45, 0.3), (1.3, 0.75, 0.5))),
    ("desk", _table((1.1, 0.6, 0.71), (1.8, 0.85, 0.76), 0.0)),
    ("wardrobe", _carcass((0.9, 0.5, 1.7), (2.4, 0.65, 2.3), "doors", 0.05)),
    ("shelf", _carcass((0.5, 0.25, 0.8), (1.8, 0.38, 2.2), "open", 0.04)),
    ("cabinet", _carcass((0.8, 0.38, 0.7), (1.8, 0.55, 1.3), "any", 0.08)),
    ("tv_unit", _carcass((1.0, 0.38, 0.35), (1.8, 0.5, 0.6), "any", 0.06)),
    ("kitchen", _carcass((0.5, 0.58, 0.85), (1.2, 0.64, 0.92), "any", 0.1)),
    ("kitchen_wall", _carcass((0.5, 0.32, 0.55), (1.2, 0.38, 0.8), "doors", 0.0)),
    ("appliance", _carcass((0.58, 0.58, 0.85), (0.62, 0.66, 2.0), "doors", 0.03)),
    ("bathroom", _basin),
    ("bathroom", _toilet),
    ("bathroom", _bath),
    ("large_thing", _piano),
)
