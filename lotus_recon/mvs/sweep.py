"""Compiled: one round of PatchMatch over half of the pixels of a view.

Red and black pixels of a chessboard take turns (Galliani et al., ICCV 2015): a pixel tries the planes of the best pixels
of the other colour in eight regions around it (Xu and Tao, CVPR 2019), then its own plane moved at random, and keeps
what costs least. Which sources count at a pixel is what its surroundings agree on (Schoenberger et al., ECCV 2016).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from lotus_recon.mvs.matching import KERNEL, LEAF, F, Goal, each_cost, read_window, total_cost
from lotus_recon.mvs.sources import CENTER, FOCAL, Floats, Sources

_ZERO, _ONE, _HALF = F(0), F(1), F(0.5)
_SPREAD = F(0.3)  # cost of a source that still says it sees the pixel (Xu and Tao, eq. 4)
_DOUBT = F(0.01)  # weight that a source has that agrees with nothing around
_REGIONS = 8
_SAME_PX = F(0.03)  # planes that differ by less need no second look
_STEP_PX = F(0.4)  # on either side of the best depth, through which a parabola is laid
_GRAZING = F(0.1)  # least cosine between normal and ray


class Round(NamedTuple):
    """What a round looks for."""

    number: int  # of all rounds of the view: no two draw the same random numbers
    seed: int
    near: float  # inverse depth: range of the search
    far: float
    pixels: float  # that a point moves in the sources per unit of inverse depth
    reach_px: float  # of perturbations
    tilt: float  # of perturbed normals
    anywhere: bool  # also try depth from the whole range


class Pinhole(NamedTuple):
    """The view's camera."""

    fx: float
    fy: float
    cx: float
    cy: float


class State(NamedTuple):
    """What is known of the view so far."""

    planes: Floats  # (H, W, 3)
    cost: Floats  # (H, W)
    source_costs: Floats  # (H, W, N) under the plane


def regions() -> NDArray[np.int32]:
    """(8, S, 2) offsets (row, column) of pixels of the other colour: four fans nearby, four strips further away."""
    fan = [(-1, 0), (-2, -1), (-2, 1), (-3, -2), (-3, 2), (-4, -3), (-4, 3), (-3, 0), (-5, 0), (-3, 0), (-3, 0)]
    strip = [(-row, 0) for row in range(3, 25, 2)]
    found = []
    for offsets in (fan, strip):
        for turns in range(4):
            turned = np.array(offsets)
            for _ in range(turns):
                turned = np.stack([-turned[:, 1], turned[:, 0]], axis=1)
            found.append(turned)
    return np.stack(found).astype(np.int32)


@njit(**LEAF)
def random_at(pixel: Any, draw: Any, number: Any, seed: Any) -> Any:
    """A number in [0, 1) that depends on nothing else: the mixing of MurmurHash3, twice."""
    x = np.uint32(np.uint32(pixel) * np.uint32(0x9E3779B1) ^ np.uint32(seed * 1000003 + number * 64 + draw))
    for _ in range(2):
        x = np.uint32(x ^ (x >> np.uint32(16)))
        x = np.uint32(x * np.uint32(0x85EBCA6B))
        x = np.uint32(x ^ (x >> np.uint32(13)))
        x = np.uint32(x * np.uint32(0xC2B2AE35))
        x = np.uint32(x ^ (x >> np.uint32(16)))
    return F(x >> np.uint32(8)) * F(1.0 / 16777216.0)


@njit(**LEAF)
def source_prior(sources: Sources, j: Any, rx: Any, ry: Any, w: Any, best_cosine: Any) -> Any:
    """0 to 1: how well source j could see a point, by its angle and resolution."""
    z = _ONE / w
    px, py, pz = rx * z, ry * z, z
    at = sources.geometry
    sx, sy, sz = px - at[j, CENTER], py - at[j, CENTER + 1], pz - at[j, CENTER + 2]
    there = np.sqrt(sx * sx + sy * sy + sz * sz)
    here = np.sqrt(px * px + py * py + pz * pz)
    cosine = (px * sx + py * sy + pz * sz) / (there * here)
    angle = min((_ONE - cosine) / (_ONE - best_cosine), _ONE)
    scale = at[j, FOCAL] * here / there
    return np.sqrt(max(angle, _ZERO)) * min(scale, _ONE / scale)


