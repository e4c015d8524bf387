"""Doors and windows in wall axes: x along the wall, y out of the room, z up; the wall's inner face is y = 0."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lotus_recon.geometry.normals import normalized
from lotus_recon.synthetic.rooms.catalog import ModelPart
from lotus_recon.synthetic.rooms.materials import Palette
from lotus_recon.synthetic.rooms.plan import Opening
from lotus_recon.synthetic.rooms.scene import Material, Rgb
from lotus_recon.synthetic.rooms.solids import Finish, box_between, moved, quad, shifted, turned_pose
from lotus_recon.synthetic.shapes import cylinder, from_grid, joined
from lotus_recon.types import Mesh

SUN_DISTANCE_M = 2.5  # near, so that a small box behind each window holds all that is outside
SUN_RADIUS_M = 0.12
SUN = "sun"  # name of its material
SUNLIT_SHARE = (SUN_RADIUS_M / SUN_DISTANCE_M) ** 2  # of its radiance, that a white surface has behind the window
_OUTSIDE_M = 3.0  # depth of that box, and its size beyond the window


@dataclass(frozen=True, eq=False)
class Outdoors:
    """What is seen through the windows, and the light from there."""

    bitmap: NDArray[np.uint8]  # sRGB, shown once per window
    radiance: Rgb  # a factor on the bitmap
    sun: Rgb | None = None  # light that the sun throws on a surface behind the window that faces it
    to_sun: tuple[float, float, float] = (0.4, 1.0, 0.6)  # in wall axes, any length


@dataclass(frozen=True)
class WindowStyle:
    """What the windows of a room have in common."""

    reveal_m: float
    frame_m: float
    panes: int  # side by side
    rows: int
    sill_m: float  # how far the board stands out; 0: none
    dressing: str  # 'none', 'curtains', 'roller', 'slats'
    closed: float  # share of the height (slats, roller) or of half the width (curtains) that is covered


def draw_window_style(random: np.random.Generator) -> WindowStyle:
    """A style, random."""
    return WindowStyle(
        reveal_m=float(random.uniform(0.08, 0.35)),
        frame_m=float(random.uniform(0.04, 0.08)),
        panes=int(random.integers(1, 4)),
        rows=int(random.choice([1, 1, 1, 2, 3])),
        sill_m=float(random.choice([0.0, 0.04, 0.1, 0.2])),
        dressing=str(random.choice(["none", "curtains", "roller", "slats"], p=[0.36, 0.36, 0.13, 0.15])),
        closed=float(random.uniform(0.15, 0.6)),
    )


def sky_gradient(random: np.random.Generator) -> NDArray[np.uint8]:
    """(64, 8, 3) a plain sky above a plain ground."""
    horizon = float(random.uniform(0.1, 0.5))
    sky, ground = random.uniform([0.5, 0.7, 0.9], 1.0), random.uniform([0.1, 0.15, 0.1], [0.45, 0.5, 0.4])
    height = np.linspace(1, 0, 64)[:, None]
    above = np.clip((height - horizon) / (1 - horizon), 0, 1)
    colors = np.where(height > horizon, 1 - above * (1 - sky), ground)
    return np.asarray(np.round(255 * np.repeat(colors[:, None], 8, axis=1)), np.uint8)


def window_parts(
    opening: Opening, style: WindowStyle, palette: Palette, random: np.random.Generator
) -> Iterator[tuple[str, ModelPart]]:
    """Reveal, frame, sill and what hangs before the panes."""
    yield "reveal", palette.wall.on(_reveal(opening, style.reveal_m))
    yield "window frame", palette.trim.on(_window_frame(opening, style))
    if style.sill_m and opening.bottom > 0.3:
        low = (opening.start - 0.04, -style.sill_m, opening.bottom - 0.03)
        yield "window sill", palette.trim.on(box_between(low, (opening.end + 0.04, 0.0, opening.bottom + 0.004)))
    if style.dressing == "curtains":
        yield from _curtains(opening, style, palette, random)
    elif style.dressing == "roller":
        low = (opening.start + 0.02, 0.01, opening.top - style.closed * opening.height)
        yield "blind", palette.curtain.on(box_between(low, (opening.end - 0.02, 0.016, opening.top)))
    elif style.dressing == "slats":
        yield "blind", palette.trim.on(_slats(opening, style.closed * random.uniform(0.5, 1.8), random))


def sky_parts(opening: Opening, reveal_m: float, outdoors: Outdoors) -> Iterator[ModelPart]:
    """The bright pane behind a window; with a sun, a box behind the window that the sun stands in."""
    sky = Material("sky", texture=outdoors.bitmap, emission=outdoors.radiance)
    x0, x1, z0, z1, y = opening.start, opening.end, opening.bottom, opening.top, reveal_m
    if outdoors.sun is None:
        yield ModelPart(_facing_room(x0, x1, z0, z1, y), sky, _SKY_UV)
        return
    far = y + _OUTSIDE_M
    X0, X1, Z0, Z1 = x0 - _OUTSIDE_M, x1 + _OUTSIDE_M, z0 - 1.0, z1 + _OUTSIDE_M
    yield ModelPart(_facing_room(X0, X1, Z0, Z1, far), sky, _SKY_UV)
    yield ModelPart(quad(np.array([[X0, far, Z0], [X0, far, Z1], [X0, y, Z1], [X0, y, Z0]])[::-1]), sky, _SIDE_UV)
    yield ModelPart(quad(np.array([[X1, far, Z0], [X1, far, Z1], [X1, y, Z1], [X1, y, Z0]])), sky, _SIDE_UV)
    yield ModelPart(quad(np.array([[X0, y, Z1], [X1, y, Z1], [X1, far, Z1], [X0, far, Z1]])[::-1]), sky, _TOP_UV)
    yield ModelPart(quad(np.array([[X0, y, Z0], [X1, y, Z0], [X1, far, Z0], [X0, far, Z0]])), sky, _BOTTOM_UV)
    yield sun_part(opening, reveal_m, outdoors)


_SKY_UV = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
_SIDE_UV = np.array([[0, 0], [0, 1], [0, 1], [0, 0]], np.float32)
_TOP_UV = np.full((4, 2), 0.99, np.float32)
_BOTTOM_UV = np.full((4, 2), 0.01, np.float32)


def sun_center(opening: Opening, reveal_m: float, outdoors: Outdoors) -> NDArray[np.float64]:
    """(3,) in wall axes."""
    middle = np.array([(opening.start + opening.end) / 2, reveal_m, (opening.bottom + opening.top) / 2])
    to_sun = np.array(outdoors.to_sun)
    return middle + SUN_DISTANCE_M * to_sun / np.linalg.norm(to_sun)


def sun_part(opening: Opening, reveal_m: float, outdoors: Outdoors) -> ModelPart:
    """A small bright square that faces the window. Its light spreads more than the true sun's: it is near."""
    assert outdoors.sun is not None
    center = sun_center(opening, reveal_m, outdoors)
    towards = -np.array(outdoors.to_sun) / np.linalg.norm(outdoors.to_sun)
    side = np.cross(towards, [0.0, 0.0, 1.0])
    side /= np.linalg.norm(side)
    up = np.cross(side, towards)
    half = SUN_RADIUS_M * np.sqrt(np.pi) / 2
    corners = [center + half * (a * side + b * up) for a, b in ((-1, -1), (-1, 1), (1, 1), (1, -1))]
    per_light = SUN_DISTANCE_M**2 / (np.pi * SUN_RADIUS_M**2)
    r, g, b = (float(per_light * channel) for channel in outdoors.sun)
    mesh = quad(np.array(corners))
    if mesh.normals is not None and mesh.normals[0] @ towards < 0:
        mesh = quad(np.array(corners)[::-1])
    return ModelPart(mesh, Material(SUN, emission=(r, g, b)), None)


