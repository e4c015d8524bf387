"""Grounds, trees and buildings of our own making, for places outdoors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lotus_recon.geometry.normals import normalized
from lotus_recon.synthetic.rooms.catalog import ModelPart
from lotus_recon.synthetic.rooms.materials import hsv_color
from lotus_recon.synthetic.rooms.scene import Material
from lotus_recon.synthetic.rooms.sky_light import fractal_noise
from lotus_recon.synthetic.rooms.solids import Finish, box_between
from lotus_recon.synthetic.shapes import from_grid, joined, lathe
from lotus_recon.types import Mesh

_TEXELS = 768
_GRASS = ((44, 62, 24), (122, 134, 66))
_GROUNDS = {
    "grass": _GRASS,
    "meadow": ((66, 74, 30), (176, 166, 96)),
    "soil": ((70, 52, 38), (140, 112, 84)),
    "sand": ((150, 132, 100), (214, 198, 160)),
    "gravel": ((82, 80, 76), (170, 166, 158)),
    "snow": ((206, 212, 222), (246, 248, 252)),
    "asphalt": ((48, 48, 50), (104, 103, 102)),
    "paving": ((110, 106, 100), (178, 174, 166)),
}
LAWNS = ("grass", "grass", "grass", "meadow", "soil", "sand", "gravel", "snow")


def ground_finish(kind: str, random: np.random.Generator) -> Finish:
    """A surface to walk on; its texture repeats after several metres."""
    dark, light = (np.array(color, np.float32) for color in _GROUNDS[kind])
    coarse, fine = fractal_noise(random, _TEXELS, 0.9), fractal_noise(random, _TEXELS, 0.5)
    share = (0.55 * coarse + 0.45 * fine)[..., None]
    image = dark + share * (light - dark)
    if kind == "paving":
        image *= _joints(int(random.choice([6, 8, 12])))
    image *= random.uniform(0.85, 1.15) * random.uniform(0.95, 1.05, 3)
    side = float(random.uniform(8, 20)) if kind != "paving" else float(random.uniform(3, 6))
    return Finish(Material(kind, texture=np.clip(image, 0, 255).astype(np.uint8)), (side, side))


def _joints(count: int) -> NDArray[np.float32]:
    """(N, N, 1) darker along the joints of square slabs."""
    place = np.arange(_TEXELS) * count % _TEXELS
    line = (place < 3 * count).astype(np.float32)
    return np.asarray(1 - 0.45 * np.maximum(line[:, None], line), np.float32)[..., None]


def terrain(random: np.random.Generator, reach: float, flat: float, hills: float) -> Mesh:
    """Ground around the origin up to ``reach`` metres: level where abs(y) < ``flat``, hilly by ``hills`` metres."""
    steps = np.sinh(np.linspace(-4.2, 4.2, 190)) / np.sinh(4.2) * reach
    x, y = np.meshgrid(steps, steps, indexing="ij")
    off = np.maximum(np.abs(y) - flat, 0.0)
    rise = 1 - np.exp(-((off / 60.0) ** 2))
    z = np.zeros_like(x)
    for _ in range(7):
        length = float(random.uniform(25, 260))
        turn, phase = random.uniform(0, 2 * np.pi, 2)
        z += length / 260 * np.sin((np.cos(turn) * x + np.sin(turn) * y) * 2 * np.pi / length + phase)
    z = rise * hills * (z / 3 + 0.4)
    points = np.stack([x, y, z - 0.02], axis=-1)
    du, dv = np.gradient(points, axis=0), np.gradient(points, axis=1)
    return from_grid(points, normalized(np.cross(du, dv)))


def on_ground(ground: Mesh, x: float, y: float) -> float:
    """Height of the nearest corner of a terrain."""
    return float(ground.vertices[np.argmin(np.hypot(ground.vertices[:, 0] - x, ground.vertices[:, 1] - y)), 2])


def tree(random: np.random.Generator, leaves: int = 4500) -> list[ModelPart]:
    """A tree about 1 m high, standing on z = 0: leafy, or a conifer. Leaves are shaded like the crown."""
    conifer = random.random() < 0.3
    trunk_height, radius = float(random.uniform(0.5, 0.75)), float(random.uniform(0.012, 0.03))
    profile = np.array([[1.4 * radius, 0.0], [radius, 0.2], [0.3 * radius, 0.95 if conifer else trunk_height + 0.15]])
    bark = Finish(Material("bark", (0.09, 0.065, 0.045))).on(lathe(profile, 10, 6))
    centers, outward = _cone(random, leaves) if conifer else _crown(random, leaves, trunk_height)
    size = float(random.uniform(0.007, 0.013)) * (0.8 if conifer else 1.0)
    hue = float(random.choice([random.uniform(0.2, 0.33), random.uniform(0.05, 0.15)], p=[0.85, 0.15]))
    return [bark, _foliage(random, centers, outward, size, hue)]


def _crown(random: np.random.Generator, leaves: int, height: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places of leaves and directions out of the crown (N, 3): tufts within an ellipsoid."""
    half = np.array([random.uniform(0.2, 0.4), random.uniform(0.2, 0.4), random.uniform(0.22, 0.4)])
    middle = np.array([0, 0, max(height, half[2] + 0.1)])
    tufts = normalized(random.normal(size=(24, 3))) * random.uniform(0.4, 1.0, (24, 1)) * half
    chosen = tufts[random.integers(len(tufts), size=leaves)]
    spread = normalized(random.normal(size=(leaves, 3))) * random.uniform(0.5, 1.0, (leaves, 1))
    places = chosen + spread * 0.42 * half.mean()
    return middle + places, normalized(0.6 * spread + places / half)


