"""Compiled: what a plane costs at a pixel, by how windows of photos correlate under it and by the sources' own depth.

The loops over samples of a window are what the compiler vectorises.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lotus_recon.mvs.compiled import inlined, per_pixel
from lotus_recon.mvs.sources import (
    HEIGHT,
    MAP_HEIGHT,
    MAP_START,
    MAP_WIDTH,
    SHIFT,
    START,
    WIDTH,
    Floats,
    Sources,
)

F = np.float32
ZERO, HALF, ONE = F(0), F(0.5), F(1)
_NO_MATCH = ONE  # cost of what does not correlate at all, or is out of sight
# Variance of the noise (grey values 0 to 1) that every window is taken to have: one with less contrast correlates with
# nothing.
_NOISE = F(0.005**2)
_MARGIN = F(1.0)  # pixels from the border of a source
_STEEPEST = F(0.8)  # share of its depth by which a window may come nearer to the source at its rim
_KNEE = F(0.2)  # cost at which a source's say has dropped to a quarter
_LANES = 16  # samples of a window are filled up to a multiple: vector units work on so many at once
X, Y, WEIGHT, VALUE = 0, 1, 2, 3  # rows of a window


class Goal(NamedTuple):
    """What matching aims at."""

    best_sources: int
    contrast: float  # difference in grey value (0 to 1) at which a pixel of a window counts a quarter
    radius: float  # of a window in pixels
    geometric: float  # the most that a source's own depth adds to its cost
    lost: float  # difference in pixels where it adds that much


def window_of(radius: int) -> Floats:
    """(4, S) samples of a disc: offsets in pixels, weights that fall to a quarter at the rim, and room for values.

    Every second pixel, as on a chessboard, which tells as much in half the time; filled up with samples of weight 0.
    """
    side = np.arange(-radius, radius + 1)
    x, y = (each.ravel() for each in np.meshgrid(side, side))
    taken = (x**2 + y**2 <= (radius + 0.3) ** 2) & ((x + y) % 2 == 0)
    x, y = x[taken], y[taken]
    weight = 4.0 ** -((x**2 + y**2) / radius**2)
    window = np.stack([x, y, weight, np.zeros(len(x))])
    return np.pad(window, ((0, 0), (0, -len(x) % _LANES))).astype(np.float32)


@per_pixel
def read_window(gray: Any, row: int, col: int, window: Any, contrast: Any, samples: Any) -> Any:
    """Fill ``samples`` (4, S) with the window around a pixel; the standard deviation of its values, with noise.

    Weights sum to 1, values to 0. Weights fall with the difference from the value of the centre (bilateral): what is
    another surface mostly looks different.
    """
    H, W = gray.shape
    center = gray[row, col]
    scale = ONE / contrast
    total = ZERO
    mean = ZERO
    for s in range(window.shape[1]):
        y, x = row + int(window[Y, s]), col + int(window[X, s])
        value = gray[min(max(y, 0), H - 1), min(max(x, 0), W - 1)] - center
        fall = ONE + value * value * scale * scale
        weight = window[WEIGHT, s] / (fall * fall)
        weight = weight if (y >= 0) and (y < H) and (x >= 0) and (x < W) else ZERO
        samples[VALUE, s] = value
        samples[WEIGHT, s] = weight
        total += weight
        mean += weight * value
    share = ONE / total
    mean *= share
    square = ZERO
    for s in range(window.shape[1]):
        weight, value = samples[WEIGHT, s] * share, samples[VALUE, s] - mean
        samples[WEIGHT, s] = weight
        samples[VALUE, s] = value
        square += weight * value * value
    return np.sqrt(square + _NOISE)


@inlined
def source_cost(
    sources: Sources, j: Any, x: Any, y: Any, w: Any, wx: Any, wy: Any, samples: Any, deviation: Any, goal: Goal
) -> Any:
    """1 - correlation of the window with source j under the plane, 0 to 1, and what its own depth adds.

    A plane maps pixels by a homography: K_j (R_j + t_j n' / d) K^-1. Longer than others because it must be one piece of
    code to be fast.
    """
    gray, at, place = sources.gray, sources.geometry, sources.place
    X0 = at[j, 0] * x + at[j, 1] * y + at[j, 2] + at[j, SHIFT] * w
    Y0 = at[j, 3] * x + at[j, 4] * y + at[j, 5] + at[j, SHIFT + 1] * w
    Z0 = at[j, 6] * x + at[j, 7] * y + at[j, 8] + at[j, SHIFT + 2] * w
    Zx, Zy = at[j, 6] + at[j, SHIFT + 2] * wx, at[j, 7] + at[j, SHIFT + 2] * wy
    width, height = F(place[j, WIDTH]), F(place[j, HEIGHT])
    cost = _NO_MATCH + F(goal.geometric)
    u, v = X0 / Z0, Y0 / Z0
    inside = u > _MARGIN and u < width - _MARGIN and v > _MARGIN and v < height - _MARGIN
    if inside and Z0 > ZERO and F(goal.radius) * (abs(Zx) + abs(Zy)) < _STEEPEST * Z0:
        Xx, Xy = at[j, 0] + at[j, SHIFT] * wx, at[j, 1] + at[j, SHIFT] * wy
        Yx, Yy = at[j, 3] + at[j, SHIFT + 1] * wx, at[j, 4] + at[j, SHIFT + 1] * wy
        step, first = place[j, WIDTH], place[j, START]
        right, bottom = width - F(1.001), height - F(1.001)
        mean = ZERO
        square = ZERO
        product = ZERO
        for s in range(samples.shape[1]):
            dx, dy, weight = samples[X, s], samples[Y, s], samples[WEIGHT, s]
            inverse = ONE / (Z0 + Zx * dx + Zy * dy)
            px = min(max((X0 + Xx * dx + Xy * dy) * inverse - HALF, ZERO), right)
            py = min(max((Y0 + Yx * dx + Yy * dy) * inverse - HALF, ZERO), bottom)
            ix, iy = np.int32(px), np.int32(py)
            fx, fy = px - F(ix), py - F(iy)
            k = first + iy * step + ix
            upper = gray[k] + (gray[k + 1] - gray[k]) * fx
            lower = gray[k + step] + (gray[k + step + 1] - gray[k + step]) * fx
            value = upper + (lower - upper) * fy
            mean += weight * value
            square += weight * value * value
            product += weight * value * samples[VALUE, s]
        variance = max(square - mean * mean, ZERO) + _NOISE
        cost = min(max(ONE - product / (deviation * np.sqrt(variance)), ZERO), _NO_MATCH)
        if goal.geometric > 0:
            move_x, move_y = at[j, SHIFT] - u * at[j, SHIFT + 2], at[j, SHIFT + 1] - v * at[j, SHIFT + 2]
            pixels = np.sqrt(move_x * move_x + move_y * move_y)
            error, certainty = depth_error_px(sources.maps, place, j, u / width, v / height, w / Z0, pixels)
            cost += F(goal.geometric) * (HALF + certainty * (min(abs(error) / F(goal.lost), ONE) - HALF))
    return cost


@inlined
def depth_error_px(maps: Any, place: Any, j: Any, u: Any, v: Any, w: Any, pixels: Any) -> tuple[Any, Any]:
    """By how many pixels inverse depth w is off the surface of source j, above 0 in front of it; and its certainty.

    (u, v): where to look, as a share of its width and height. ``pixels``: that a unit of inverse depth moves by.
    Certainty is 0 where the source knows nothing.
    """
    width, height = place[j, MAP_WIDTH], place[j, MAP_HEIGHT]
    x, y = u * F(width), v * F(height)
    col, row = min(max(np.int32(x), 0), width - 1), min(max(np.int32(y), 0), height - 1)
    k = place[j, MAP_START] + row * width + col
    own = maps[k, 0] + maps[k, 1] * (x - F(col) - HALF) + maps[k, 2] * (y - F(row) - HALF)
    certainty = maps[k, 3] if maps[k, 0] > ZERO else ZERO
    return (w - own) * pixels, certainty


@inlined
def saturated(cost: Any) -> Any:
    """0 to 1 for a cost of 0 to 1, steep at 0: a source that does not see the pixel must not outweigh those that do."""
    return (ONE + _KNEE) * cost / (cost + _KNEE)


@per_pixel
def total_cost(
    sources: Sources, chosen: Any, trust: Any, x: Any, y: Any, w: Any, wx: Any, wy: Any,
    samples: Any, deviation: Any, goal: Goal, limit: Any,
) -> Any:  # fmt: skip
    """Mean cost over the chosen sources, weighted by trust; anything above ``limit`` once it is certain to be above."""
    total = ZERO
    for i in range(len(chosen)):
        if total < limit:
            cost = source_cost(sources, chosen[i], x, y, w, wx, wy, samples, deviation, goal)
            total += trust[i] * saturated(cost)
    return total


@per_pixel
def each_cost(
    sources: Sources, x: Any, y: Any, w: Any, wx: Any, wy: Any, samples: Any, deviation: Any, goal: Goal, costs: Any
) -> None:
    """Fill ``costs`` (N,) with the cost of every source."""
    for j in range(len(costs)):
        costs[j] = source_cost(sources, j, x, y, w, wx, wy, samples, deviation, goal)