def _facing_room(x0: float, x1: float, z0: float, z1: float, y: float) -> Mesh:
    return quad(np.array([[x0, y, z0], [x1, y, z0], [x1, y, z1], [x0, y, z1]]))


def _reveal(opening: Opening, depth: float) -> Mesh:
    """The four inner faces of a hole in a wall."""
    x0, x1, z0, z1 = opening.start, opening.end, opening.bottom, opening.top
    left = [[x0, 0, z0], [x0, depth, z0], [x0, depth, z1], [x0, 0, z1]]
    right = [[x1, depth, z0], [x1, 0, z0], [x1, 0, z1], [x1, depth, z1]]
    bottom = [[x0, 0, z0], [x1, 0, z0], [x1, depth, z0], [x0, depth, z0]]
    top = [[x0, depth, z1], [x1, depth, z1], [x1, 0, z1], [x0, 0, z1]]
    return joined([quad(np.array(face, np.float64)) for face in (left, right, bottom, top)])


def _window_frame(opening: Opening, style: WindowStyle) -> Mesh:
    x0, x1, z0, z1 = opening.start, opening.end, opening.bottom, opening.top
    f, back = style.frame_m, style.reveal_m - 0.002
    front = max(back - 0.06, 0.005)
    bars = [(x0, z0, x1, z0 + f), (x0, z1 - f, x1, z1), (x0, z0, x0 + f, z1), (x1 - f, z0, x1, z1)]
    panes = max(1, min(style.panes, int((x1 - x0) / 0.4)))
    for x in np.linspace(x0, x1, panes + 1)[1:-1]:
        bars.append((x - f * 0.7, z0, x + f * 0.7, z1))
    for z in np.linspace(z0, z1, style.rows + 1)[1:-1]:
        bars.append((x0, z - 0.015, x1, z + 0.015))
    return joined([box_between((a, front, b), (c, back, d)) for a, b, c, d in bars])


