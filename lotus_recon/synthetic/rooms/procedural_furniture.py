"""Designs of simple furniture: boxes, cylinders and turned shapes, drawn at random between sensible sizes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from lotus_recon.geometry.normals import normalized
from lotus_recon.synthetic.rooms.solids import box_between, shifted
from lotus_recon.synthetic.shapes import cylinder, from_grid, lathe, rounded_box, sphere
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


def _vase(random: Random) -> list[Piece]:
    h, r = random.uniform(0.1, 0.4), random.uniform(0.03, 0.1)
    profile = [[0.6 * r, 0], *[[r * random.uniform(0.4, 1.2), h * k / 4] for k in range(1, 4)], [0.5 * r, h]]
    return [(lathe(np.array([[0.001, 0], *profile]), 40, 40), str(random.choice(["clay", "thing", "metal"])))]


def _plant(random: Random) -> list[Piece]:
    h = random.uniform(0.3, 1.6)
    r = 0.09 + 0.1 * h
    pot = lathe(
        np.array([[0.001, 0], [0.7 * r, 0.001], [r, 0.3 * h], [0.9 * r, 0.3 * h], [0.85 * r, 0.27 * h]]), 32, 32
    )
    pieces: list[Piece] = [(pot, "clay"), (shifted(cylinder(0.87 * r, 0.01, 32), (0, 0, 0.26 * h)), "soil")]
    for _ in range(int(random.integers(14, 40))):
        pieces.append((_leaf(random, h), "leaf"))
    return pieces


def _leaf(random: Random, height: float) -> Mesh:
    """A bent blade that grows out of the pot."""
    t = np.linspace(0, 1, 8)
    angle, lean = random.uniform(0, 2 * np.pi), random.uniform(0.1, 0.6)
    length = height * random.uniform(0.4, 0.72)
    out = length * lean * t**1.5
    up = 0.26 * height + length * (t - lean * t**2 * 0.6)
    half = length * random.uniform(0.03, 0.1) * np.sin(np.pi * np.clip(t * 0.93 + 0.05, 0, 1))
    middle = np.stack([out * np.cos(angle), out * np.sin(angle), up], -1)
    side = np.array([-np.sin(angle), np.cos(angle), 0.0])
    grid = middle[:, None] + np.array([-1.0, 0.0, 1.0])[None, :, None] * half[:, None, None] * side
    grid[:, 1, 2] -= 0.3 * half
    normal = normalized(np.cross(np.gradient(middle, axis=0), side))
    return from_grid(grid, np.repeat(normal[:, None], 3, axis=1))


def _lamp(kind: str) -> Design:
    def design(random: Random) -> list[Piece]:
        r, tall = random.uniform(0.1, 0.22), random.uniform(0.14, 0.3)
        shade = lathe(np.array([[r, 0], [r * random.uniform(0.4, 1.0), tall]]), 48, 4)
        bulb = sphere(0.04, 24)
        if kind == "ceiling":
            drop = random.uniform(0.3, 0.8)
            rod = shifted(cylinder(0.006, drop, 12), (0, 0, tall - 0.05))
            return [(shade, "shade"), (rod, "dark"), (shifted(bulb, (0, 0, tall / 2)), "white")]
        if kind == "wall":
            plate = box_between((-0.05, 0.12, 0.0), (0.05, 0.14, 0.16))
            small = lathe(np.array([[0.08, 0], [0.05, 0.16]]), 32, 4)
            return [(small, "shade"), (plate, "metal"), (shifted(bulb, (0, 0, 0.06)), "white")]
        height = random.uniform(1.2, 1.6) if kind == "floor" else random.uniform(0.2, 0.4)
        foot = lathe(np.array([[0.001, 0], [0.7 * r, 0.001], [0.6 * r, 0.025], [0.012, 0.03], [0.012, height]]), 32, 48)
        if kind == "table" and random.random() < 0.6:
            foot = lathe(np.array([[0.05, 0], [0.09, 0.3 * height], [0.04, 0.8 * height], [0.01, height]]), 40, 40)
        up = (0, 0, height - 0.05)
        return [
            (foot, "metal" if kind == "floor" else "clay"),
            (shifted(shade, up), "shade"),
            (shifted(bulb, up), "white"),
        ]

    return design


def _flat(low: tuple[float, float], high: tuple[float, float], picture: str, frame: str) -> Design:
    """What hangs on walls: a framed surface."""

    def design(random: Random) -> list[Piece]:
        w, h = random.uniform(low, high)
        border, depth = random.uniform(0.01, 0.05), random.uniform(0.015, 0.035)
        x = w / 2
        sides = [((-x, 0.0, 0.0), (-x + border, depth, h)), ((x - border, 0.0, 0.0), (x, depth, h))]
        sides += [((-x + border, 0.0, z), (x - border, depth, z + border)) for z in (0.0, h - border)]
        panel = box_between((-x + border, 0.008, border), (x - border, depth, h - border))
        return [(panel, picture), *((box_between(*side), frame) for side in sides)]

    return design


def _rug(random: Random) -> list[Piece]:
    if random.random() < 0.3:
        return [(cylinder(random.uniform(0.6, 1.2), 0.012, 64), "rug")]
    return [_slab(random.uniform(1.4, 3.0), random.uniform(1.0, 2.2), 0.0, 0.015, "rug")]


def _tv(random: Random) -> list[Piece]:
    w = random.uniform(0.7, 1.3)
    h = 0.58 * w
    screen = box_between((-w / 2, -0.02, 0.06), (w / 2, 0.02, 0.06 + h))
    foot = rounded_box((-0.2, -0.12, 0), (0.2, 0.12, 0.015), 0.005)
    return [(screen, "dark"), (foot, "dark"), (box_between((-0.04, 0.0, 0.01), (0.04, 0.02, 0.08)), "dark")]


def _wall_tv(random: Random) -> list[Piece]:
    w = random.uniform(0.8, 1.5)
    return [(rounded_box((-w / 2, -0.025, 0), (w / 2, 0.025, 0.58 * w), 0.008), "dark")]


def _clutter(random: Random) -> list[Piece]:
    kind = int(random.integers(5))
    a, b, c = random.uniform((0.05, 0.05, 0.04), (0.25, 0.2, 0.22))
    if kind == 0:
        return [(box_between((-a / 2, -b / 2, 0), (a / 2, b / 2, c)), "thing")]
    if kind == 1:
        cup = lathe(np.array([[0.001, 0], [0.6 * b, 0.001], [0.7 * b, c], [0.64 * b, c], [0.55 * b, 0.01]]), 40, 40)
        return [(cup, "clay")]
    if kind == 2:
        return [(shifted(sphere(b / 2, 40), (0, 0, b / 2)), "thing")]
    if kind == 3:
        bottle = np.array([[0.001, 0], [0.035, 0.001], [0.036, 0.18], [0.014, 0.22], [0.014, 0.28], [0.001, 0.28]])
        return [(lathe(bottle, 32, 64), "thing")]
    stack = []
    z = 0.0
    for _ in range(int(random.integers(1, 5))):
        t = random.uniform(0.01, 0.04)
        w, d = random.uniform((0.13, 0.1), (0.22, 0.16))
        stack.append((box_between((-w / 2, -d / 2, z), (w / 2, d / 2, z + t)), str(random.choice(["thing", "paint"]))))
        z += t
    return stack


def _floor_thing(random: Random) -> list[Piece]:
    w, d, h = random.uniform((0.2, 0.2, 0.2), (0.6, 0.5, 0.6))
    kind = int(random.integers(4))
    if kind == 0:
        return [(box_between((-w / 2, -d / 2, 0), (w / 2, d / 2, h)), "wood")]
    if kind == 1:
        return [
            (lathe(np.array([[0.001, 0], [0.35 * d, 0.001], [d / 2, h], [0.47 * d, h], [0.33 * d, 0.02]]), 40), "metal")
        ]
    if kind == 2:
        return [(rounded_box((-w / 2, -w / 2, 0), (w / 2, w / 2, 0.7 * w), 0.12), "cloth")]
    return [(shifted(sphere(d / 2), (0, 0, d / 2)), "thing")]


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


def _radiator(random: Random) -> list[Piece]:
    count, h = int(random.integers(6, 16)), random.uniform(0.45, 0.7)
    ribs = [rounded_box((0.07 * i, -0.05, 0), (0.07 * i + 0.055, 0.05, h), 0.02) for i in range(count)]
    bars = [box_between((0, -0.015, z), (0.07 * count - 0.015, 0.015, z + 0.03)) for z in (0.05, h - 0.08)]
    return [(mesh, "white") for mesh in (*ribs, *bars)]


def _piano(random: Random) -> list[Piece]:
    h = random.uniform(1.1, 1.3)
    body = box_between((-0.72, 0.0, 0), (0.72, 0.3, h))
    keys = box_between((-0.72, -0.25, 0.6), (0.72, 0.0, 0.72))
    white = box_between((-0.62, -0.2, 0.72), (0.62, -0.03, 0.735))
    return [(body, "paint"), (keys, "paint"), (white, "white"), *_legs(1.44, 0.5, 0.6, 0.06, "paint", False)]


def _wall_thing(random: Random) -> list[Piece]:
    r = random.uniform(0.1, 0.2)
    disc = cylinder(r, 0.03, 48)
    assert disc.normals is not None
    upright = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], np.float32)
    face = Mesh(disc.vertices @ upright.T, disc.triangles, normals=disc.normals @ upright.T)
    hands = [
        box_between((-0.006, -0.036, 0), (0.006, -0.03, 0.8 * r)),
        box_between((0, -0.036, -0.005), (0.5 * r, -0.03, 0.005)),
    ]
    return [(face, str(random.choice(["white", "wood", "paint"]))), *((hand, "dark") for hand in hands)]


def _curtain(random: Random) -> list[Piece]:
    w, h, folds = random.uniform(0.6, 1.6), random.uniform(2.0, 2.4), int(random.integers(6, 14))
    x = np.linspace(-w / 2, w / 2, 12 * folds)
    phase = 2 * np.pi * folds * (x / w + 0.5)
    y = 0.04 * np.sin(phase)
    slope = 0.04 * np.cos(phase) * 2 * np.pi * folds / w
    points = np.stack([np.stack([x, y, np.full_like(x, z)], -1) for z in (h, 0.0)], axis=1)
    normal = normalized(np.stack([slope, -np.ones_like(x), 0 * x], -1))
    return [(from_grid(points, np.repeat(normal[:, None], 2, axis=1)), "linen")]


DESIGNS: tuple[tuple[str, Design], ...] = (
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
    ("ceiling_lamp", _lamp("ceiling")),
    ("floor_lamp", _lamp("floor")),
    ("table_lamp", _lamp("table")),
    ("wall_lamp", _lamp("wall")),
    ("plant", _plant),
    ("plant", _plant),
    ("rug", _rug),
    ("picture", _flat((0.25, 0.25), (1.2, 0.9), "painting", "wood")),
    ("picture", _flat((0.2, 0.2), (0.7, 0.7), "painting", "dark")),
    ("mirror", _flat((0.4, 0.5), (0.9, 1.4), "mirror", "wood")),
    ("tv", _tv),
    ("wall_tv", _wall_tv),
    ("clutter", _clutter),
    ("clutter", _clutter),
    ("clutter", _clutter),
    ("clutter", _vase),
    ("floor_thing", _floor_thing),
    ("floor_thing", _floor_thing),
    ("large_thing", _piano),
    ("radiator", _radiator),
    ("wall_thing", _wall_thing),
    ("curtain", _curtain),
)