def _cone(random: np.random.Generator, leaves: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    tier = random.random(leaves)
    height = 0.12 + 0.88 * (np.floor(tier * 14) + random.random(leaves) ** 2) / 15
    reach = (1.02 - height) * random.uniform(0.22, 0.36) * np.sqrt(random.random(leaves))
    turn = random.uniform(0, 2 * np.pi, leaves)
    around = np.stack([np.cos(turn), np.sin(turn), np.full(leaves, 0.5)], axis=-1)
    places = np.stack([reach * np.cos(turn), reach * np.sin(turn), height - 0.25 * reach], axis=-1)
    return places, normalized(around)


def _foliage(
    random: np.random.Generator,
    centers: NDArray[np.float64],
    outward: NDArray[np.float64],
    size: float,
    hue: float,
) -> ModelPart:
    count = len(centers)
    along = normalized(random.normal(size=(count, 3)))
    across = normalized(np.cross(along, random.normal(size=(count, 3))))
    length = size * random.uniform(0.7, 1.5, (count, 1))
    corners = np.stack([-along, 0.6 * across, along, -0.6 * across], axis=1) * length[:, None] + centers[:, None]
    quads = np.arange(4 * count).reshape(-1, 4)
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)
    normals = np.repeat(outward, 4, axis=0).astype(np.float32)
    tones = np.array([hsv_color(hue + random.normal(0, 0.015), random.uniform(0.4, 0.75), v) for v in
                      np.linspace(0.12, 0.5, 64)])  # fmt: skip
    texture = np.clip(255 * np.sqrt(tones), 0, 255).astype(np.uint8)[None].repeat(4, axis=0)
    uv = np.repeat(random.random((count, 1)) * [[1.0, 0.0]] + [[0.0, 0.5]], 4, axis=0).astype(np.float32)
    mesh = Mesh(corners.reshape(-1, 3).astype(np.float32), triangles, normals=normals)
    return ModelPart(mesh, Material("leaves", texture=texture, fine=True), uv)


def building(
    random: np.random.Generator, walls: Finish, roof: Finish, width: float, depth: float, floors: int
) -> list[ModelPart]:
    """A house on z = 0 with recessed windows, a door, and a flat or gabled roof; its front faces -y."""
    storey = float(random.uniform(2.6, 3.6))
    height = floors * storey
    wide, high, recess = (float(value) for value in random.uniform([0.35, 0.4, 0.05], [0.7, 0.72, 0.25]))
    style = _Windows(wide, high, recess, storey, float(random.uniform(2.0, 4.0)))
    corners = np.array([[-width, -depth], [width, -depth], [width, depth], [-width, depth]]) / 2
    wall_quads, pane_quads = [], []
    for i in range(4):
        solid, panes = style.side(corners[i], corners[(i + 1) % 4], floors)
        wall_quads.append(solid)
        pane_quads.append(panes)
    pane = Material("pane", tuple(random.uniform(0.01, 0.06, 3)))
    parts = [walls.on(flat_quads(np.concatenate(wall_quads))), Finish(pane).on(flat_quads(np.concatenate(pane_quads)))]
    return [*parts, roof.on(_roof(random, width, depth, height))]