def _curtains(
    opening: Opening, style: WindowStyle, palette: Palette, random: np.random.Generator
) -> Iterator[tuple[str, ModelPart]]:
    top = opening.top + float(random.uniform(0.05, 0.15))
    bottom = 0.02 if random.random() < 0.7 or opening.bottom < 0.4 else opening.bottom - 0.15
    half = opening.width / 2 + 0.1
    width = max(0.25, style.closed * half)
    middle = (opening.start + opening.end) / 2
    for side in (-1, 1):
        if random.random() < 0.9:
            outer, inner = middle + side * (half + 0.08), middle + side * (half + 0.08 - width)
            yield "curtain", palette.curtain.on(_folds(min(outer, inner), max(outer, inner), bottom, top, random))
    rod = moved(cylinder(0.012, opening.width + 0.5, 12), turned_pose(0, 0, 0, np.pi / 2, axis=1))
    yield "curtain rod", palette.metal.on(shifted(rod, (middle - (opening.width + 0.5) / 2, -0.09, top + 0.015)))


def _folds(x0: float, x1: float, z0: float, z1: float, random: np.random.Generator) -> Mesh:
    """Cloth in waves that grow towards the hem."""
    count = max(3, round((x1 - x0) / random.uniform(0.07, 0.14)))
    u, v = np.meshgrid(np.linspace(0, 1, 8 * count + 1), np.linspace(0, 1, 9), indexing="ij")
    phase = 2 * np.pi * count * u + 0.8 * np.sin(5 * u + 2 * v)
    depth = (0.022 + 0.02 * (1 - v)) * np.sin(phase) - 0.09
    points = np.stack([x0 + (x1 - x0) * u, depth, z0 + (z1 - z0) * v], axis=-1)
    along, up = np.gradient(points, axis=0), np.gradient(points, axis=1)
    return from_grid(points, normalized(np.cross(along, up)))


def _slats(opening: Opening, closed: float, random: np.random.Generator) -> Mesh:
    tilt = float(random.uniform(-0.9, 0.9))
    bottom = opening.top - min(closed, 1.0) * opening.height
    heights = np.arange(opening.top - 0.04, bottom, -0.032)
    x0, x1 = opening.start + 0.015, opening.end - 0.015
    slat = moved(box_between((x0, -0.017, -0.0008), (x1, 0.017, 0.0008)), turned_pose(0, 0, 0, tilt, axis=0))
    top = box_between((x0, 0.005, opening.top - 0.03), (x1, 0.045, opening.top))
    return joined([top, *(shifted(slat, (0.0, 0.025, float(z))) for z in heights)])


