"""Compiled: what a plane at a pixel costs, by how windows of photos correlate under it and by the sources' own depth.

Written for one pixel at a time; the loops over samples of a window are what the compiler vectorises.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from lotus_recon.mvs.sources import (
    FOCAL,
    CENTER,
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

# Sums may be reordered; not-a-number stays what it is.
KERNEL = {"fastmath": {"reassoc", "contract", "arcp", "nsz", "afn"}, "error_model": "numpy", "cache": True}
# What is called per pixel allocates nothing: counting references to its arrays would take as long as its work.
LEAF = {**KERNEL, "_nrt": False}
_LANES = 16  # samples of a window are filled up to a multiple: vector units work on so many at once

F = np.float32
NO_MATCH = F(1.0)  # cost of what does not correlate at all, or is out of sight
_NOISE = F(0.008**2)  # variance that every window is taken to have: one with less contrast correlates with nothing
_ZERO, _ONE, _HALF = F(0), F(1), F(0.5)
_MARGIN = F(1.0)  # pixels from the border of a source
X, Y, WEIGHT, VALUE = 0, 1, 2, 3  # rows of a window


class Goal(NamedTuple):
    """What matching aims at."""

    best_sources: int
    contrast: float  # difference in grey value at which a pixel counts a quarter
    radius: float  # of a window in pixels
    geometric: float  # the most that a source's own depth adds to its cost
    lost: float  # difference in pixels where it adds that much


def window_of(radius: int, stride: int = 1) -> Floats:
    """(4, S) samples of a disc: offsets in pixels, weights that fall to a quarter at the rim, and room for values.

    Filled up with samples of weight 0.
    """
    side = np.arange(-radius, radius + 1)
    x, y = (each.ravel() for each in np.meshgrid(side, side))
    inside = x**2 + y**2 <= (radius + 0.3) ** 2
    if stride == 2:
        inside &= (x + y) % 2 == 0
    x, y = x[inside], y[inside]
    weight = np.exp(-np.log(4) * (x**2 + y**2) / radius**2)
    window = np.stack([x, y, weight, np.zeros(len(x))])
    return np.pad(window, ((0, 0), (0, -len(x) % _LANES))).astype(np.float32)


@njit(**LEAF)
def read_window(gray: Any, row: int, col: int, window: Any, contrast: Any, samples: Any) -> Any:
    """Fill ``samples`` with the window around a pixel, its weights summing to 1 and its values to 0; their deviation.

    Weights fall with the difference from the centre: what is another surface mostly looks different (bilateral).
    """
    H, W = gray.shape
    center = gray[row, col]
    scale = _ONE / contrast
    total = _ZERO
    mean = _ZERO
    for s in range(window.shape[1]):
        y, x = row + int(window[Y, s]), col + int(window[X, s])
        value = gray[min(max(y, 0), H - 1), min(max(x, 0), W - 1)] - center
        fall = _ONE + value * value * scale * scale
        weight = window[WEIGHT, s] / (fall * fall)
        weight = weight if (y >= 0) and (y < H) and (x >= 0) and (x < W) else _ZERO
        samples[VALUE, s] = value
        samples[WEIGHT, s] = weight
        total += weight
        mean += weight * value
    share = _ONE / total
    mean *= share
    square = _ZERO
    for s in range(window.shape[1]):
        weight, value = samples[WEIGHT, s] * share, samples[VALUE, s] - mean
        samples[WEIGHT, s] = weight
        samples[VALUE, s] = value
        square += weight * value * value
    return np.sqrt(square + _NOISE)


@njit(inline="always", **LEAF)
def source_cost(
    sources: Sources, j: Any, x: Any, y: Any, w: Any, wx: Any, wy: Any, samples: Any, deviation: Any, goal: Goal
) -> Any:
    """1 - correlation of the window with source j under the plane, 0 to 1, and what its own depth adds."""
    gray, at, place = sources.gray, sources.geometry, sources.place
    X0 = at[j, 0] * x + at[j, 1] * y + at[j, 2] + at[j, SHIFT] * w
    Y0 = at[j, 3] * x + at[j, 4] * y + at[j, 5] + at[j, SHIFT + 1] * w
    Z0 = at[j, 6] * x + at[j, 7] * y + at[j, 8] + at[j, SHIFT + 2] * w
    Zx, Zy = at[j, 6] + at[j, SHIFT + 2] * wx, at[j, 7] + at[j, SHIFT + 2] * wy
    width, height = F(place[j, WIDTH]), F(place[j, HEIGHT])
    cost = NO_MATCH + F(goal.geometric)
    u, v = X0 / Z0, Y0 / Z0
    inside = u > _MARGIN and u < width - _MARGIN and v > _MARGIN and v < height - _MARGIN
    # A window may not reach far towards the plane of the camera.
    if inside and Z0 > F(1e-6) and F(goal.radius) * (abs(Zx) + abs(Zy)) < F(0.8) * Z0:
        Xx, Xy = at[j, 0] + at[j, SHIFT] * wx, at[j, 1] + at[j, SHIFT] * wy
        Yx, Yy = at[j, 3] + at[j, SHIFT + 1] * wx, at[j, 4] + at[j, SHIFT + 1] * wy
        step, first = place[j, WIDTH], place[j, START]
        right, bottom = width - F(1.001), height - F(1.001)
        mean = _ZERO
        square = _ZERO
        product = _ZERO
        for s in range(samples.shape[1]):
            dx, dy, weight = samples[X, s], samples[Y, s], samples[WEIGHT, s]
            inverse = _ONE / (Z0 + Zx * dx + Zy * dy)
            px = min(max((X0 + Xx * dx + Xy * dy) * inverse - _HALF, _ZERO), right)
            py = min(max((Y0 + Yx * dx + Yy * dy) * inverse - _HALF, _ZERO), bottom)
            ix, iy = np.int32(px), np.int32(py)
            fx, fy = px - F(ix), py - F(iy)
            k = first + iy * step + ix
            upper = gray[k] + (gray[k + 1] - gray[k]) * fx
            lower = gray[k + step] + (gray[k + step + 1] - gray[k + step]) * fx
            value = upper + (lower - upper) * fy
            mean += weight * value
            square += weight * value * value
            product += weight * value * samples[VALUE, s]
        variance = max(square - mean * mean, _ZERO) + _NOISE
        cost = min(max(_ONE - product / (deviation * np.sqrt(variance)), _ZERO), NO_MATCH)
        if goal.geometric > 0:
            move_x, move_y = at[j, SHIFT] - u * at[j, SHIFT + 2], at[j, SHIFT + 1] - v * at[j, SHIFT + 2]
            scale = np.sqrt(move_x * move_x + move_y * move_y) / F(goal.lost)
            cost += F(goal.geometric) * depth_disagreement(sources.maps, place, j, u / width, v / height, w / Z0, scale)
    return cost


@njit(inline="always", **LEAF)
def depth_disagreement(maps: Any, place: Any, j: Any, u: Any, v: Any, w: Any, scale: Any) -> Any:
    """0 to 1: how far the surface of source j is from inverse depth w where (u, v) of its width and height lie.

    ``scale``: what a unit of inverse depth counts. In doubt in the middle, by the source's certainty.
    """
    width, height = place[j, MAP_WIDTH], place[j, MAP_HEIGHT]
    x, y = u * F(width), v * F(height)
    col, row = min(max(np.int32(x), 0), width - 1), min(max(np.int32(y), 0), height - 1)
    k = place[j, MAP_START] + row * width + col
    own = maps[k, 0]
    error = _HALF
    if own > _ZERO:
        own += maps[k, 1] * (x - F(col) - _HALF) + maps[k, 2] * (y - F(row) - _HALF)
        error += maps[k, 3] * (min(abs(own - w) * scale, _ONE) - _HALF)
    return error


@njit(**LEAF)
def total_cost(
    sources: Sources, chosen: Any, trust: Any, x: Any, y: Any, w: Any, wx: Any, wy: Any,
    samples: Any, deviation: Any, goal: Goal, limit: Any,
) -> Any:  # fmt: skip
    """Mean cost over the chosen sources, weighted by trust; anything above ``limit`` once it is certain to be above."""
    total = _ZERO
    for i in range(len(chosen)):
        if total < limit:
            total += trust[i] * source_cost(sources, chosen[i], x, y, w, wx, wy, samples, deviation, goal)
    return total


@njit(**LEAF)
def each_cost(
    sources: Sources, x: Any, y: Any, w: Any, wx: Any, wy: Any, samples: Any, deviation: Any, goal: Goal, costs: Any
) -> None:
    """Cost with every source."""
    for j in range(len(costs)):
        costs[j] = source_cost(sources, j, x, y, w, wx, wy, samples, deviation, goal)