class _Windows:
    """How the sides of a building are divided."""

    def __init__(self, wide: float, high: float, recess: float, storey: float, bay: float) -> None:
        self._wide, self._high, self._recess, self._storey, self._bay = wide, high, recess, storey, bay

    def side(
        self, start: NDArray[np.float64], end: NDArray[np.float64], floors: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Quads (N, 4, 3) of the wall with its reveals, and of the panes."""
        length = float(np.linalg.norm(end - start))
        bays = max(1, round(length / self._bay))
        right = np.array([*(end - start) / length, 0.0])
        inward = np.array([-right[1], right[0], 0.0])
        column, row = (index.ravel() for index in np.meshgrid(np.arange(bays), np.arange(floors)))
        origin = np.array([*start, 0.0])
        w, h = length / bays, self._storey
        low = origin + (column * w)[:, None] * right + (row * h)[:, None] * [0, 0, 1]

        def at(u: float, v: float, inside: bool = False) -> NDArray[np.float64]:
            depth = self._recess * inward if inside else 0.0
            return np.asarray(low + u * w * right + np.array([0, 0, v * h]) + depth)

        a, b = (1 - self._wide) / 2, (1 + self._wide) / 2
        c, d = (1 - self._high) / 2, (1 + self._high) / 2
        quads = [
            [at(0, 0), at(1, 0), at(1, c), at(0, c)],
            [at(0, d), at(1, d), at(1, 1), at(0, 1)],
            [at(0, c), at(a, c), at(a, d), at(0, d)],
            [at(b, c), at(1, c), at(1, d), at(b, d)],
            [at(a, c), at(b, c), at(b, c, True), at(a, c, True)],
            [at(a, d, True), at(b, d, True), at(b, d), at(a, d)],
            [at(a, c), at(a, c, True), at(a, d, True), at(a, d)],
            [at(b, c, True), at(b, c), at(b, d), at(b, d, True)],
        ]
        pane = [at(a, c, True), at(b, c, True), at(b, d, True), at(a, d, True)]
        return np.concatenate([np.stack(quad, axis=1) for quad in quads]), np.stack(pane, axis=1)


def _roof(random: np.random.Generator, width: float, depth: float, height: float) -> Mesh:
    over = float(random.uniform(0.1, 0.5))
    x, y = width / 2 + over, depth / 2 + over
    if random.random() < 0.45:
        return box_between((-x, -y, height), (x, y, height + random.uniform(0.2, 0.9)))
    top = height + y * float(random.uniform(0.4, 1.0))
    a, b, c, d = np.array([[-x, -y, height], [x, -y, height], [x, y, height], [-x, y, height]])
    e, f = np.array([-x, 0, top]), np.array([x, 0, top])
    slopes = flat_quads(np.array([[a, b, f, e], [c, d, e, f]]))
    gables = flat_quads(np.array([[b, c, f, f], [d, a, e, e], [a, d, c, b]]))
    return joined([slopes, gables])


def flat_quads(quads: NDArray[np.float64]) -> Mesh:
    """Flat quads (N, 4, 3) as a mesh with sharp edges; a quad may end in the same corner twice."""
    normals = normalized(np.cross(quads[:, 1] - quads[:, 0], quads[:, 2] - quads[:, 0]))
    index = np.arange(4 * len(quads)).reshape(-1, 4)
    triangles = np.concatenate([index[:, [0, 1, 2]], index[:, [0, 2, 3]]]).astype(np.int32)
    vertices = quads.reshape(-1, 3).astype(np.float32)
    return Mesh(vertices, triangles, normals=np.repeat(normals, 4, axis=0).astype(np.float32))
