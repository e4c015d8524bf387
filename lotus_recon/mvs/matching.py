"""Compiled: what a plane at a pixel costs, by how windows of photos correlate under it and by the sources' own depth.

Written for one pixel at a time; the loops over samples of a window are what the compiler vectorises.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from lotus_recon.mvs.sources import Floats, Sources

# Sums may be reordered; not-a-number stays what it is.
FAST = {"fastmath": {"reassoc", "contract", "arcp", "nsz", "afn"}, "error_model": "numpy", "cache": True}
_LANES = 16  # samples of a window are filled up to a multiple: vector units work on so many at once

F = np.float32
NO_MATCH = F(1.0)  # cost of what does not correlate at all, or is out of sight
_NOISE = F(0.008**2)  # variance that every window is taken to have: one with less contrast correlates with nothing
_ZERO, _ONE, _HALF = F(0), F(1), F(0.5)
_MARGIN = F(1.0)  # pixels from the border of a source


class Window(NamedTuple):
    """Samples of a window: offsets in pixels and weights by distance; those behind ``count`` only fill up."""

    x: NDArray[np.int32]
    y: NDArray[np.int32]
    weight: Floats
    contrast: float
    radius: float


def window_of(radius: int, contrast: float, stride: int = 1) -> Window:
    """A disc, its weights falling to a quarter at the rim."""
    side = np.arange(-radius, radius + 1)
    x, y = (each.ravel() for each in np.meshgrid(side, side))
    inside = x**2 + y**2 <= (radius + 0.3) ** 2
    if stride == 2:
        inside &= (x + y) % 2 == 0
    x, y = x[inside], y[inside]
    filled = -len(x) % _LANES
    weight = np.exp(-np.log(4) * (x**2 + y**2) / radius**2)
    x, y, weight = (np.concatenate([each, np.zeros(filled)]) for each in (x, y, weight))
    return Window(x.astype(np.int32), y.astype(np.int32), weight.astype(np.float32), float(contrast), float(radius))


@njit(**FAST)
def read_window(gray: Any, row: int, col: int, window: Window, values: Any, weights: Any) -> tuple[Any, Any]:
    """Fill values and weights (S,) of the window around a pixel; mean, and deviation with noise.

    Weights fall with the difference from the centre: what is another surface mostly looks different (bilateral).
    """
    H, W = gray.shape
    center = gray[row, col]
    scale = F(1 / window.contrast)
    total = _ZERO
    for s in range(len(window.x)):
        y, x = row + window.y[s], col + window.x[s]
        inside = (y >= 0) and (y < H) and (x >= 0) and (x < W)
        value = gray[min(max(y, 0), H - 1), min(max(x, 0), W - 1)]
        step = (value - center) * scale
        fall = _ONE + step * step
        weight = window.weight[s] / (fall * fall)
        weight = weight if inside else _ZERO
        values[s] = value
        weights[s] = weight
        total += weight
    mean = _ZERO
    square = _ZERO
    for s in range(len(window.x)):
        weights[s] /= total
        mean += weights[s] * values[s]
    for s in range(len(window.x)):
        values[s] -= mean
        square += weights[s] * values[s] * values[s]
    return mean, np.sqrt(square + _NOISE)


@njit(**FAST)
def source_cost(
    sources: Sources, j: int, x: Any, y: Any, w: Any, wx: Any, wy: Any,
    window: Window, values: Any, weights: Any, deviation: Any, geometric: Any, lost: Any,
) -> Any:  # fmt: skip
    """1 - correlation of the window with source j under the plane, 0 to 1, and what its own depth adds.

    ``values`` have mean zero. ``geometric``: the most that the source's depth adds, reached at a difference of ``lost``
    pixels.
    """
    turn, shift = sources.turn[j], sources.shift[j]
    X = turn[0, 0] * x + turn[0, 1] * y + turn[0, 2] + shift[0] * w
    Y = turn[1, 0] * x + turn[1, 1] * y + turn[1, 2] + shift[1] * w
    Z = turn[2, 0] * x + turn[2, 1] * y + turn[2, 2] + shift[2] * w
    width, height = sources.size[j, 0], sources.size[j, 1]
    if Z <= F(1e-6):
        return NO_MATCH + geometric
    u, v = X / Z, Y / Z
    if not (u > _MARGIN and u < width - _MARGIN and v > _MARGIN and v < height - _MARGIN):
        return NO_MATCH + geometric
    Xx, Xy = turn[0, 0] + shift[0] * wx, turn[0, 1] + shift[0] * wy
    Yx, Yy = turn[1, 0] + shift[1] * wx, turn[1, 1] + shift[1] * wy
    Zx, Zy = turn[2, 0] + shift[2] * wx, turn[2, 1] + shift[2] * wy
    if Z - F(window.radius) * (abs(Zx) + abs(Zy)) < F(0.2) * Z:
        return NO_MATCH + geometric
    first = sources.start[j]
    gray = sources.gray
    right, bottom = F(width) - F(1.001), F(height) - F(1.001)
    mean = _ZERO
    square = _ZERO
    product = _ZERO
    for s in range(len(values)):
        dx, dy = F(window.x[s]), F(window.y[s])
        inverse = _ONE / (Z + Zx * dx + Zy * dy)
        px = min(max((X + Xx * dx + Xy * dy) * inverse - _HALF, _ZERO), right)
        py = min(max((Y + Yx * dx + Yy * dy) * inverse - _HALF, _ZERO), bottom)
        ix, iy = np.int32(px), np.int32(py)
        fx, fy = px - F(ix), py - F(iy)
        k = first + iy * width + ix
        upper = gray[k] + (gray[k + 1] - gray[k]) * fx
        lower = gray[k + width] + (gray[k + width + 1] - gray[k + width]) * fx
        value = upper + (lower - upper) * fy
        mean += weights[s] * value
        square += weights[s] * value * value
        product += weights[s] * value * values[s]
    variance = max(square - mean * mean, _ZERO) + _NOISE
    cost = min(max(_ONE - product / (deviation * np.sqrt(variance)), _ZERO), NO_MATCH)
    if geometric > _ZERO:
        move = np.hypot(shift[0] - u * shift[2], shift[1] - v * shift[2])
        cost += geometric * depth_disagreement(sources, j, u, v, w / Z, move, lost)
    return cost


@njit(**FAST)
def depth_disagreement(sources: Sources, j: int, u: Any, v: Any, w: Any, move: Any, lost: Any) -> Any:
    """0 to 1: how far the surface of source j at its pixel (u, v) is from inverse depth w.

    ``move``: pixels per unit of inverse depth. In doubt in the middle, by the source's certainty.
    """
    width, height = sources.map_size[j, 0], sources.map_size[j, 1]
    x = u * F(width) / F(sources.size[j, 0])
    y = v * F(height) / F(sources.size[j, 1])
    col, row = min(max(int(x), 0), width - 1), min(max(int(y), 0), height - 1)
    k = sources.map_start[j] + row * width + col
    own = sources.planes[k, 0]
    if own <= _ZERO:
        return _HALF
    own += sources.planes[k, 1] * (x - F(col) - _HALF) + sources.planes[k, 2] * (y - F(row) - _HALF)
    error = min(abs(own - w) * move / lost, _ONE)
    return _HALF + sources.certainty[k] * (error - _HALF)
