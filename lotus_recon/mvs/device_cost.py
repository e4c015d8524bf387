"""The costs of ``matching`` in Triton, for a block of pixels at once.

Sizes: P pixels in a block, S samples in a window, N sources and K of them chosen per pixel, which are J and C
once filled up to a power of two.
"""

# Triton refuses types in the signatures of kernels.
# mypy: disable-error-code="no-untyped-def,untyped-decorator"

from __future__ import annotations

from typing import Any, NamedTuple

import triton
import triton.language as tl

from lotus_recon.mvs import matching, sources

NO_MATCH = tl.constexpr(float(matching._NO_MATCH))
_NOISE = tl.constexpr(float(matching._NOISE))
_MARGIN = tl.constexpr(float(matching._MARGIN))
_STEEPEST = tl.constexpr(float(matching._STEEPEST))
_KNEE = tl.constexpr(float(matching._KNEE))
# Columns of Sources.geometry and Sources.place, and their numbers.
SHIFT, GEOMETRY = tl.constexpr(sources.SHIFT), tl.constexpr(16)
START, WIDTH, HEIGHT = tl.constexpr(sources.START), tl.constexpr(sources.WIDTH), tl.constexpr(sources.HEIGHT)
_MAP_START, _MAP_WIDTH = tl.constexpr(sources.MAP_START), tl.constexpr(sources.MAP_WIDTH)
_MAP_HEIGHT, PLACE = tl.constexpr(sources.MAP_HEIGHT), tl.constexpr(6)


class DeviceView(NamedTuple):
    """``sweep.View``: tensors, which are pointers in a kernel, and numbers."""

    gray: Any  # (H, W)
    window: Any  # (4, S), S a power of two
    regions: Any  # (8, R, 2), R a power of two
    others: Any  # Sources.gray
    maps: Any
    geometry: Any
    place: Any
    height: Any
    width: Any
    sources: Any  # N
    fx: Any
    fy: Any
    cx: Any
    cy: Any
    best_cosine: Any


class DeviceGoal(NamedTuple):
    """``matching.Goal``; never more sources than there are."""

    best_sources: Any
    contrast: Any
    radius: Any
    geometric: Any
    lost: Any


class Pixels(NamedTuple):
    """P pixels: number in the view, row, column, and centre."""

    number: Any
    row: Any
    col: Any
    x: Any
    y: Any


class Window(NamedTuple):
    """Windows around P pixels; see ``matching.read_window``."""

    dx: Any  # (S,) offsets in pixels
    dy: Any  # (S,)
    weight: Any  # (P, S) sums to 1
    value: Any  # (P, S) weighted mean 0
    deviation: Any  # (P,)


class Plane(NamedTuple):
    """Planes of P pixels, (P,) each."""

    w: Any
    wx: Any
    wy: Any


class Chosen(NamedTuple):
    """The sources of P pixels, and their shares of the weight; (P, C) each."""

    source: Any
    trust: Any


@triton.jit
def pixels_at(row, col, view):
    """Pixels of rows (P,) and columns (P,)."""
    return Pixels(row * view.width + col, row, col, col.to(tl.float32) + 0.5, row.to(tl.float32) + 0.5)


@triton.jit
def column(matrix, i):
    """(P,) column i of a matrix (P, C)."""
    return tl.sum(tl.where(tl.arange(0, matrix.shape[1])[None, :] == i, matrix, 0), axis=1)


@triton.jit
def with_column(matrix, i, values):
    """The matrix (P, C) with values (P,) in column i."""
    return tl.where(tl.arange(0, matrix.shape[1])[None, :] == i, values[:, None], matrix)


@triton.jit
def read_window(view, goal, at, S: tl.constexpr):
    """The windows around pixels; see ``matching.read_window``."""
    s = tl.arange(0, S)
    dx, dy = tl.load(view.window + s), tl.load(view.window + S + s)
    y, x = at.row[:, None] + dy.to(tl.int32)[None, :], at.col[:, None] + dx.to(tl.int32)[None, :]
    inside = (y >= 0) & (y < view.height) & (x >= 0) & (x < view.width)
    y, x = tl.minimum(tl.maximum(y, 0), view.height - 1), tl.minimum(tl.maximum(x, 0), view.width - 1)
    value = tl.load(view.gray + y * view.width + x) - tl.load(view.gray + at.number)[:, None]
    fall = 1.0 + value * value / (goal.contrast * goal.contrast)
    weight = tl.where(inside, tl.load(view.window + 2 * S + s)[None, :] / (fall * fall), 0.0)
    weight = weight / tl.sum(weight, axis=1)[:, None]
    value = value - tl.sum(weight * value, axis=1)[:, None]
    deviation = tl.sqrt(tl.sum(weight * value * value, axis=1) + _NOISE)
    return Window(dx, dy, weight, value, deviation)


