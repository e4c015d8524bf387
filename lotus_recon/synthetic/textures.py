"""Procedural solid textures: functions of the position in item axes. Rich at all scales and never quite repeating.

Each maker takes lengths in the unit of the scene and returns a Texture; the same seed gives the same surface.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lotus_recon.io.srgb import linear_of_bytes
from lotus_recon.synthetic.arrangement import Texture
from lotus_recon.synthetic.noise import Noise
from lotus_recon.types import FloatArray

Color = str  # "#rrggbb", sRGB


def linear(color: Color) -> NDArray[np.float32]:
    """(3,) linear RGB of an sRGB colour."""
    return linear_of_bytes(np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)], np.uint8))


def ramp(values: FloatArray, colors: Sequence[Color]) -> NDArray[np.float32]:
    """(N, 3) colours interpolated along a list for values (N,) in [0, 1]."""
    stops = np.linspace(0, 1, len(colors))
    table = np.stack([linear(color) for color in colors])
    return np.stack([np.interp(values, stops, table[:, c]) for c in range(3)], axis=-1).astype(np.float32)


def mixed(a: FloatArray, b: FloatArray, share: FloatArray) -> NDArray[np.float32]:
    """(N, 3) ``a`` and ``b`` mixed; ``share`` (N,) of b."""
    weight = np.asarray(share)[:, None]
    return np.asarray(a * (1 - weight) + b * weight, np.float32)


def step(values: FloatArray, edge: float, width: float) -> NDArray[np.float32]:
    """Values (any shape) mapped to 0 below ``edge`` and 1 above, smooth over ``width`` around it."""
    t = np.clip((np.asarray(values) - edge) / width + 0.5, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def worn(
    albedo: FloatArray, points: FloatArray, noise: Noise, scale: float, strength: float = 0.5
) -> NDArray[np.float32]:
    """``albedo`` (N, 3) at ``points`` (N, 3) with stains, grain and pits from ``scale`` down to a 64th of it."""
    stains = noise.fractal(points, 1 / scale, octaves=4)
    grain = noise.fractal(points, 12 / scale, octaves=4, gain=0.75)
    shade = 1 + strength * (1.6 * (stains - 0.5) + 1.4 * (grain - 0.5))
    pits = step(noise.fractal(points, 9 / scale, octaves=3, gain=0.6), 0.66, 0.06)
    return np.asarray(np.clip(albedo * (shade * (1 - 0.5 * strength * pits))[:, None], 0.01, 0.95), np.float32)


def planks(seed: int, width: float, length: float, colors: Sequence[Color]) -> Texture:
    """Floor boards along x in the xy plane."""
    noise = Noise(seed)

    def texture(points: NDArray[np.float32]) -> NDArray[np.float32]:
        row = np.floor(points[:, 1] / width)
        along = points[:, 0] / length + noise.of_cell(row)
        board = np.floor(along)
        tint, offset = noise.of_cell(row, board, channel=1), noise.of_cell(row, board, channel=2)
        inside = points + np.stack([7 * offset, offset, 13 * offset], axis=-1)
        bend = noise.fractal(inside, (1.2 / length, 3 / width, 1), octaves=3)
        rings = 0.5 + 0.5 * np.sin(40 * bend + 3 * points[:, 1] / width)
        fibre = noise.fractal(inside, (6 / length, 40 / width, 1), octaves=3, gain=0.8)
        albedo = ramp(np.clip(0.15 + 0.55 * tint + 0.35 * (rings - 0.5) + 0.9 * (fibre - 0.5), 0, 1), colors)
        gap = np.minimum(_to_border(points[:, 1] / width) * width, _to_border(along) * length)
        return worn(mixed(linear("#1c120a"), albedo, step(gap, 0.0025, 0.003)), points, noise, 4 * width, 0.45)

    return texture


def folded(texture: Texture, shift: float) -> Texture:
    """A texture of the xy plane that runs on over the edges of a box: what varies along y also does along z."""

    def over_edges(points: NDArray[np.float32]) -> NDArray[np.float32]:
        return texture(np.stack([points[:, 0], points[:, 1] + points[:, 2] + shift, points[:, 2]], axis=-1))

    return over_edges


def bricks(seed: int, width: float, height: float, joint: float, colors: Sequence[Color], mortar: Color) -> Texture:
    """A running bond in the xy plane; every brick has its own colour and rough edges."""
    noise = Noise(seed)

    def texture(points: NDArray[np.float32]) -> NDArray[np.float32]:
        rough = points[:, :2] + 0.5 * joint * (np.stack([noise.fractal(points + s, 60, 3) for s in (0, 9)], -1) - 0.5)
        row = np.floor(rough[:, 1] / height)
        along = rough[:, 0] / width + 0.5 * (row % 2)
        column = np.floor(along)
        tone = 0.75 * noise.of_cell(row, column) + 0.5 * (noise.fractal(points, 7 / width, 4) - 0.25)
        gap = np.minimum(_to_border(rough[:, 1] / height) * height, _to_border(along) * width)
        bed = linear(mortar) * (0.7 + 0.6 * noise.fractal(points, 90, 3, 0.8))[:, None]
        albedo = mixed(bed, ramp(np.clip(tone, 0, 1), colors), step(gap, joint / 2, joint / 3))
        return worn(albedo, points, noise, 3 * width, 0.7)

    return texture


def peeling(seed: int, paint: Texture, below: Texture, size: float, share: float = 0.35) -> Texture:
    """``paint`` that has come off in flakes of about ``size``, with a pale rim; shows ``below``."""
    noise = Noise(seed)

    def texture(points: NDArray[np.float32]) -> NDArray[np.float32]:
        level = noise.fractal(points, 1 / size, octaves=6, gain=0.5)
        edge = 0.5 + 0.25 * (0.5 - share)
        rim = step(level, edge - 0.012, 0.008) * (1 - step(level, edge, 0.004))
        albedo = mixed(paint(points), below(points), step(level, edge, 0.004))
        return mixed(albedo, linear("#d9d0bd"), 0.8 * rim)

    return texture


def plaster(seed: int, colors: Sequence[Color], scale: float) -> Texture:
    """Limewash in several tones with cracks and specks."""
    noise = Noise(seed)

    def texture(points: NDArray[np.float32]) -> NDArray[np.float32]:
        warp = np.stack([noise.fractal(points + s, 0.7 / scale, 3) for s in (0, 5, 11)], axis=-1) * scale
        tone = noise.fractal(points + warp, 1.5 / scale, octaves=6, gain=0.6)
        albedo = ramp(np.clip(2.2 * (tone - 0.5) + 0.5, 0, 1), colors)
        crack = step(np.abs(noise.fractal(points + 0.5 * warp, 1.2 / scale, octaves=4) - 0.5), 0.006, 0.006)
        return worn(mixed(linear("#4a4238"), albedo, 0.35 + 0.65 * crack), points, noise, scale, 0.55)

    return texture


def marble(seed: int, scale: float, colors: Sequence[Color] = ("#2f3440", "#8d8f96", "#dcd8cf", "#f1eee6")) -> Texture:
    """Veins of several widths in a pale stone."""
    noise = Noise(seed)

    def texture(points: NDArray[np.float32]) -> NDArray[np.float32]:
        warp = np.stack([noise.fractal(points + s, 1 / scale, 4) for s in (0, 5, 11)], axis=-1) * scale
        vein = np.abs(noise.fractal(points + 1.5 * warp, 1.4 / scale, octaves=4) - 0.5)
        fine = np.abs(noise.fractal(points + warp, 6 / scale, octaves=4) - 0.5)
        albedo = ramp(np.clip(6 * vein, 0, 1) * (0.55 + 0.45 * np.clip(9 * fine, 0, 1)), colors)
        return worn(albedo, points, noise, 0.5 * scale, 0.35)

    return texture


def banded_clay(seed: int, height: float, colors: Sequence[Color], slip: Color) -> Texture:
    """Fired clay about the z axis with painted bands: lines, triangles and dots, no two alike."""
    noise = Noise(seed)

    def texture(points: NDArray[np.float32]) -> NDArray[np.float32]:
        shaky = points + 0.006 * (np.stack([noise.fractal(points + s, 25, 3) for s in (0, 5, 11)], -1) - 0.5)
        z, angle = shaky[:, 2] / height, np.arctan2(shaky[:, 1], shaky[:, 0]) / (2 * np.pi)
        band = np.floor(9 * z)
        across = 9 * z - band
        count = 9 + np.floor(10 * noise.of_cell(band))
        cell = np.floor(angle * count + 0.5 * band)
        around = angle * count + 0.5 * band - cell
        kind = noise.of_cell(band, cell, channel=3)
        triangles = (across < 0.85 * (1 - 2 * np.abs(around - 0.5))) & (across > 0.1)
        dots = (around - 0.5) ** 2 + (across - 0.5) ** 2 < (0.12 + 0.2 * kind) ** 2
        slashes = np.abs((2 * around + across + kind) % 1 - 0.5) < 0.13
        choice = np.floor(3 * noise.of_cell(band, channel=4))
        painted = np.select([choice == 0, choice == 1], [triangles, dots], slashes) & (kind > 0.12)
        painted |= (across < 0.05) | (across > 0.95)
        worn_off = noise.fractal(points, 18, 5)
        base = ramp(noise.fractal(points, 8, 5, 0.7), colors)
        return worn(mixed(base, linear(slip), painted * step(worn_off, 0.38, 0.05)), points, noise, 0.5 * height, 0.6)

    return texture


def mosaic(seed: int, size: float, colors: Sequence[Color], grout: Color = "#cfc8b8") -> Texture:
    """Irregular stones (cells around jittered points in space) in the given colours."""
    noise = Noise(seed)

    def texture(points: NDArray[np.float32]) -> NDArray[np.float32]:
        nearest, second, tone = _cells(points / size, noise)
        palette = np.stack([linear(color) for color in colors])
        albedo = palette[np.minimum((tone * len(colors)).astype(int), len(colors) - 1)]
        shade = 0.75 + 0.5 * noise.fractal(points, 5 / size, 4, 0.7)
        gap = step(second - nearest, 0.06, 0.06)
        return worn(mixed(linear(grout), albedo * shade[:, None], gap), points, noise, 6 * size, 0.4)

    return texture


def painting(seed: int, size: float, colors: Sequence[Color]) -> Texture:
    """An abstract painting in the xy plane: warped colour fields with brush strokes."""
    noise = Noise(seed)

    def texture(points: NDArray[np.float32]) -> NDArray[np.float32]:
        first = np.stack([noise.fractal(points + s, 1.3 / size, 4) for s in (0, 5, 11)], axis=-1)
        fields = noise.fractal(points + 1.6 * size * first, 1.1 / size, 5)
        strokes = noise.fractal(points + 0.3 * size * first, (50 / size, 7 / size, 1), octaves=3, gain=0.7)
        value = np.clip(2.6 * (fields - 0.5) + 0.5 + 0.35 * (strokes - 0.5), 0, 1)
        splash = step(noise.fractal(points + size * first, 9 / size, 3), 0.68, 0.02)
        return mixed(ramp(value, colors), ramp(1 - value, colors), splash)

    return texture


def cover(seed: int, base: Color, ink: Color, size: float) -> Texture:
    """The binding of a book: cloth with printed bars of random length, in all three directions."""
    noise = Noise(seed)

    def texture(points: NDArray[np.float32]) -> NDArray[np.float32]:
        row, column = np.floor(14 * points[:, 1] / size), np.floor(5 * points[:, 0] / size)
        level = np.floor(30 * points[:, 2] / size)
        fill = (5 * points[:, 0] / size) % 1 < 0.3 + 0.65 * noise.of_cell(row, column, level)
        line = np.abs((14 * points[:, 1] / size) % 1 - 0.5) < 0.28
        printed = fill & line & (noise.of_cell(row, level, channel=5) > 0.45)
        cloth = linear(base) * (0.75 + 0.5 * noise.fractal(points, 40 / size, 4, 0.8))[:, None]
        return worn(mixed(cloth, linear(ink), printed), points, noise, size, 0.4)

    return texture


def rug(seed: int, cell: float, colors: Sequence[Color]) -> Texture:
    """Woven diamonds and stripes in the xy plane, every cell with colours of its own."""
    noise = Noise(seed)
    palette = np.stack([linear(color) for color in colors])

    def pick(value: NDArray[np.float32]) -> NDArray[np.float32]:
        return palette[np.minimum((value * len(palette)).astype(int), len(palette) - 1)]

    def texture(points: NDArray[np.float32]) -> NDArray[np.float32]:
        u, v = points[:, 0] / cell, points[:, 1] / cell
        column, row = np.floor(u), np.floor(v)
        distance = np.abs(u - column - 0.5) + np.abs(v - row - 0.5)
        ring = np.floor(distance * (4 + np.floor(4 * noise.of_cell(column, row))))
        albedo = pick(noise.of_cell(column, row, ring, channel=6))
        thread = noise.fractal(points, (120, 30, 1), 2) + noise.fractal(points, (30, 120, 1), 2)
        return worn(albedo * (0.35 + 0.65 * thread)[:, None], points, noise, 4 * cell, 0.4)

    return texture


def _to_border(values: FloatArray) -> NDArray[np.float32]:
    """Distance of values to the nearest whole number."""
    inside = np.asarray(values) - np.floor(values)
    return np.asarray(np.minimum(inside, 1 - inside), np.float32)


def _cells(points: FloatArray, noise: Noise) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """(N,) distance to the nearest and second nearest jittered lattice point, and a random number of the nearest.

    Worley, "A cellular texture basis function", SIGGRAPH 1996.
    """
    home = np.floor(points)
    nearest, second = np.full(len(points), np.inf, np.float32), np.full(len(points), np.inf, np.float32)
    tone = np.zeros(len(points), np.float32)
    for shift in np.ndindex(3, 3, 3):
        cell = home + np.array(shift) - 1
        jitter = np.stack([noise.of_cell(*cell.T, channel=c) for c in (7, 8, 9)], axis=-1)
        distance = np.linalg.norm(cell + jitter - points, axis=-1).astype(np.float32)
        closer = distance < nearest
        second = np.where(closer, nearest, np.minimum(second, distance))
        nearest = np.where(closer, distance, nearest)
        tone = np.where(closer, noise.of_cell(*cell.T, channel=10), tone)
    return nearest, second, tone
