"""What hangs on walls and shows something: pictures, mirrors, boards, clocks.

Axes as in the catalog: standing on z = 0, centred on x = y = 0, back towards +y.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lotus_recon.synthetic.rooms.catalog import ModelPart
from lotus_recon.synthetic.rooms.materials import Finishes, Palette, hsv_color
from lotus_recon.synthetic.rooms.scene import Material
from lotus_recon.synthetic.rooms.solids import (
    box_between,
    lying,
    moved,
    quad,
    shifted,
    slabs,
    turned_pose,
)
from lotus_recon.synthetic.rooms.things import Thing, made
from lotus_recon.synthetic.shapes import cylinder, joined
from lotus_recon.types import Mesh

Random = np.random.Generator


def artwork(random: Random) -> NDArray[np.uint8]:
    """A bitmap (96, 96, 3): stripes, blocks, blots or a soft gradient in a few colours."""
    colors = random.integers(0, 256, (int(random.integers(2, 7)), 3))
    size = 96
    kind = random.integers(4)
    y, x = np.mgrid[:size, :size] / size
    if kind == 0:
        angle, count = random.uniform(0, np.pi), random.uniform(2, 12)
        index = np.floor((x * np.cos(angle) + y * np.sin(angle)) * count).astype(int) % len(colors)
    elif kind == 1:
        cells = random.integers(0, len(colors), (int(random.integers(2, 9)), int(random.integers(2, 9))))
        index = cells[(y * cells.shape[0]).astype(int), (x * cells.shape[1]).astype(int)]
    elif kind == 2:
        index = np.zeros((size, size), int)
        for blot in range(int(random.integers(3, 14))):
            cx, cy, r = random.random(), random.random(), random.uniform(0.05, 0.35)
            index[(x - cx) ** 2 + (y - cy) ** 2 < r * r] = blot % len(colors)
    else:
        share = y[..., None]
        return np.asarray(colors[0] * (1 - share) + colors[1] * share, np.uint8)
    return np.asarray(colors[index], np.uint8)


def page(random: Random) -> NDArray[np.uint8]:
    """A bitmap (96, 68, 3) that looks like print: lines of text, now and then a picture."""
    paper = np.full((96, 68, 3), int(random.integers(225, 255)), np.uint8)
    row = 8
    while row < 86:
        if random.random() < 0.12:
            height = int(random.integers(10, 25))
            paper[row : row + height, 8:60] = random.integers(30, 220, 3)
            row += height + 4
            continue
        end = 60 if random.random() < 0.8 else int(random.integers(20, 60))
        ink = random.random(end - 8) < 0.8
        paper[row : row + 2, 8:end][:, ink] = int(random.integers(20, 110))
        row += 4
    return paper


def picture_on(
    width: float, height: float, y: float, bitmap: NDArray[np.uint8], gloss: float = 0.0, glow: float = 0.0
) -> ModelPart:
    """A ``bitmap`` (h, w, 3) on an upright rectangle that faces the front, its lower edge on z = 0."""
    x = width / 2
    mesh = quad(np.array([[-x, y, 0], [x, y, 0], [x, y, height], [-x, y, height]], np.float64))
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    emission = (glow, glow, glow)
    return ModelPart(mesh, Material("picture", texture=bitmap, gloss=gloss, roughness=0.05, emission=emission), uv)


def picture(random: Random, finishes: Finishes, outdoors: NDArray[np.uint8] | None) -> Thing:
    """A framed picture of an artwork, a photo of the ``outdoors`` (h, w, 3), or blots."""
    width, height = float(random.uniform(0.2, 1.1)), float(random.uniform(0.2, 0.8))
    border, depth = float(random.uniform(0.01, 0.06)), float(random.uniform(0.012, 0.04))
    painting = finishes.artwork() if random.random() < 0.45 else None
    bitmap = outdoors if outdoors is not None and random.random() < 0.3 else artwork(random)
    if painting is not None and painting.material.texture is not None:
        bitmap = painting.material.texture
    frame = finishes.wood() if random.random() < 0.4 else finishes.any_paint()
    bars = _frame(width, height, border, depth)
    canvas = picture_on(width, height, depth * 0.2, bitmap, gloss=float(random.choice([0.0, 0.0, 1.0])))
    return made("picture", "picture", [frame.on(bars), canvas])


def _frame(width: float, height: float, border: float, depth: float) -> Mesh:
    x, y = width / 2, depth / 2
    return slabs(
        (-x, -y, 0, x, y, border),
        (-x, -y, height - border, x, y, height),
        (-x, -y, 0, -x + border, y, height),
        (x - border, -y, 0, x, y, height),
        (-x + 0.001, y * 0.5, 0.001, x - 0.001, y, height - 0.001),
    )


def mirror(random: Random, finishes: Finishes) -> Thing:
    """A framed mirror; its truth is its glass."""
    width, height = float(random.uniform(0.35, 0.9)), float(random.uniform(0.5, 1.3))
    glass = quad(np.array([[-1, 0, 0], [1, 0, 0], [1, 0, 1], [-1, 0, 1]]) * (width / 2, 1, height))
    silver = Material("mirror", (0.92, 0.93, 0.93), roughness=0.02, metal=True)
    return made(
        "mirror", "mirror", [finishes.any_paint().on(_frame(width, height, 0.025, 0.03)), ModelPart(glass, silver)]
    )


def board(random: Random, finishes: Finishes, palette: Palette) -> Thing:
    """A white board, a blackboard or a pin board with papers."""
    width, height = float(random.uniform(0.8, 2.4)), float(random.uniform(0.6, 1.2))
    parts = [palette.metal.on(_frame(width, height, 0.02, 0.025))]
    kind = random.random()
    tone = (0.9, 0.9, 0.9) if kind < 0.5 else (0.02, 0.05, 0.03) if kind < 0.65 else hsv_color(0.09, 0.5, 0.7)
    face = Material("board", tone, gloss=1.0 if kind < 0.5 else 0.0, roughness=0.15)
    parts.append(ModelPart(picture_on(width, height, 0.005, np.zeros((1, 1, 3), np.uint8)).mesh, face))
    if kind >= 0.5:
        for _ in range(int(random.integers(2, 12))):
            sheet = picture_on(0.21, 0.297, -0.002 - 0.002 * random.random(), page(random))
            x, z = random.uniform(-1, 1) * (width / 2 - 0.15), random.uniform(0.02, max(0.03, height - 0.32))
            parts.append(ModelPart(shifted(sheet.mesh, (float(x), 0.0, float(z))), sheet.material, sheet.uv))
    return made("board", "picture", parts)


def clock(random: Random, finishes: Finishes) -> Thing:
    """A round wall clock."""
    radius = float(random.uniform(0.1, 0.2))
    rim = shifted(lying(cylinder(radius, 0.04, 32)), (0, 0.02, radius))
    face = shifted(lying(cylinder(radius * 0.9, 0.003, 32)), (0, -0.019, radius))
    hands = [box_between((-0.004, -0.026, -0.01), (0.004, -0.023, radius * reach)) for reach in (0.5, 0.75)]
    angles = random.uniform(0, 2 * np.pi, 2)
    turned = [moved(hand, turned_pose(0, 0, radius, angle, axis=1)) for hand, angle in zip(hands, angles, strict=True)]
    black = finishes.plain("black", (0.02, 0.02, 0.02))
    white = finishes.plain("dial", (0.85, 0.85, 0.82))
    return made("clock", "wall_thing", [finishes.any_paint().on(rim), white.on(face), black.on(joined(turned))])
