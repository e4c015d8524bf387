"""Small things built from simple solids: books, papers, boxes, vessels, cushions, screens.

Axes as in the catalog: standing on z = 0, centred on x = y = 0, back towards +y.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lotus_recon.io.srgb import srgb_of_linear
from lotus_recon.synthetic.rooms.catalog import ModelPart
from lotus_recon.synthetic.rooms.materials import Finishes, hsv_color
from lotus_recon.synthetic.rooms.pictures import artwork, page, picture_on
from lotus_recon.synthetic.rooms.scene import Material
from lotus_recon.synthetic.rooms.solids import (
    blob,
    box_between,
    lying,
    merged,
    moved,
    quad,
    shifted,
    slabs,
    turned_pose,
)
from lotus_recon.synthetic.rooms.things import Thing, made
from lotus_recon.synthetic.shapes import joined, lathe
from lotus_recon.types import Mesh

Random = np.random.Generator

_SWATCH_PX = 8


def swatches(random: Random, count: int = 16) -> Material:
    """One material of many colours: a texture of patches, one row of them."""
    hues = np.array([_cover_color(random) for _ in range(count)], np.uint8)
    bitmap = np.repeat(np.repeat(hues[None], _SWATCH_PX, axis=0), _SWATCH_PX, axis=1)
    return Material("swatches", texture=bitmap, gloss=float(random.choice([0, 0, 0.3])))


def _cover_color(random: Random) -> tuple[int, int, int]:
    """An sRGB colour as on covers and packages: dark, pale and strong ones."""
    strong = random.random() < 0.5
    rgb = np.array(hsv_color(random.random(), random.uniform(0.4, 0.9) if strong else 0.15, random.uniform(0.1, 0.95)))
    r, g, b = (int(value) for value in np.round(255 * srgb_of_linear(rgb)))
    return r, g, b


def in_swatch(mesh: Mesh, material: Material, index: int) -> ModelPart:
    """A mesh in one of the colours of ``swatches``."""
    assert material.texture is not None
    count = material.texture.shape[1] // _SWATCH_PX
    uv = np.full((len(mesh.vertices), 2), ((index % count + 0.5) / count, 0.5), np.float32)
    return ModelPart(mesh, material, uv)


def books(random: Random, colors: Material, width: float, depth: float, height: float) -> Thing:
    """A row of books, some leaning, or a lying pile; within the given size."""
    parts: list[ModelPart] = []
    if random.random() < 0.2:
        z = 0.0
        while z < min(height, 0.3) - 0.05:
            w, d, h = random.uniform(0.12, 0.19), random.uniform(0.18, 0.26), random.uniform(0.01, 0.05)
            pose = turned_pose(0, 0, z, float(random.normal(0, 0.12)))
            book = moved(box_between((-w / 2, -d / 2, 0), (w / 2, d / 2, h)), pose)
            parts.append(in_swatch(book, colors, int(random.integers(64))))
            z += h
        return made("books", "clutter", merged(parts))
    x, end = -width / 2, width / 2 * random.uniform(0.2, 1.0)
    tallest = min(height * 0.95, 0.34)
    while True:
        t, h, d = random.uniform(0.012, 0.05), random.uniform(0.6, 1.0) * tallest, random.uniform(0.6, 0.95) * depth
        if x + t > end:
            break
        front = -depth / 2 + 0.02 * random.random()
        parts.append(in_swatch(box_between((x, front, 0), (x + t, front + d, h)), colors, int(random.integers(64))))
        x += t + 0.001
    if not parts:
        parts.append(in_swatch(slabs((-0.02, -depth / 2, 0, 0.02, depth / 2, tallest)), colors, 0))
    return made("books", "clutter", merged(parts))


def paper(random: Random) -> Thing:
    """Sheets or a magazine lying flat."""
    thickness = float(random.choice([0.001, 0.002, 0.01]))
    stack = box_between((-0.105, -0.1485, 0), (0.105, 0.1485, thickness))
    white = Material("paper", (0.8, 0.8, 0.78))
    sheet = quad(np.array([[-0.105, -0.1485, 0], [0.105, -0.1485, 0], [0.105, 0.1485, 0], [-0.105, 0.1485, 0]]))
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    bitmap = page(random) if random.random() < 0.7 else artwork(random)
    print_ = ModelPart(shifted(sheet, (0, 0, thickness + 0.0005)), Material("print", texture=bitmap), uv)
    return made("paper", "clutter", [ModelPart(stack, white), print_])


def carton(random: Random, finishes: Finishes, largest: float = 0.6) -> Thing:
    """A box: cardboard, plastic or painted; sometimes open."""
    w, d, h = (float(random.uniform(0.12, largest)) for _ in range(3))
    card = finishes.plain("cardboard", hsv_color(0.09, random.uniform(0.3, 0.5), random.uniform(0.5, 0.75)))
    finish = card if random.random() < 0.6 else finishes.any_paint()
    x, y = w / 2, d / 2
    if random.random() < 0.6:
        tape = finishes.plain("tape", (0.4, 0.28, 0.15), 0.5)
        lid = slabs((-x, -0.025, h, x, 0.025, h + 0.001))
        return made("box", "floor_thing", [finish.on(slabs((-x, -y, 0, x, y, h))), tape.on(lid)])
    t = 0.006
    sides = slabs(
        (-x, -y, 0, x, y, t),
        (-x, -y, 0, -x + t, y, h),
        (x - t, -y, 0, x, y, h),
        (-x, -y, 0, x, -y + t, h),
        (-x, y - t, 0, x, y, h),
    )
    return made("open box", "floor_thing", [finish.on(sides)])


def vessel(random: Random, finishes: Finishes) -> Thing:
    """A mug, a bottle, a bowl, a vase, a tin: turned bodies."""
    kind = str(random.choice(["mug", "bottle", "bowl", "vase", "tin", "glass"]))
    r = float(random.uniform(0.03, 0.05))
    profiles = {
        "mug": [(0.0, 0), (r, 0.001), (r, 0.09), (r * 0.9, 0.092), (r * 0.88, 0.012), (0.0, 0.01)],
        "bottle": [(0.0, 0), (r, 0.002), (r, 0.16), (r * 0.35, 0.22), (r * 0.35, 0.28), (0.0, 0.282)],
        "bowl": [(0.0, 0), (r, 0.001), (3 * r, 0.07), (2.9 * r, 0.073), (r, 0.012), (0.0, 0.01)],
        "vase": [
            (0.0, 0),
            (1.1 * r, 0.002),
            (2 * r, 0.12),
            (0.8 * r, 0.26),
            (1.1 * r, 0.3),
            (1.0 * r, 0.29),
            (0.0, 0.1),
        ],
        "tin": [(0.0, 0), (1.2 * r, 0.001), (1.2 * r, 0.12), (1.15 * r, 0.122), (0.0, 0.122)],
        "glass": [(0.0, 0), (0.8 * r, 0.001), (r, 0.12), (0.95 * r, 0.121), (0.75 * r, 0.012), (0.0, 0.01)],
    }
    body = lathe(np.array(profiles[kind]) * float(random.uniform(0.8, 1.3)), 24, 24)
    color = hsv_color(random.random(), random.uniform(0, 0.8), random.uniform(0.15, 0.95))
    material = Material(kind, color, gloss=float(random.choice([0.3, 1.0])), roughness=0.1)
    parts = [ModelPart(body, material)]
    if kind == "vase" and random.random() < 0.7:
        parts.append(_twigs(random, float(body.vertices[:, 2].max())))
    return made(kind, "clutter", parts)


def _twigs(random: Random, height: float) -> ModelPart:
    stems = []
    for _ in range(int(random.integers(3, 9))):
        lean, turn = float(random.uniform(0.05, 0.4)), float(random.uniform(0, 2 * np.pi))
        stem = joined(
            [box_between((-0.002, -0.002, 0), (0.002, 0.002, 0.25)), shifted(blob(0.06, 0.06, 0.04), (0, 0, 0.24))]
        )
        tilted = moved(stem, turned_pose(0, 0, 0, lean, axis=1))
        stems.append(moved(tilted, turned_pose(0, 0, height - 0.06, turn)))
    return ModelPart(joined(stems), Material("flowers", hsv_color(random.random(), 0.6, random.uniform(0.3, 0.9))))


def cushion(random: Random, finishes: Finishes) -> Thing:
    """A cushion leaning back."""
    side = float(random.uniform(0.35, 0.5))
    return made(
        "cushion", "clutter", [finishes.fabric().on(shifted(lying(blob(side, side, 0.14)), (0, 0.07, side / 2)))]
    )


def bag(random: Random, finishes: Finishes) -> Thing:
    """A soft bag or a heap of clothes."""
    size = (float(random.uniform(0.25, 0.5)), float(random.uniform(0.15, 0.35)), float(random.uniform(0.12, 0.45)))
    return made("bag", "floor_thing", [finishes.fabric().on(blob(*size))])


def screen(random: Random, finishes: Finishes, width: float | None = None) -> Thing:
    """A monitor on its foot, off or showing something."""
    w = width or float(random.uniform(0.4, 0.65))
    h, foot = w * 0.58, float(random.uniform(0.08, 0.16))
    case = slabs(
        (-w / 2, -0.015, foot, w / 2, 0.02, foot + h),
        (-0.03, 0.0, 0, 0.03, 0.03, foot + 0.1),
        (-0.12, -0.09, 0, 0.12, 0.09, 0.012),
    )
    lit = random.random() < 0.45
    image = page(random).transpose(1, 0, 2) if random.random() < 0.4 else artwork(random)
    shown = picture_on(
        w - 0.02, h - 0.02, -0.0155, image if lit else np.full((2, 2, 3), 12, np.uint8), 1.0, 1.2 if lit else 0.0
    )
    face = replace(shown, mesh=shifted(shown.mesh, (0, 0, foot + 0.01)))
    tone = float(random.choice([0.02, 0.05, 0.4, 0.75]))
    return made("monitor", "tv", [finishes.plain("case", (tone, tone, tone), 0.3).on(case), face])


def keyboard(random: Random, finishes: Finishes) -> Thing:
    """A keyboard: a plate with rows of keys."""
    tone = float(random.choice([0.02, 0.05, 0.5, 0.8]))
    plate = box_between((-0.22, -0.065, 0), (0.22, 0.065, 0.015))
    xs = np.linspace(-0.2, 0.2, 16)
    keys = [
        box_between((x - 0.01, y - 0.009, 0.015), (x + 0.01, y + 0.009, 0.021))
        for x in xs
        for y in np.linspace(-0.045, 0.045, 5)
    ]
    case, cap = (
        finishes.plain("plate", (tone, tone, tone)),
        finishes.plain("keys", (tone * 0.6, tone * 0.6, tone * 0.62)),
    )
    return made("keyboard", "clutter", [case.on(plate), cap.on(joined(keys))])


def laptop(random: Random, finishes: Finishes) -> Thing:
    """An open laptop."""
    w, d = float(random.uniform(0.3, 0.38)), float(random.uniform(0.21, 0.26))
    base = slabs((-w / 2, -d, 0, w / 2, 0, 0.018))
    keys = slabs((-w / 2 + 0.02, -d + 0.1, 0.018, w / 2 - 0.02, -0.02, 0.0195))
    lean = float(random.uniform(0.1, 0.45))
    lit = random.random() < 0.6
    image = page(random).transpose(1, 0, 2) if lit else np.full((2, 2, 3), 15, np.uint8)
    leaning = turned_pose(0, 0, 0.018, -lean, axis=0)
    lid = moved(slabs((-w / 2, 0, 0, w / 2, 0.008, d)), leaning)
    screen = picture_on(w - 0.02, d - 0.02, -0.001, image, 1.0, 1.2 if lit else 0.0)
    tone = float(random.choice([0.02, 0.3, 0.6]))
    case = finishes.plain("laptop", (tone, tone, tone), 0.3)
    parts = [
        case.on(joined([base, lid])),
        finishes.plain("keys", (0.02, 0.02, 0.02)).on(keys),
        replace(screen, mesh=moved(screen.mesh, leaning)),
    ]
    centered = [replace(part, mesh=shifted(part.mesh, (0, d / 2, 0))) for part in parts]
    return made("laptop", "clutter", centered)