@njit(**LEAF)
def choose(support: Any, N: int, count: int, chosen: Any, trust: Any) -> None:
    """The ``count`` sources with the highest support, and their shares of it."""
    total = _ZERO
    for i in range(count):
        best = 0
        for j in range(1, N):
            if support[j] > support[best]:
                best = j
        chosen[i] = best
        trust[i] = support[best]
        total += support[best]
        support[best] = F(-1)
    for i in range(count):
        trust[i] /= total


@njit(**LEAF)
def best_in_regions(cost: Any, regions: Any, row: int, col: int, rows: Any, cols: Any) -> None:
    """The pixel that costs least in each region; row -1 where the region lies outside."""
    H, W = cost.shape
    for r in range(_REGIONS):
        least = F(1e9)
        rows[r] = -1
        for s in range(regions.shape[1]):
            y, x = row + regions[r, s, 0], col + regions[r, s, 1]
            if y >= 0 and y < H and x >= 0 and x < W and cost[y, x] < least:
                least = cost[y, x]
                rows[r] = y
                cols[r] = x


@njit(**LEAF)
def slope_of(nx: Any, ny: Any, nz: Any, rx: Any, ry: Any, w: Any, camera: Pinhole) -> tuple[Any, Any]:
    """(wx, wy) of a plane with a normal that faces the camera; grazing ones are limited."""
    length = np.sqrt(nx * nx + ny * ny + nz * nz)
    ray = np.sqrt(rx * rx + ry * ry + _ONE)
    toward = min((nx * rx + ny * ry + nz) / length, -_GRAZING * ray)
    return w * nx / (length * F(camera.fx) * toward), w * ny / (length * F(camera.fy) * toward)


@njit(**LEAF)
def tilted(pixel: Any, first: Any, turn: Round, tilt: Any, rx: Any, ry: Any, w: Any, wx: Any, wy: Any,
           camera: Pinhole) -> tuple[Any, Any]:  # fmt: skip
    """(wx, wy) with the normal turned by a random amount; ``tilt`` 1: any normal."""
    nx, ny = -F(camera.fx) * wx, -F(camera.fy) * wy
    nz = -(w + nx * rx + ny * ry)
    length = np.sqrt(nx * nx + ny * ny + nz * nz)
    keep = _ONE / length if tilt < _ONE else _ZERO
    ray = _ONE / np.sqrt(rx * rx + ry * ry + _ONE)
    away = _ZERO if tilt < _ONE else F(0.7)
    a = F(2) * random_at(pixel, first, turn.number, turn.seed) - _ONE
    b = F(2) * random_at(pixel, first + 1, turn.number, turn.seed) - _ONE
    c = F(2) * random_at(pixel, first + 2, turn.number, turn.seed) - _ONE
    return slope_of(
        nx * keep + tilt * a - away * rx * ray, ny * keep + tilt * b - away * ry * ray,
        nz * keep + tilt * c - away * ray, rx, ry, w, camera,
    )  # fmt: skip


