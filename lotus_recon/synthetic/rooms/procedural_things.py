"""Designs of simple things: plants, lamps, rugs, what hangs on walls, what lies about.

Axes as in the catalog: standing on z = 0, back towards +y; metres.
"""

from __future__ import annotations

import numpy as np

from lotus_recon.geometry.normals import normalized
from lotus_recon.synthetic.rooms.procedural_furniture import Design, Piece, Random
from lotus_recon.synthetic.rooms.solids import box_between, lying, shifted
from lotus_recon.synthetic.shapes import cylinder, from_grid, lathe, rounded_box, sphere
from lotus_recon.types import Mesh


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
    x, y = random.uniform(0.7, 1.5), random.uniform(0.5, 1.1)
    return [(rounded_box((-x, -y, 0), (x, y, 0.015), 0.01), "rug")]


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


def _radiator(random: Random) -> list[Piece]:
    count, h = int(random.integers(6, 16)), random.uniform(0.45, 0.7)
    ribs = [rounded_box((0.07 * i, -0.05, 0), (0.07 * i + 0.055, 0.05, h), 0.02) for i in range(count)]
    bars = [box_between((0, -0.015, z), (0.07 * count - 0.015, 0.015, z + 0.03)) for z in (0.05, h - 0.08)]
    return [(mesh, "white") for mesh in (*ribs, *bars)]


def _wall_thing(random: Random) -> list[Piece]:
    r = random.uniform(0.1, 0.2)
    face = lying(cylinder(r, 0.03, 48))
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


# The group of the catalog, and how to draw one of it.
THINGS: tuple[tuple[str, Design], ...] = (
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
    ("radiator", _radiator),
    ("wall_thing", _wall_thing),
    ("curtain", _curtain),
)
