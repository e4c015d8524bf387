"""Furniture built from simple solids: what catalogs lack, in any size and finish.

Axes as in the catalog: standing on z = 0, centred on x = y = 0, back towards +y.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from lotus_recon.synthetic.rooms.catalog import ModelPart
from lotus_recon.synthetic.rooms.materials import Finishes, Palette, hsv_color
from lotus_recon.synthetic.rooms.pictures import artwork
from lotus_recon.synthetic.rooms.scene import Material
from lotus_recon.synthetic.rooms.solids import (
    box_between,
    slabs,
)
from lotus_recon.synthetic.rooms.things import Thing, made
from lotus_recon.synthetic.shapes import cylinder, joined
from lotus_recon.types import Mesh

Random = np.random.Generator


def rug(random: Random, finishes: Finishes, width: float, depth: float) -> Thing:
    """A rug, woven or printed."""
    low = box_between((-width / 2, -depth / 2, 0), (width / 2, depth / 2, float(random.uniform(0.004, 0.012))))
    if random.random() < 0.25:
        low = cylinder(min(width, depth) / 2, 0.008, 48)
    if random.random() < 0.5:
        return made("rug", "rug", [finishes.fabric().on(low)])
    uv = (low.vertices[:, :2] / (width, depth) + 0.5).astype(np.float32)
    return made("rug", "rug", [ModelPart(low, Material("rug", texture=artwork(random)), uv)])


def table(random: Random, finishes: Finishes, palette: Palette, width: float, depth: float, height: float) -> Thing:
    """A table or a desk: a top on four legs, on trestles or on panels."""
    t, leg = float(random.uniform(0.018, 0.05)), float(random.uniform(0.03, 0.08))
    top = palette.wood if random.random() < 0.5 else finishes.wood() if random.random() < 0.5 else finishes.any_paint()
    x, y = width / 2, depth / 2
    inset = float(random.uniform(0.0, 0.08))
    a, b = x - inset, y - inset
    if random.random() < 0.25:
        legs = slabs(
            (-a, -b, 0, -a + 0.025, b, height - t),
            (a - 0.025, -b, 0, a, b, height - t),
            (-a, b - 0.02, height * 0.4, a, b, height - t),
        )
    else:
        legs = _posts(a, b, leg, height - t)
    below = palette.metal if random.random() < 0.4 else top if random.random() < 0.5 else finishes.any_paint()
    return made("table", "table", [top.on(slabs((-x, -y, height - t, x, y, height))), below.on(legs)])


def shelving(random: Random, finishes: Finishes, palette: Palette, height: float, width: float | None = None) -> Thing:
    """Open shelves: a bookcase with sides and back, or a rack on posts."""
    w = width or float(random.uniform(0.5, 1.6))
    d = float(random.uniform(0.24, 0.5))
    count = max(2, round(height / random.uniform(0.28, 0.45)))
    x, y, t = w / 2, d / 2, float(random.uniform(0.016, 0.03))
    levels = np.linspace(0.06, height - t, count + 1)
    boards = [box_between((-x, -y, z), (x, y, z + t)) for z in levels]
    if random.random() < 0.4:
        posts = _posts(x, y, 0.03, height)
        rack = palette.metal if random.random() < 0.6 else finishes.any_paint()
        shelf = palette.wood if random.random() < 0.5 else rack
        return made("rack", "shelf", [rack.on(posts), shelf.on(joined(boards))])
    sides = [box_between((-x, -y, 0), (-x + t, y, height)), box_between((x - t, -y, 0), (x, y, height))]
    if w > 0.9:
        sides.append(box_between((-t / 2, -y + 0.005, 0.06), (t / 2, y, height)))
    if random.random() < 0.7:
        sides.append(box_between((-x, y - 0.006, 0), (x, y, height)))
    finish = palette.wood if random.random() < 0.6 else finishes.any_paint()
    return made("bookcase", "shelf", [finish.on(joined([*boards, *sides]))])


def _posts(x: float, y: float, side: float, height: float) -> Mesh:
    """Four square posts in the corners of the rectangle from (-x, -y) to (x, y); all in metres."""
    lows = [(a, b) for a in (-x, x - side) for b in (-y, y - side)]
    return slabs(*((a, b, 0.0, a + side, b + side, height) for a, b in lows))


def wall_shelf(random: Random, finishes: Finishes, palette: Palette) -> Thing:
    """A board on the wall."""
    w, d = float(random.uniform(0.4, 1.6)), float(random.uniform(0.15, 0.3))
    finish = palette.wood if random.random() < 0.6 else finishes.any_paint()
    return made(
        "wall shelf", "shelf", [finish.on(slabs((-w / 2, -d / 2, 0, w / 2, d / 2, float(random.uniform(0.018, 0.04)))))]
    )


def fronts(
    random: Random, palette: Palette, width: float, depth: float, height: float, rows: Sequence[float], plinth: float
) -> list[ModelPart]:
    """A cabinet with doors or drawers: ``rows`` are the upper ends of its fronts, as shares of the height."""
    x, y = width / 2, depth / 2
    body = slabs((-x, -y + 0.02, plinth, x, y, height), (-x, -y + 0.07, 0, x, y, max(plinth, 0.002)))
    columns = max(1, round(width / random.uniform(0.4, 0.62)))
    xs = np.linspace(-x, x, columns + 1)
    doors, handles = [], []
    low = plinth
    for share in rows:
        high = plinth + share * (height - plinth)
        for a, b in itertools.pairwise(xs):
            doors.append(box_between((a + 0.002, -y, low + 0.002), (b - 0.002, -y + 0.019, high - 0.002)))
            handles.append(_grip(float(a), float(b), low, high, -y))
        low = high
    parts = [palette.fronts.on(joined([body, *doors]))]
    if random.random() < 0.8:
        parts.append(palette.metal.on(joined(handles)))
    return parts


def _grip(a: float, b: float, low: float, high: float, y: float) -> Mesh:
    if high - low < 0.45:  # a drawer: a bar across
        middle, z = (a + b) / 2, high - 0.05
        return box_between((middle - 0.08, y - 0.028, z - 0.006), (middle + 0.08, y - 0.016, z + 0.006))
    z = (low + high) / 2
    return box_between((b - 0.05, y - 0.028, z - 0.09), (b - 0.038, y - 0.016, z + 0.09))


def wardrobe(random: Random, palette: Palette, width: float, height: float) -> Thing:
    """A built-in wardrobe."""
    rows = [1.0] if random.random() < 0.6 else [0.75, 1.0]
    return made(
        "wardrobe", "wardrobe", fronts(random, palette, width, float(random.uniform(0.5, 0.65)), height, rows, 0.07)
    )


def sideboard(random: Random, palette: Palette, width: float, depth: float, height: float) -> Thing:
    """A chest of drawers or a sideboard."""
    count = max(1, round(height / random.uniform(0.2, 0.5)))
    rows = [float(v) for v in np.linspace(0, 1, count + 1)[1:]]
    return made("sideboard", "cabinet", fronts(random, palette, width, depth, height, rows, 0.05))


def kitchen_base(random: Random, palette: Palette, width: float) -> Thing:
    """Base cabinets under a worktop."""
    rows = [1.0] if random.random() < 0.4 else [0.8, 1.0] if random.random() < 0.5 else [0.4, 0.8, 1.0]
    parts = fronts(random, palette, width, 0.6, 0.86, rows, 0.1)
    top = slabs((-width / 2, -0.32, 0.86, width / 2, 0.3, 0.9))
    return made("kitchen cabinets", "kitchen", [*parts, palette.worktop.on(top)])


def kitchen_upper(random: Random, palette: Palette, width: float) -> Thing:
    """Wall cabinets."""
    return made(
        "wall cabinets",
        "kitchen_wall",
        fronts(random, palette, width, 0.35, float(random.uniform(0.55, 0.85)), [1.0], 0.0),
    )


def radiator(random: Random, finishes: Finishes, width: float, height: float) -> Thing:
    """A ribbed radiator."""
    white = finishes.plain("radiator", hsv_color(0.12, 0.03, random.uniform(0.8, 0.95)), 0.4)
    pitch = float(random.uniform(0.04, 0.08))
    xs = np.arange(-width / 2, width / 2 - pitch * 0.5, pitch)
    ribs = [box_between((x, -0.04, 0.1), (x + pitch * 0.6, 0.04, 0.1 + height)) for x in xs]
    plate = box_between((-width / 2, -0.015, 0.12), (width / 2, 0.015, 0.08 + height))
    return made("radiator", "radiator", [white.on(joined([plate, *ribs]))])


def workbench(random: Random, finishes: Finishes, palette: Palette, width: float) -> Thing:
    """A heavy bench with a shelf below."""
    x, y, h = width / 2, float(random.uniform(0.28, 0.4)), float(random.uniform(0.82, 0.95))
    top = slabs((-x, -y, h - 0.05, x, y, h))
    posts = _posts(x - 0.03, y - 0.03, 0.07, h - 0.05)
    shelf = slabs((-x + 0.05, -y + 0.05, 0.2, x - 0.05, y - 0.05, 0.23))
    below = palette.metal if random.random() < 0.4 else palette.wood
    return made("workbench", "desk", [palette.wood.on(joined([top, shelf])), below.on(posts)])