@njit(nogil=True, **KERNEL)
def score_starts(
    gray: Floats, sources: Sources, camera: Pinhole, window: Floats, starts: Floats, goal: Goal, turn: Round, state: State,
    first_row: int, end_row: int,
) -> None:  # fmt: skip
    """Give every pixel the start (S, H, W, 3) that the best of its sources agree on most, or a random one."""
    planes, cost_map, source_costs = state.planes, state.cost, state.source_costs
    H, W = gray.shape
    N = len(sources.place)
    samples = window.copy()
    for row in range(first_row, end_row):
        costs, best_costs = np.empty(N, np.float32), np.empty(N, np.float32)
        for col in range(W):
            deviation = read_window(gray, row, col, window, F(goal.contrast), samples)
            pixel = row * W + col
            x, y = F(col) + _HALF, F(row) + _HALF
            rx, ry = (x - F(camera.cx)) / F(camera.fx), (y - F(camera.cy)) / F(camera.fy)
            least = F(1e9)
            for i in range(len(starts) + 1):
                if i < len(starts):
                    w, wx, wy = starts[i, row, col, 0], starts[i, row, col, 1], starts[i, row, col, 2]
                else:
                    w = F(turn.far) + random_at(pixel, 0, turn.number, turn.seed) * F(turn.near - turn.far)
                    wx, wy = tilted(pixel, 1, turn, _ONE, rx, ry, w, _ZERO, _ZERO, camera)
                if w <= _ZERO:
                    continue
                each_cost(sources, x, y, w, wx, wy, samples, deviation, goal, costs)
                total = _mean_of_least(costs, goal.best_sources, best_costs)
                if total < least:
                    least = total
                    planes[row, col, 0], planes[row, col, 1], planes[row, col, 2] = w, wx, wy
                    cost_map[row, col] = total
                    for j in range(N):
                        source_costs[row, col, j] = costs[j]


@njit(**LEAF)
def _mean_of_least(costs: Any, count: int, scratch: Any) -> Any:
    N = len(costs)
    for j in range(N):
        scratch[j] = costs[j]
    total = _ZERO
    for i in range(min(count, N)):
        best = i
        for j in range(i + 1, N):
            if scratch[j] < scratch[best]:
                best = j
        scratch[i], scratch[best] = scratch[best], scratch[i]
        total += scratch[i]
    return total / F(min(count, N))


