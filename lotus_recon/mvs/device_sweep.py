"""The rounds of ``sweep`` in Triton: the same steps in the same order, for a block of pixels at once.

Pixels of one colour read those of the other and themselves only, so one kernel can improve all of them in place. Sizes
as in ``device_cost``; R pixels in a region.
"""

# Triton refuses types in the signatures of kernels.
# mypy: disable-error-code="no-untyped-def,untyped-decorator"

from __future__ import annotations

from typing import Any, NamedTuple

import triton
import triton.language as tl

from lotus_recon.mvs import sources, sweep
from lotus_recon.mvs.device_cost import (
    GEOMETRY,
    HEIGHT,
    PLACE,
    SHIFT,
    WIDTH,
    Chosen,
    Plane,
    column,
    each_cost,
    pixels_at,
    read_window,
    saturated,
    total_cost,
    with_column,
)
from lotus_recon.mvs.device_hypotheses import facing, random_at, rays_at, tilted

_SPREAD, _DOUBT = tl.constexpr(float(sweep._SPREAD)), tl.constexpr(float(sweep._DOUBT))
_BORDER_PX, _SAME_PX = tl.constexpr(float(sweep._BORDER_PX)), tl.constexpr(float(sweep._SAME_PX))
_STEP_PX, _FLAT = tl.constexpr(float(sweep._STEP_PX)), tl.constexpr(float(sweep._FLAT))
_MUCH, _PLACES = tl.constexpr(float(sweep._MUCH)), tl.constexpr(sweep._PLACES)
_CENTER, _FOCAL = tl.constexpr(sources.CENTER), tl.constexpr(sources.FOCAL)


class DeviceTurn(NamedTuple):
    """The numbers of ``sweep.Turn``."""

    near: Any
    far: Any
    pixels: Any
    reach_px: Any
    tilt: Any


class DeviceState(NamedTuple):
    """``sweep.State``: tensors, which are pointers in a kernel."""

    planes: Any  # (H, W, 3)
    cost: Any  # (H, W)
    support: Any  # (H, W, N)


class Task(NamedTuple):
    """What a plane of P pixels is judged by."""

    view: Any
    goal: Any
    turn: Any
    at: Any
    window: Any
    chosen: Any


class Best(NamedTuple):
    """The best planes of P pixels so far, and what they cost."""

    plane: Any
    cost: Any


