"""Computed bitmaps of floors, walls, fabric and wood that repeat without a seam."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lotus_recon.synthetic.arrangement import Texture as Shader
from lotus_recon.synthetic.noise import Noise
from lotus_recon.synthetic.renderer import to_srgb
from lotus_recon.synthetic.textures import (
    Color,
    bricks,
    linear,
    marble,
    mixed,
    mosaic,
    painting,
    planks,
    plaster,
    ramp,
    rug,
    step,
    worn,
)

_SIDE_PX = 512  # of the longer side of a bitmap


@dataclass(frozen=True)
class Pattern:
    """A surface, by what it is like at points of the plane (metres)."""

    category: str  # catalog.TEXTURE_CATEGORIES
    size_m: tuple[float, float]  # of one repetition
    shader: Shader
    # none: the surface repeats after its size; blend: its ends are mixed; around: its left and right ends only;
    # mirror: it is reflected.
    seam: str = "none"

    def bitmap(self) -> NDArray[np.uint8]:
        """(h, w, 3) sRGB; the first row is the top."""
        pixel = max(self.size_m) / _SIDE_PX
        width, height = (2 * max(round(side / pixel / 2), 1) for side in self.size_m)
        if self.seam == "mirror":
            quarter = _sampled(self.shader, width // 2, height // 2, pixel)
            half = np.concatenate([quarter, quarter[:, ::-1]], axis=1)
            return np.concatenate([half, half[::-1]])
        more_x = width // 4 if self.seam in ("blend", "around") else 0
        more_y = height // 4 if self.seam == "blend" else 0
        larger = _sampled(self.shader, width + more_x, height + more_y, pixel)
        return _overlapped(_overlapped(larger, more_y).swapaxes(0, 1), more_x).swapaxes(0, 1)


def _sampled(shader: Shader, width: int, height: int, pixel: float) -> NDArray[np.uint8]:
    x, y = (np.arange(width) + 0.5) * pixel, (np.arange(height)[::-1] + 0.5) * pixel
    points = np.stack([*np.meshgrid(x, y), np.zeros((height, width))], axis=-1).reshape(-1, 3)
    return to_srgb(shader(points.astype(np.float32))).reshape(height, width, 3)


def _overlapped(image: NDArray[np.uint8], rows: int) -> NDArray[np.uint8]:
    """The image without its last ``rows``, which are mixed into the first ones so that its contrast stays."""
    if rows == 0:
        return image
    angle = (np.arange(rows) + 0.5)[:, None, None] / rows * np.pi / 2
    mean = image.mean((0, 1))
    mix = mean + np.sin(angle) * (image[:rows] - mean) + np.cos(angle) * (image[-rows:] - mean)
    return np.concatenate([np.clip(mix, 0, 255).astype(np.uint8), image[rows:-rows]])


def tiles(seed: int, size: float, joint: float, colors: Sequence[Color], grout: Color, pattern: int) -> Shader:
    """Square tiles; ``pattern`` 0: every tile its own tone, 1: a chessboard, 2: alike but for speckles."""
    noise = Noise(seed)

    def shader(points: NDArray[np.float32]) -> NDArray[np.float32]:
        cell = np.floor(points[:, :2] / size)
        inside = np.abs(points[:, :2] / size - cell - 0.5)
        tone = (noise.of_cell(*cell.T), cell.sum(1) % 2, np.full(len(points), 0.5, np.float32))[pattern]
        cloud = noise.fractal(points + 7 * tone[:, None], 4 / size, 4)
        albedo = ramp(np.clip(tone + 0.5 * (cloud - 0.5), 0, 1), colors)
        gap = size * (0.5 - inside.max(1))
        return worn(mixed(linear(grout), albedo, step(gap, joint / 2, joint / 4)), points, noise, 3 * size, 0.2)

    return shader


def weave(seed: int, thread: float, colors: Sequence[Color], bands: float = 0.0, plaid: bool = False) -> Shader:
    """Cloth of threads, in one colour or in bands of about ``bands`` metres, across both ways when ``plaid``."""
    noise = Noise(seed)

    def stripe(along: NDArray[np.float32], channel: int) -> NDArray[np.float32]:
        return noise.of_cell(np.floor(along / bands + 0.3 * np.sin(2 * along / bands)), channel=channel)

    def shader(points: NDArray[np.float32]) -> NDArray[np.float32]:
        u, v = points[:, 0], points[:, 1]
        over = (np.floor(u / thread) + np.floor(v / thread)) % 2
        tone = np.full(len(points), 0.5, np.float32)
        if bands:
            tone = stripe(u, 1)
            tone = np.where(over > 0, tone, stripe(v, 2)) if plaid else tone
        relief = 0.5 + 0.5 * np.abs(np.sin(np.pi * np.where(over > 0, u, v) / thread))
        shade = relief * (0.8 + 0.4 * noise.fractal(points, 0.2 / thread, 4, 0.7))
        albedo = ramp(np.clip(tone + 0.2 * (noise.fractal(points, 0.1 / thread, 3) - 0.5), 0, 1), colors)
        return np.asarray(np.clip(albedo * shade[:, None], 0.005, 0.95), np.float32)

    return shader


def wallpaper(seed: int, cell: float, colors: Sequence[Color], motif: int) -> Shader:
    """Printed paper; ``motif`` 0: stripes, 1: dots, 2: diamonds, 3: flowers."""
    noise = Noise(seed)

    def shader(points: NDArray[np.float32]) -> NDArray[np.float32]:
        row = np.floor(points[:, 1] / cell)
        x = points[:, 0] / cell + 0.5 * (row % 2) * (motif > 0)
        u, v = x - np.floor(x) - 0.5, points[:, 1] / cell - row - 0.5
        distance, angle = np.hypot(u, v), np.arctan2(v, u)
        level = (
            np.abs(u),
            distance,
            np.abs(np.abs(u) + np.abs(v) - 0.4) + 0.15,
            distance * (1.4 + 0.5 * np.cos(5 * angle)),
        )[motif]
        base = mixed(linear(colors[1]), linear(colors[0]), step(np.asarray(level), 0.25, 0.04))
        inner = step(np.asarray(level), 0.1, 0.03)
        albedo = mixed(linear(colors[2]), base, inner) if motif == 3 else base
        return worn(albedo, points, noise, 8 * cell, 0.12)

    return shader


def grain(seed: int, colors: Sequence[Color], width: float = 0.25) -> Shader:
    """Boards of wood along x: fibres and the rings of the trunk."""
    noise = Noise(seed)

    def shader(points: NDArray[np.float32]) -> NDArray[np.float32]:
        bend = noise.fractal(points, (0.5, 1.2 / width, 1), octaves=3)
        rings = 0.5 + 0.5 * np.sin(60 * bend + 20 * points[:, 1] / width * 0.2)
        fibre = noise.fractal(points, (4, 60 / width, 1), octaves=4, gain=0.8)
        tone = np.clip(0.5 + 0.4 * (rings - 0.5) + 0.9 * (fibre - 0.5), 0, 1)
        return np.asarray(ramp(tone, colors) * (0.85 + 0.3 * fibre)[:, None], np.float32)

    return shader


def hide(seed: int, color: Color) -> Shader:
    """Leather: small cells with creases, worn in spots."""
    noise = Noise(seed)

    def shader(points: NDArray[np.float32]) -> NDArray[np.float32]:
        creases = step(np.abs(noise.fractal(points, 90, 3) - 0.5), 0.02, 0.04)
        shade = (0.7 + 0.3 * creases) * (0.75 + 0.5 * noise.fractal(points, 4, 4))
        return np.asarray(np.clip(linear(color) * shade[:, None], 0.005, 0.95), np.float32)

    return shader


def concrete(seed: int, colors: Sequence[Color]) -> Shader:
    """Cast in place: clouds, pores, fine cracks."""
    noise = Noise(seed)

    def shader(points: NDArray[np.float32]) -> NDArray[np.float32]:
        tone = noise.fractal(points, 1.1, 6, 0.6)
        return worn(ramp(np.clip(2 * (tone - 0.5) + 0.5, 0, 1), colors), points, noise, 0.6, 0.35)

    return shader


def outdoors(seed: int, horizon: float) -> Shader:
    """A view over gardens, blurred by distance: sky above, leaves and meadows below ``horizon`` (metres up)."""
    noise = Noise(seed)

    def shader(points: NDArray[np.float32]) -> NDArray[np.float32]:
        height = points[:, 1] - horizon
        clouds = step(noise.fractal(points, (0.5, 1.3, 1), 5), 0.52, 0.25)
        sky = mixed(ramp(np.clip(height / 2, 0, 1), ("#cfe3f2", "#6ea3d6")), linear("#f4f4f2"), clouds)
        leaves = ramp(np.clip(noise.fractal(points, 3, 6, 0.7) * 1.6 - 0.3, 0, 1), ("#14230c", "#3f5e22", "#93a862"))
        meadow = ramp(noise.fractal(points, (1, 4, 1), 4), ("#5c7a35", "#9db35f"))
        tops = 0.9 * (noise.fractal(points * [1, 0, 1], 0.9, 4, 0.6) - 0.35)
        ground = mixed(leaves, meadow, step(-height, 0.25, 0.1))
        return mixed(ground, sky, step(height - tops, 0.0, 0.05))

    return shader


_WOODS: tuple[tuple[Color, ...], ...] = (
    ("#6b4526", "#a5713f", "#c99a62"),
    ("#8a6a45", "#c9a878", "#e2c99c"),
    ("#2d1b10", "#4d2f1b", "#6d452a"),
    ("#7a3f22", "#a65a33", "#c97c4c"),
    ("#9b9184", "#bdb3a4", "#d8d0c2"),
    ("#5a5048", "#7d7266", "#9a8f82"),
    ("#c7ae86", "#e0cba5", "#efe0c2"),
    ("#4a2413", "#7c3d20", "#96522d"),
)
_STONES: tuple[tuple[Color, ...], ...] = (
    ("#d9d4c8", "#efeadf"),
    ("#8a8d8f", "#b4b6b8"),
    ("#33363a", "#54585d"),
    ("#b5714e", "#d39a77"),
    ("#c8b89a", "#e6dcc6"),
    ("#5b6f7c", "#8ba0ab"),
    ("#ffffff", "#1f2022"),
    ("#7d8f6d", "#c3cfb2"),
)
_PAINTS: tuple[tuple[Color, ...], ...] = (
    ("#efe9dd", "#f7f3ea"),
    ("#cfd8d4", "#e3eae6"),
    ("#d9c7b0", "#ecdcc6"),
    ("#9fb4c2", "#bccdd7"),
    ("#c9a2a0", "#dfc0bd"),
    ("#8e9a78", "#adb795"),
    ("#5d6b78", "#7a8894"),
    ("#d8c07a", "#e9d79c"),
)
_CLOTHS: tuple[tuple[Color, ...], ...] = (
    ("#23395d", "#3f5f8f", "#c9d4e3"),
    ("#5d2a2a", "#8f4242", "#e0c0b4"),
    ("#2f4a37", "#567a60", "#c9d6c4"),
    ("#777068", "#a39b90", "#d9d2c6"),
    ("#2a2a2d", "#4c4c50", "#8c8c90"),
    ("#a06b2c", "#cf9a4d", "#efdcb2"),
    ("#c9bfae", "#e0d8ca", "#f2ede3"),
    ("#4d3a5c", "#7b6291", "#cfc0dc"),
    ("#1f5d63", "#3f8c92", "#bfdcdc"),
    ("#b04a5a", "#d88490", "#f0d4d6"),
)
_CLAYS: tuple[tuple[Color, ...], ...] = (("#6e2f21", "#a65a41"), ("#b9ab97", "#d9cfbe"), ("#8c5a44", "#c78d6e"))
_CONCRETES: tuple[tuple[Color, ...], ...] = (("#8f9194", "#b9bbbd"), ("#6d6f71", "#8b8d8f"))


def _patterns() -> dict[str, Pattern]:
    """All patterns by name."""
    made: dict[str, Pattern] = {}

    def add(kind: str, category: str, size_m: tuple[float, float], shader: Shader, seam: str = "none") -> None:
        number = sum(name.startswith(kind) for name in made)
        made[f"{kind}-{number}"] = Pattern(category, size_m, shader, seam)

    for i, colors in enumerate(_WOODS):
        width = 0.08 + 0.04 * (i % 4)
        add("planks", "floor", (2.4, 12 * width), planks(100 + i, width, 1.2, colors))
        add("grain", "wood", (1.6, 1.0), grain(150 + i, colors, 0.15 + 0.1 * (i % 3)), "blend")
    for i, colors in enumerate(_STONES):
        side = (0.1, 0.2, 0.3, 0.4)[i % 4]
        for category, tile in (("floor", 1.5 * side), ("wall", side)):
            shader = tiles(
                200 + i, tile, 0.004, colors, "#a9a49a" if i % 2 else "#e8e5de", 1 if i == 6 else i % 3 and 2
            )
            add("tiles", category, (8 * tile, 8 * tile), shader)
    for i, colors in enumerate(_PAINTS):
        add("plaster", "wall", (3.0, 3.0), plaster(300 + i, colors, 1.5), "blend")
        size = 0.06 + 0.05 * (i % 3)
        paper = (colors[1], colors[0], _CLOTHS[i][1])
        add("wallpaper", "wall", (8 * size, 8 * size), wallpaper(350 + i, size, paper, i % 4))
    for i, colors in enumerate(_CLAYS):
        add("bricks", "wall", (1.68, 1.12), bricks(400 + i, 0.21, 0.07, 0.01, colors, "#b8b0a4"))
    for i, colors in enumerate(_CONCRETES):
        add("concrete", "wall", (3.0, 3.0), concrete(420 + i, colors), "blend")
        add("marble", "floor", (2.4, 2.4), marble(440 + i, 0.8), "blend")
        add("mosaic", "floor", (1.0, 1.0), mosaic(460 + i, 0.05, _CLOTHS[i]), "blend")
    for i, colors in enumerate(_CLOTHS):
        far = _CLOTHS[(i + 3) % len(_CLOTHS)][1]
        stripes = weave(520 + i, 0.005, colors, bands=0.02 + 0.02 * (i % 3), plaid=i % 2 == 0)
        add("cloth", "fabric", (0.4, 0.4), weave(500 + i, 0.004, colors[:2]), "blend")
        add("bands", "fabric", (0.8, 0.8), stripes, "mirror")
        add("rug", "fabric", (2.0, 1.4), rug(540 + i, 0.25, (*colors, far)), "mirror")
        add("painting", "other", (1.0, 0.8), painting(560 + i, 0.7, (*colors, far)), "blend")
    for i, color in enumerate(("#3b2417", "#171412", "#8c5a35", "#b9b0a2")):
        add("leather", "fabric", (0.6, 0.6), hide(600 + i, color), "blend")
    for i in range(4):
        add("outdoors", "outdoor", (6.0, 3.0), outdoors(620 + i, 1.0 + 0.2 * i), "around")
    return made


PATTERNS: dict[str, Pattern] = _patterns()