def door_parts(
    opening: Opening, palette: Palette, hall: Finish, open_angle: float, random: np.random.Generator
) -> Iterator[tuple[str, ModelPart]]:
    """Casing and leaf; with an open leaf (``open_angle`` > 0, in radians) a piece of the hall behind.

    The leaf turns about its hinge at the start of the opening, out of the room.
    """
    yield "door casing", palette.trim.on(_casing(opening))
    leaf = _leaf(opening.width - 0.01, opening.height - 0.005, random)
    handle = _handle(opening.width)
    hinge = turned_pose(opening.start + 0.005, 0.06, 0.003, open_angle)
    yield "door", palette.door.on(moved(leaf, hinge))
    yield "door handle", palette.metal.on(moved(handle, hinge))
    if open_angle > 0:
        yield "reveal", palette.trim.on(_reveal(opening, 0.12))
        yield from _hall(opening, palette, hall, float(random.uniform(1.2, 2.5)))
    else:  # light must not pass beside the leaf
        back = box_between((opening.start, 0.1, 0.0), (opening.end, 0.11, opening.top))
        yield "reveal", palette.trim.on(joined([_reveal(opening, 0.12), back]))


def _casing(opening: Opening) -> Mesh:
    w, t = 0.07, 0.016
    x0, x1, z1 = opening.start, opening.end, opening.top
    bars = [(x0 - w, 0.0, x0, z1 + w), (x1, 0.0, x1 + w, z1 + w), (x0 - w, z1, x1 + w, z1 + w)]
    return joined([box_between((a, -t, b), (c, 0.002, d)) for a, b, c, d in bars])


def _leaf(width: float, height: float, random: np.random.Generator) -> Mesh:
    """A door in its own axes: the hinge at x = 0, the front at y = 0."""
    slabs = [box_between((0, 0, 0), (width, 0.04, height))]
    columns, rows = int(random.integers(0, 3)), int(random.integers(1, 4))
    xs, zs = np.linspace(0.08, width - 0.08, columns + 1), np.linspace(0.1, height - 0.08, rows + 1)
    for a, b in itertools.pairwise(xs):
        for c, d in itertools.pairwise(zs):
            slabs.append(box_between((a + 0.03, -0.008, c + 0.03), (b - 0.03, 0.0, d - 0.03)))
    return joined(slabs)


def _handle(width: float) -> Mesh:
    x = width - 0.07
    return joined(
        [
            box_between((x - 0.02, -0.012, 0.95), (x + 0.02, 0, 1.13)),
            box_between((x - 0.012, -0.06, 1.03), (x + 0.012, 0, 1.05)),
            box_between((x - 0.12, -0.07, 1.03), (x + 0.012, -0.05, 1.05)),
        ]
    )


def _hall(opening: Opening, palette: Palette, hall: Finish, depth: float) -> Iterator[tuple[str, ModelPart]]:
    x0, x1, y0, y1, z1 = opening.start - 0.7, opening.end + 0.7, 0.12, 0.12 + depth, opening.top + 0.35
    floor = [[x0, y0, 0], [x1, y0, 0], [x1, y1, 0], [x0, y1, 0]]
    threshold = [[opening.start, 0, 0], [opening.end, 0, 0], [opening.end, y0, 0], [opening.start, y0, 0]]
    yield "hall floor", palette.floor.on(joined([quad(np.array(f, np.float64)) for f in (floor, threshold)]))
    sides = [
        [[x0, y0, 0], [x0, y1, 0], [x0, y1, z1], [x0, y0, z1]],
        [[x1, y1, 0], [x1, y0, 0], [x1, y0, z1], [x1, y1, z1]],
        [[x0, y1, 0], [x1, y1, 0], [x1, y1, z1], [x0, y1, z1]],
        [[x0, y1, z1], [x1, y1, z1], [x1, y0, z1], [x0, y0, z1]],
        [[opening.start, y0, 0], [x0, y0, 0], [x0, y0, z1], [opening.start, y0, z1]],
        [[x1, y0, 0], [opening.end, y0, 0], [opening.end, y0, z1], [x1, y0, z1]],
    ]
    yield "hall wall", hall.on(joined([quad(np.array(face, np.float64)) for face in sides]))