@triton.jit
def source_cost(view, goal, window, at, plane, j):
    """(P,) cost of planes in sources j (P,); see ``matching.source_cost``."""
    g, p = view.geometry + j * GEOMETRY, view.place + j * PLACE
    sx, sy, sz = tl.load(g + SHIFT), tl.load(g + SHIFT + 1), tl.load(g + SHIFT + 2)
    # 1. The homography of the plane.
    Xx, Xy, Yx, Yy = tl.load(g), tl.load(g + 1), tl.load(g + 3), tl.load(g + 4)
    Zx, Zy = tl.load(g + 6), tl.load(g + 7)
    X0 = Xx * at.x + Xy * at.y + tl.load(g + 2) + sx * plane.w
    Y0 = Yx * at.x + Yy * at.y + tl.load(g + 5) + sy * plane.w
    Z0 = Zx * at.x + Zy * at.y + tl.load(g + 8) + sz * plane.w
    Xx, Xy = Xx + sx * plane.wx, Xy + sx * plane.wy
    Yx, Yy = Yx + sy * plane.wx, Yy + sy * plane.wy
    Zx, Zy = Zx + sz * plane.wx, Zy + sz * plane.wy
    step = tl.load(p + WIDTH)
    width, height = step.to(tl.float32), tl.load(p + HEIGHT).to(tl.float32)
    seen = (Z0 > 0) & (goal.radius * (tl.abs(Zx) + tl.abs(Zy)) < _STEEPEST * Z0)
    Z0 = tl.where(seen, Z0, 1.0)
    u, v = X0 / Z0, Y0 / Z0
    seen = seen & (u > _MARGIN) & (u < width - _MARGIN) & (v > _MARGIN) & (v < height - _MARGIN)
    # 2. What the source shows there, (P, S).
    dx, dy, m = window.dx[None, :], window.dy[None, :], seen[:, None]
    inverse = 1.0 / tl.where(m, Z0[:, None] + Zx[:, None] * dx + Zy[:, None] * dy, 1.0)
    px = (X0[:, None] + Xx[:, None] * dx + Xy[:, None] * dy) * inverse - 0.5
    py = (Y0[:, None] + Yx[:, None] * dx + Yy[:, None] * dy) * inverse - 0.5
    px = tl.minimum(tl.maximum(tl.where(m, px, 0.0), 0.0), (width - 1.001)[:, None])
    py = tl.minimum(tl.maximum(tl.where(m, py, 0.0), 0.0), (height - 1.001)[:, None])
    ix, iy = px.to(tl.int32), py.to(tl.int32)
    fx, fy = px - ix.to(tl.float32), py - iy.to(tl.float32)
    k = view.others + tl.load(p + START)[:, None] + iy * step[:, None] + ix
    below = k + step[:, None]
    a, b, c, d = tl.load(k, m, 0.0), tl.load(k + 1, m, 0.0), tl.load(below, m, 0.0), tl.load(below + 1, m, 0.0)
    upper, lower = a + (b - a) * fx, c + (d - c) * fx
    shown = upper + (lower - upper) * fy
    # 3. How it correlates.
    mean = tl.sum(window.weight * shown, axis=1)
    variance = tl.maximum(tl.sum(window.weight * shown * shown, axis=1) - mean * mean, 0.0) + _NOISE
    correlation = tl.sum(window.weight * shown * window.value, axis=1) / (window.deviation * tl.sqrt(variance))
    cost = tl.minimum(tl.maximum(1.0 - correlation, 0.0), NO_MATCH)
    if goal.geometric > 0:
        move_x, move_y = sx - u * sz, sy - v * sz
        move = tl.sqrt(move_x * move_x + move_y * move_y)
        cost += goal.geometric * depth_cost(view, p, seen, u / width, v / height, plane.w / Z0, move / goal.lost)
    return tl.where(seen, cost, NO_MATCH + goal.geometric)


@triton.jit
def depth_cost(view, p, seen, u, v, w, scale):
    """(P,) 0 to 1: how far inverse depth w is off the source's own, 1 from a difference of 1 / scale.

    0.5 where the source knows nothing; see ``matching.depth_error_px``.
    """
    width, height = tl.load(p + _MAP_WIDTH), tl.load(p + _MAP_HEIGHT)
    x, y = u * width.to(tl.float32), v * height.to(tl.float32)
    col = tl.minimum(tl.maximum(x.to(tl.int32), 0), width - 1)
    row = tl.minimum(tl.maximum(y.to(tl.int32), 0), height - 1)
    q = view.maps + 4 * (tl.load(p + _MAP_START).to(tl.int64) + row * width + col)
    known = tl.load(q, seen, 0.0)
    own = known + tl.load(q + 1, seen, 0.0) * (x - col.to(tl.float32) - 0.5)
    own = own + tl.load(q + 2, seen, 0.0) * (y - row.to(tl.float32) - 0.5)
    certainty = tl.where(known > 0, tl.load(q + 3, seen, 0.0), 0.0)
    return 0.5 + certainty * (tl.minimum(tl.abs(w - own) * scale, 1.0) - 0.5)


@triton.jit
def saturated(cost):
    """See ``matching.saturated``."""
    return (1.0 + _KNEE) * cost / (cost + _KNEE)


@triton.jit
def total_cost(view, goal, window, at, chosen, plane):
    """(P,) mean cost over the chosen sources, weighted by trust; see ``matching.total_cost``."""
    total = plane.w * 0.0
    for i in range(goal.best_sources):
        cost = source_cost(view, goal, window, at, plane, column(chosen.source, i))
        total += column(chosen.trust, i) * saturated(cost)
    return total


@triton.jit
def each_cost(view, goal, window, at, plane, J: tl.constexpr):
    """(P, J) cost of planes in every source, large in those that only fill up."""
    costs = plane.w[:, None] * 0.0 + tl.full((1, J), 1e9, tl.float32)
    for i in range(view.sources):
        cost = source_cost(view, goal, window, at, plane, at.number * 0 + i)
        costs = with_column(costs, i, cost)
    return costs
