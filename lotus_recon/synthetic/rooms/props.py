"""Furniture and small things built from simple solids: what catalogs lack, in any size and finish.

Axes as in the catalog: standing on z = 0, centred on x = y = 0, back towards +y.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lotus_recon.synthetic.rooms.catalog import ModelPart
from lotus_recon.synthetic.rooms.materials import Finishes, Palette, srgb_color
from lotus_recon.synthetic.rooms.scene import Material
from lotus_recon.synthetic.rooms.solids import box_between, merged, moved, quad, shifted, turned_pose
from lotus_recon.synthetic.rooms.things import Thing, made
from lotus_recon.synthetic.shapes import cylinder, joined, lathe, sphere
from lotus_recon.types import Mesh

Random = np.random.Generator
_SWATCH_PX = 8


def slabs(*ends: tuple[float, float, float, float, float, float]) -> Mesh:
    """Boxes given as x0, y0, z0, x1, y1, z1, as one mesh."""
    return joined([box_between(end[:3], end[3:]) for end in ends])


def lying(mesh: Mesh) -> Mesh:
    """Turned so that what was up points to the front."""
    return moved(mesh, np.array([[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]], np.float64))


def blob(width: float, depth: float, height: float) -> Mesh:
    """A soft body standing on z = 0: cushions, bags, stones."""
    ball = sphere(1.0, 24)
    assert ball.normals is not None
    half = np.array([width, depth, height]) / 2
    directions = ball.vertices.astype(np.float64)
    swollen = np.sign(directions) * np.abs(directions) ** 0.6
    normals = np.sign(directions) * np.abs(swollen) ** (2 / 0.6 - 1) / half
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
    vertices = (swollen * half + [0, 0, half[2]]).astype(np.float32)
    return Mesh(vertices, ball.triangles, normals=normals.astype(np.float32))


# Pictures on surfaces.


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


def _picture_on(
    width: float, height: float, y: float, bitmap: NDArray[np.uint8], gloss: float = 0.0, glow: float = 0.0
) -> ModelPart:
    """A bitmap on an upright rectangle that faces the front, its lower edge on z = 0."""
    x = width / 2
    mesh = quad(np.array([[-x, y, 0], [x, y, 0], [x, y, height], [-x, y, height]], np.float64))
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    emission = (glow, glow, glow)
    return ModelPart(mesh, Material("picture", texture=bitmap, gloss=gloss, roughness=0.05, emission=emission), uv)


def picture(random: Random, finishes: Finishes, outdoors: NDArray[np.uint8] | None) -> Thing:
    """A framed picture."""
    width, height = float(random.uniform(0.2, 1.1)), float(random.uniform(0.2, 0.8))
    border, depth = float(random.uniform(0.01, 0.06)), float(random.uniform(0.012, 0.04))
    painting = finishes.artwork() if random.random() < 0.45 else None
    bitmap = outdoors if outdoors is not None and random.random() < 0.3 else artwork(random)
    if painting is not None and painting.material.texture is not None:
        bitmap = painting.material.texture
    frame = finishes.wood() if random.random() < 0.4 else finishes.any_paint()
    bars = _frame(width, height, border, depth)
    canvas = _picture_on(width, height, depth * 0.2, bitmap, gloss=float(random.choice([0.0, 0.0, 1.0])))
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
    tone = (0.9, 0.9, 0.9) if kind < 0.5 else (0.02, 0.05, 0.03) if kind < 0.65 else srgb_color(0.09, 0.5, 0.7)
    face = Material("board", tone, gloss=1.0 if kind < 0.5 else 0.0, roughness=0.15)
    parts.append(ModelPart(_picture_on(width, height, 0.005, np.zeros((1, 1, 3), np.uint8)).mesh, face))
    if kind >= 0.5:
        for _ in range(int(random.integers(2, 12))):
            sheet = _picture_on(0.21, 0.297, -0.002 - 0.002 * random.random(), page(random))
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
    turned = [shifted(_spun(hand, float(angle)), (0, 0, radius)) for hand, angle in zip(hands, angles, strict=True)]
    black = finishes.plain("black", (0.02, 0.02, 0.02))
    white = finishes.plain("dial", (0.85, 0.85, 0.82))
    return made("clock", "wall_thing", [finishes.any_paint().on(rim), white.on(face), black.on(joined(turned))])


def _spun(mesh: Mesh, angle: float) -> Mesh:
    c, s = np.cos(angle), np.sin(angle)
    return moved(mesh, np.array([[c, 0, s, 0], [0, 1, 0, 0], [-s, 0, c, 0], [0, 0, 0, 1]]))


# Small things.


def swatches(random: Random, count: int = 16) -> Material:
    """One material of many colours: a texture of patches, one row of them."""
    hues = np.array([srgb_color_bytes(random) for _ in range(count)], np.uint8)
    bitmap = np.repeat(np.repeat(hues[None], _SWATCH_PX, axis=0), _SWATCH_PX, axis=1)
    return Material("swatches", texture=bitmap, gloss=float(random.choice([0, 0, 0.3])))


def srgb_color_bytes(random: Random) -> tuple[int, int, int]:
    """An sRGB colour as on covers and packages: dark, pale and strong ones."""
    strong = random.random() < 0.5
    rgb = np.array(srgb_color(random.random(), random.uniform(0.4, 0.9) if strong else 0.15, random.uniform(0.1, 0.95)))
    r, g, b = (int(v) for v in 255 * rgb ** (1 / 2.2))
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
    card = finishes.plain("cardboard", srgb_color(0.09, random.uniform(0.3, 0.5), random.uniform(0.5, 0.75)))
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
    color = srgb_color(random.random(), random.uniform(0, 0.8), random.uniform(0.15, 0.95))
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
        tilted = moved(
            stem,
            np.array(
                [[np.cos(lean), 0, np.sin(lean), 0], [0, 1, 0, 0], [-np.sin(lean), 0, np.cos(lean), 0], [0, 0, 0, 1]]
            ),
        )
        stems.append(moved(tilted, turned_pose(0, 0, height - 0.06, turn)))
    return ModelPart(joined(stems), Material("flowers", srgb_color(random.random(), 0.6, random.uniform(0.3, 0.9))))


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
    shown = _picture_on(
        w - 0.02, h - 0.02, -0.0155, image if lit else np.full((2, 2, 3), 12, np.uint8), 1.0, 1.2 if lit else 0.0
    )
    face = ModelPart(shifted(shown.mesh, (0, 0, foot + 0.01)), shown.material, shown.uv)
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
    lid = [
        slabs((-w / 2, 0, 0, w / 2, 0.008, d)),
        _picture_on(w - 0.02, d - 0.02, -0.001, image, 1.0, 1.2 if lit else 0.0),
    ]
    c, s = np.cos(lean), np.sin(lean)
    tilt = np.array([[1, 0, 0, 0], [0, c, s, 0], [0, -s, c, 0.018], [0, 0, 0, 1]])
    tone = float(random.choice([0.02, 0.3, 0.6]))
    case = finishes.plain("laptop", (tone, tone, tone), 0.3)
    assert isinstance(lid[0], Mesh)
    assert isinstance(lid[1], ModelPart)
    shown = ModelPart(moved(lid[1].mesh, tilt), lid[1].material, lid[1].uv)
    parts = [case.on(joined([base, moved(lid[0], tilt)])), finishes.plain("keys", (0.02, 0.02, 0.02)).on(keys), shown]
    centered = [ModelPart(shifted(part.mesh, (0, d / 2, 0)), part.material, part.uv) for part in parts]
    return made("laptop", "clutter", centered)


# Furniture.


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
        legs = slabs(
            *(
                (
                    sx * a - (leg if sx > 0 else 0),
                    sy * b - (leg if sy > 0 else 0),
                    0.0,
                    sx * a + (0 if sx > 0 else leg),
                    sy * b + (0 if sy > 0 else leg),
                    height - t,
                )
                for sx in (-1, 1)
                for sy in (-1, 1)
            )
        )
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
        post = 0.03
        posts = slabs(
            *(
                (
                    sx * x - (post if sx > 0 else 0),
                    sy * y - (post if sy > 0 else 0),
                    0.0,
                    sx * x + (0 if sx > 0 else post),
                    sy * y + (0 if sy > 0 else post),
                    height,
                )
                for sx in (-1, 1)
                for sy in (-1, 1)
            )
        )
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
    white = finishes.plain("radiator", srgb_color(0.12, 0.03, random.uniform(0.8, 0.95)), 0.4)
    pitch = float(random.uniform(0.04, 0.08))
    xs = np.arange(-width / 2, width / 2 - pitch * 0.5, pitch)
    ribs = [box_between((x, -0.04, 0.1), (x + pitch * 0.6, 0.04, 0.1 + height)) for x in xs]
    plate = box_between((-width / 2, -0.015, 0.12), (width / 2, 0.015, 0.08 + height))
    return made("radiator", "radiator", [white.on(joined([plate, *ribs]))])


def workbench(random: Random, finishes: Finishes, palette: Palette, width: float) -> Thing:
    """A heavy bench with a shelf below."""
    x, y, h = width / 2, float(random.uniform(0.28, 0.4)), float(random.uniform(0.82, 0.95))
    top = slabs((-x, -y, h - 0.05, x, y, h))
    posts = slabs(
        *(
            (sx * (x - 0.08), sy * (y - 0.08), 0.0, sx * (x - 0.08) + 0.07, sy * (y - 0.08) + 0.07, h - 0.05)
            for sx in (-1, 1)
            for sy in (-1, 1)
        )
    )
    shelf = slabs((-x + 0.05, -y + 0.05, 0.2, x - 0.05, y - 0.05, 0.23))
    below = palette.metal if random.random() < 0.4 else palette.wood
    return made("workbench", "desk", [palette.wood.on(joined([top, shelf])), below.on(posts)])