@triton.jit(do_not_specialize=["salt", "count"])
def score_kernel(
    view, goal, turn, salt, starts, count, state,
    J: tl.constexpr, S: tl.constexpr, P: tl.constexpr,
):  # fmt: skip
    """Give every pixel the best of the starts (count, H, W, 3), or a plane at random; see ``sweep.score_starts``."""
    lane = tl.program_id(0) * P + tl.arange(0, P)
    pixels = view.height * view.width
    number = tl.minimum(lane, pixels - 1)
    at = pixels_at(number // view.width, number % view.width, view)
    window = read_window(view, goal, at, S)
    depth = turn.far + random_at(at.number, 0, salt) * (turn.near - turn.far)
    chance = facing(view, at, 1, salt, depth)
    best = Best(chance, tl.full((P,), _MUCH, tl.float32))
    costs = tl.zeros((P, J), tl.float32)
    for i in range(count + 1):
        given = tl.full((P,), i, tl.int32) < count
        plane = select(given, load_plane(starts + 3 * pixels.to(tl.int64) * i, at, given), chance)
        plane_costs = each_cost(view, goal, window, at, plane, J)
        cost = mean_of_least(plane_costs, goal.best_sources)
        better = (plane.w > 0) & (cost < best.cost)
        best = Best(select(better, plane, best.plane), tl.where(better, cost, best.cost))
        costs = tl.where(better[:, None], plane_costs, costs)
    store(view, state, at, lane < pixels, best, costs)


@triton.jit(do_not_specialize=["salt", "colour"])
def sweep_kernel(
    view, goal, turn, salt, colour, state,
    ANYWHERE: tl.constexpr, C: tl.constexpr, J: tl.constexpr, S: tl.constexpr, R: tl.constexpr,
    P: tl.constexpr,
):  # fmt: skip
    """Better planes for the pixels of one colour; see ``sweep.visit``."""
    # 1. Half of the pixels of each row, of the one that begins with the colour or the one that does not.
    lane = tl.program_id(0) * P + tl.arange(0, P)
    half = (view.width + 1) // 2
    row = lane // half
    col = 2 * (lane % half) + (row + colour) % 2
    real = (row < view.height) & (col < view.width)
    at = pixels_at(tl.where(real, row, 0), tl.where(real, col, 0), view)
    # 2. What judges planes.
    around = best_in_regions(view, state, at, R)
    chosen = choose_sources(view, goal, state, at, around, C, J)
    task = Task(view, goal, turn, at, read_window(view, goal, at, S), chosen)
    # 3. The best of them. Each of these has its costs in one loop: a kernel with a copy of them per plane is compiled
    # for minutes.
    best = propagate(task, state, around)
    best = perturb(task, salt, state, best, ANYWHERE)
    best = polish(task, best)
    store(view, state, at, real, best, each_cost(view, goal, task.window, at, best.plane, J))


@triton.jit
def select(condition, a, b):
    """Planes of a where the condition (P,) holds, else of b."""
    return Plane(tl.where(condition, a.w, b.w), tl.where(condition, a.wx, b.wx), tl.where(condition, a.wy, b.wy))


@triton.jit
def load_plane(planes, at, where):
    """The planes of pixels where ``where`` (P,) holds, else 0."""
    first = planes + 3 * at.number.to(tl.int64)
    return Plane(tl.load(first, where, 0.0), tl.load(first + 1, where, 0.0), tl.load(first + 2, where, 0.0))


@triton.jit
def store(view, state, at, real, best, costs):
    """Write the planes of the pixels that are real, their cost (P,), and how costs (P, J) support them."""
    first = state.planes + 3 * at.number.to(tl.int64)
    tl.store(first, best.plane.w, real)
    tl.store(first + 1, best.plane.wx, real)
    tl.store(first + 2, best.plane.wy, real)
    tl.store(state.cost + at.number, best.cost, real)
    j = tl.arange(0, costs.shape[1])[None, :]
    place = state.support + at.number.to(tl.int64)[:, None] * view.sources + j
    tl.store(place, tl.exp(-costs * costs / (2.0 * _SPREAD * _SPREAD)), real[:, None] & (j < view.sources))


@triton.jit
def mean_of_least(costs, count):
    """(P,) mean of the least of costs (P, J); see ``sweep.mean_of_least``."""
    total = tl.sum(costs, axis=1) * 0.0
    for _ in range(count):
        least = tl.argmin(costs, axis=1)[:, None]
        total += saturated(column(costs, least))
        costs = tl.where(tl.arange(0, costs.shape[1])[None, :] == least, _MUCH, costs)
    return total / count


@triton.jit
def best_in_regions(view, state, at, R: tl.constexpr):
    """(P, 8) numbers of the pixels that cost least; -1 where a region lies outside."""
    s = tl.arange(0, R)
    numbers = tl.zeros((at.row.shape[0], _PLACES), tl.int32)
    for r in range(_PLACES):
        offset = view.regions + 2 * (r * R + s)
        row, col = at.row[:, None] + tl.load(offset)[None, :], at.col[:, None] + tl.load(offset + 1)[None, :]
        inside = (row >= 0) & (row < view.height) & (col >= 0) & (col < view.width)
        number = tl.where(inside, row * view.width + col, -1)
        cost = tl.load(state.cost + number, inside, _MUCH)
        numbers = with_column(numbers, r, column(number, tl.argmin(cost, axis=1)[:, None]))
    return numbers


@triton.jit
def choose_sources(view, goal, state, at, around, C: tl.constexpr, J: tl.constexpr):
    """The sources with the highest weight, and their shares of it; see ``sweep.choose_sources``."""
    j = tl.arange(0, J)[None, :]
    there = j < view.sources
    total = tl.load(state.support + at.number.to(tl.int64)[:, None] * view.sources + j, there, 0.0)
    count = at.x * 0.0 + 1.0
    for r in range(_PLACES):
        number = column(around, r)
        place = state.support + number.to(tl.int64)[:, None] * view.sources + j
        total += tl.load(place, there & (number >= 0)[:, None], 0.0)
        count += tl.where(number >= 0, 1.0, 0.0)
    w = tl.load(state.planes + 3 * at.number.to(tl.int64))
    weight = (total / count[:, None] + _DOUBT) * (source_worth(view, at, w, j, there) + _DOUBT)
    weight = tl.where(there, weight, -2.0)  # below the -1 of those that are chosen already
    source = tl.zeros((at.row.shape[0], C), tl.int32)
    trust = tl.zeros((at.row.shape[0], C), tl.float32)
    for i in range(goal.best_sources):
        most = tl.argmax(weight, axis=1)
        source, trust = with_column(source, i, most), with_column(trust, i, column(weight, most[:, None]))
        weight = tl.where(j == most[:, None], -1.0, weight)
    return Chosen(source, trust / tl.sum(trust, axis=1)[:, None])


@triton.jit
def source_worth(view, at, w, j, there):
    """(P, J) 0 to 1: what sources j (1, J) are worth at pixels; see ``sweep.source_worth``."""
    g, p = view.geometry + j * GEOMETRY, view.place + j * PLACE
    x, y, w = at.x[:, None], at.y[:, None], w[:, None]
    X0 = tl.load(g, there, 0.0) * x + tl.load(g + 1, there, 0.0) * y + tl.load(g + 2, there, 0.0)
    Y0 = tl.load(g + 3, there, 0.0) * x + tl.load(g + 4, there, 0.0) * y + tl.load(g + 5, there, 0.0)
    Z0 = tl.load(g + 6, there, 0.0) * x + tl.load(g + 7, there, 0.0) * y + tl.load(g + 8, there, 0.0)
    X0, Y0 = X0 + tl.load(g + SHIFT, there, 0.0) * w, Y0 + tl.load(g + SHIFT + 1, there, 0.0) * w
    Z0 = Z0 + tl.load(g + SHIFT + 2, there, 0.0) * w
    ahead = Z0 > 0
    Z0 = tl.where(ahead, Z0, 1.0)
    u, v = X0 / Z0, Y0 / Z0
    width, height = tl.load(p + WIDTH, there, 0).to(tl.float32), tl.load(p + HEIGHT, there, 0).to(tl.float32)
    border = tl.minimum(tl.minimum(u, width - u), tl.minimum(v, height - v))
    inside = tl.minimum(tl.maximum(border / _BORDER_PX, 0.0), 1.0)
    rx, ry = rays_at(view, at)
    z = 1.0 / w
    px, py = rx[:, None] * z, ry[:, None] * z
    sx, sy = px - tl.load(g + _CENTER, there, 0.0), py - tl.load(g + _CENTER + 1, there, 0.0)
    sz = z - tl.load(g + _CENTER + 2, there, 0.0)
    far, near = tl.sqrt(sx * sx + sy * sy + sz * sz), tl.sqrt(px * px + py * py + z * z)
    cosine = (px * sx + py * sy + z * sz) / (far * near)
    parallax = tl.minimum(tl.maximum((1.0 - cosine) / (1.0 - view.best_cosine), 0.0), 1.0)
    resolution = tl.load(g + _FOCAL, there, 1.0) * near / far
    return tl.where(ahead, inside * tl.sqrt(parallax) * tl.minimum(resolution, 1.0 / resolution), 0.0)


@triton.jit
def cost_of(task, plane):
    """(P,) what planes cost in the chosen sources."""
    return total_cost(task.view, task.goal, task.window, task.at, task.chosen, plane)


@triton.jit
def in_range(task, plane):
    """(P,) whether planes lie within the range of depth."""
    return (plane.w >= task.turn.far) & (plane.w <= task.turn.near)


@triton.jit
def cheaper(best, plane, cost, where):
    """The best planes, or others (P,) where ``where`` holds and they cost less; see ``sweep.try_plane``."""
    better = where & (cost < best.cost)
    return Best(select(better, plane, best.plane), tl.where(better, cost, best.cost))


@triton.jit
def propagate(task, state, around):
    """The best of the planes of pixels, and of their surroundings where those differ; see ``sweep.propagate``."""
    width = task.view.width
    best = Best(load_plane(state.planes, task.at, task.at.number >= 0), task.at.x * 0.0 + _MUCH)
    for r in range(-1, _PLACES):
        is_own = tl.full(task.at.number.shape, r, tl.int32) < 0
        number = tl.where(is_own, task.at.number, column(around, r))
        known = number >= 0
        other = pixels_at(number // width, number % width, task.view)
        plane = load_plane(state.planes, other, known)
        w = plane.w + plane.wx * (task.at.x - other.x) + plane.wy * (task.at.y - other.y)
        plane = Plane(w, plane.wx, plane.wy)
        slope = tl.abs(plane.wx - best.plane.wx) + tl.abs(plane.wy - best.plane.wy)
        change = tl.abs(plane.w - best.plane.w) + 2.0 * slope
        differs = known & (change * task.turn.pixels > _SAME_PX) & in_range(task, plane)
        best = cheaper(best, plane, cost_of(task, plane), is_own | differs)
    return best


@triton.jit
def perturb(task, salt, state, best, ANYWHERE: tl.constexpr):
    """Try the best plane moved and turned at random, with the slope of its neighbours' depth, and others anywhere.

    See ``sweep.perturb``.
    """
    view, at, turn, start = task.view, task.at, task.turn, best.plane
    move = turn.reach_px / turn.pixels * (2.0 * random_at(at.number, 10, salt) - 1.0)
    scale = 1.0 + move / start.w
    tilt = tilted(view, at, 11, salt, turn.tilt, start)
    wx, wy, inner = slope_around(view, state, at)
    chance = facing(view, at, 15, salt, turn.far + random_at(at.number, 14, salt) * (turn.near - turn.far))
    for t in range(7 if ANYWHERE else 4):
        plane = Plane(start.w + move, start.wx * scale, start.wy * scale)
        if t == 1:
            plane = tilt
        elif t == 2:
            plane = Plane(start.w + move, tilt.wx * scale, tilt.wy * scale)
        elif t == 3:
            plane = Plane(best.plane.w, wx, wy)
        elif t == 4:
            plane = chance
        elif t == 5:
            ratio = chance.w / best.plane.w
            plane = Plane(chance.w, best.plane.wx * ratio, best.plane.wy * ratio)
        elif t == 6:
            plane = facing(view, at, 18, salt, best.plane.w)
        best = cheaper(best, plane, cost_of(task, plane), in_range(task, plane) & (inner | (t != 3)))
    return best


@triton.jit
def slope_around(view, state, at):
    """wx and wy (P,) of the depth of the pixels around, and where there are any (P,)."""
    inner = (at.row > 0) & (at.row < view.height - 1) & (at.col > 0) & (at.col < view.width - 1)
    here, down = state.planes + 3 * at.number.to(tl.int64), 3 * view.width
    wx = 0.5 * (tl.load(here + 3, inner, 0.0) - tl.load(here - 3, inner, 0.0))
    wy = 0.5 * (tl.load(here + down, inner, 0.0) - tl.load(here - down, inner, 0.0))
    return wx, wy, inner


@triton.jit
def polish(task, best):
    """Try the lowest point of a parabola through the costs around the best depth; see ``sweep.polish``."""
    here, step = best.plane, _STEP_PX / task.turn.pixels
    cost, before, curvature = here.w * 0.0, here.w * 0.0, here.w * 0.0
    shift = cost - step
    for t in range(3):  # before, after, and the lowest point between them
        cost = cost_of(task, Plane(here.w + shift, here.wx, here.wy))
        if t == 0:
            before, shift = cost, shift + 2.0 * step
        elif t == 1:
            curvature = before + cost - 2.0 * best.cost
            lowest = 0.5 * (before - cost) / tl.where(curvature > _FLAT, curvature, 1.0)
            shift = tl.minimum(tl.maximum(lowest, -1.0), 1.0) * step
    plane = Plane(here.w + shift, here.wx, here.wy)
    return cheaper(best, plane, cost, (curvature > _FLAT) & in_range(task, plane))