@njit(nogil=True, **KERNEL)
def sweep(
    gray: Floats, sources: Sources, camera: Pinhole, window: Floats, regions: NDArray[np.int32], goal: Goal, turn: Round,
    colour: int, state: State, first_row: int, end_row: int,
) -> None:  # fmt: skip
    """Better planes for the pixels of one colour."""
    planes, cost_map, source_costs = state.planes, state.cost, state.source_costs
    H, W = gray.shape
    N = len(sources.place)
    samples = window.copy()
    K = min(goal.best_sources, N)
    pixels = F(turn.pixels)
    best_cosine = F(np.cos(np.radians(turn.tilt * 0 + 3.0)))
    for row in range(first_row, end_row):
        support, trust = np.empty(N, np.float32), np.empty(K, np.float32)
        chosen = np.empty(K, np.int32)
        rows, cols = np.empty(_REGIONS, np.int32), np.empty(_REGIONS, np.int32)
        tw, tx, ty = np.empty(16, np.float32), np.empty(16, np.float32), np.empty(16, np.float32)
        for col in range((row + colour) % 2, W, 2):
            deviation = read_window(gray, row, col, window, F(goal.contrast), samples)
            pixel = row * W + col
            x, y = F(col) + _HALF, F(row) + _HALF
            rx, ry = (x - F(camera.cx)) / F(camera.fx), (y - F(camera.cy)) / F(camera.fy)
            w, wx, wy = planes[row, col, 0], planes[row, col, 1], planes[row, col, 2]
            best_in_regions(cost_map, regions, row, col, rows, cols)
            # 1. Which sources see the pixel?
            for j in range(N):
                c = source_costs[row, col, j]
                seen = np.exp(-c * c / (F(2) * _SPREAD * _SPREAD))
                n = _ONE
                for r in range(_REGIONS):
                    if rows[r] >= 0:
                        c = source_costs[rows[r], cols[r], j]
                        seen += np.exp(-c * c / (F(2) * _SPREAD * _SPREAD))
                        n += _ONE
                support[j] = (seen / n + _DOUBT) * (source_prior(sources, j, rx, ry, w, best_cosine) + _DOUBT)
            choose(support, N, K, chosen, trust)
            least = total_cost(
                sources, chosen, trust, x, y, w, wx, wy, samples, deviation, goal, F(1e9)
            )
            # 2. Planes of the surroundings.
            for r in range(_REGIONS):
                if rows[r] < 0:
                    continue
                px, py = planes[rows[r], cols[r], 1], planes[rows[r], cols[r], 2]
                pw = planes[rows[r], cols[r], 0] + px * F(col - cols[r]) + py * F(row - rows[r])
                if pw < F(turn.far) or pw > F(turn.near):
                    continue
                change = abs(pw - w) + F(2) * (abs(px - wx) + abs(py - wy))
                if change * pixels < _SAME_PX:
                    continue
                cost = total_cost(
                    sources, chosen, trust, x, y, pw, px, py, samples, deviation, goal, least
                )
                if cost < least:
                    least, w, wx, wy = cost, pw, px, py
            # 3. Perturbations
            reach = F(turn.reach_px) / pixels
            count = 0
            moved = w + reach * (F(2) * random_at(pixel, 10, turn.number, turn.seed) - _ONE)
            tw[0] = moved
            tx[0], ty[0] = wx * moved / w, wy * moved / w
            tw[1] = w
            tx[1], ty[1] = tilted(pixel, 11, turn, F(turn.tilt), rx, ry, w, wx, wy, camera)
            tw[2] = moved
            tx[2], ty[2] = tx[1] * moved / w, ty[1] * moved / w
            # the slope that its neighbours' depth has
            tw[3] = w
            tx[3], ty[3] = wx, wy
            if col > 0 and col < W - 1:
                tx[3] = _HALF * (planes[row, col + 1, 0] - planes[row, col - 1, 0])
            if row > 0 and row < H - 1:
                ty[3] = _HALF * (planes[row + 1, col, 0] - planes[row - 1, col, 0])
            count = 4
            if turn.anywhere:
                anywhere = F(turn.far) + random_at(pixel, 14, turn.number, turn.seed) * F(turn.near - turn.far)
                tw[4] = anywhere
                tx[4], ty[4] = wx * anywhere / w, wy * anywhere / w
                tw[5] = anywhere
                tx[5], ty[5] = tilted(pixel, 15, turn, _ONE, rx, ry, anywhere, wx, wy, camera)
                tw[6] = w
                tx[6], ty[6] = tilted(pixel, 18, turn, _ONE, rx, ry, w, wx, wy, camera)
                count = 7
            for i in range(count):
                if tw[i] < F(turn.far) or tw[i] > F(turn.near):
                    continue
                cost = total_cost(
                    sources, chosen, trust, x, y, tw[i], tx[i], ty[i], samples, deviation, goal,
                    least,
                )  # fmt: skip
                if cost < least:
                    least, w, wx, wy = cost, tw[i], tx[i], ty[i]
            # 4. parabola
            step = _STEP_PX / pixels
            before = total_cost(
                sources, chosen, trust, x, y, w - step, wx, wy, samples, deviation, goal, F(1e9)
            )
            after = total_cost(
                sources, chosen, trust, x, y, w + step, wx, wy, samples, deviation, goal, F(1e9)
            )
            curvature = before + after - F(2) * least
            if curvature > F(1e-4):
                shift = min(max(_HALF * (before - after) / curvature, -_ONE), _ONE) * step
                cost = total_cost(
                    sources, chosen, trust, x, y, w + shift, wx, wy, samples, deviation, goal, least
                )
                if cost < least:
                    least = cost
                    w = w + shift
            planes[row, col, 0], planes[row, col, 1], planes[row, col, 2] = w, wx, wy
            cost_map[row, col] = least
            each_cost(sources, x, y, w, wx, wy, samples, deviation, goal, source_costs[row, col])
