"""Compiled: one round of PatchMatch over half of the pixels of a view.

The pixels of one colour of a chessboard look at those of the other (Galliani et al., ICCV 2015), so they can all be
visited at once. A pixel tries the planes of the best pixels in eight regions around it (Xu and Tao, CVPR 2019), then
its own plane moved at random, and keeps what costs least. Which sources count is what its surroundings agree on,
weighted by parallax and resolution (Schoenberger et al., ECCV 2016).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lotus_recon.mvs.compiled import inlined, kernel, per_pixel
from lotus_recon.mvs.hypotheses import Pinhole, random_at, tilted
from lotus_recon.mvs.matching import HALF, ONE, ZERO, F, Goal, each_cost, read_window, saturated, total_cost
from lotus_recon.mvs.sources import CENTER, FOCAL, HEIGHT, SHIFT, WIDTH, Floats, Sources

_TWO = F(2)
_SPREAD = F(0.3)  # cost at which a source hardly says any more that it sees a pixel
_DOUBT = F(0.01)  # weight that a source has which agrees with nothing around
_BORDER_PX = F(6)  # from the border of a source, where it counts fully
_SAME_PX = F(0.05)  # planes that differ by less need no second look
_STEP_PX = F(0.4)  # on either side of the best depth, through which a parabola is laid
_FLAT = F(1e-4)  # curvature of costs below which a parabola has no lowest point
_MUCH = F(1e9)
_BEST_W, _BEST_X, _BEST_Y, _BEST_COST = range(4)
_PLACES = 8  # regions around a pixel


class Turn(NamedTuple):
    """What a round tries."""

    number: int  # of all rounds of the view: no two draw the same random numbers
    seed: int
    near: float  # range of inverse depth
    far: float
    pixels: float  # that a point moves in the sources per unit of inverse depth
    reach_px: float  # of random moves in depth
    tilt: float  # of random turns of the normal
    anywhere: bool  # also try depths from the whole range, and any normal


class View(NamedTuple):
    """The view, and what it is compared with."""

    gray: Floats  # (H, W)
    camera: Pinhole
    sources: Sources
    window: Floats
    regions: NDArray[np.int32]  # (8, S, 2)
    best_cosine: float  # between rays, from which a source has enough parallax


class State(NamedTuple):
    """What is known of the view so far."""

    planes: Floats  # (H, W, 3)
    cost: Floats  # (H, W)
    support: Floats  # (H, W, N) 0 to 1: how well each source agrees with the plane


class Scratch(NamedTuple):
    """Room for the work on one pixel."""

    samples: Floats  # (4, S)
    best: Floats  # (4,) plane and cost
    costs: Floats  # (N,)
    weight: Floats  # (N,)
    chosen: NDArray[np.int32]  # (K,)
    trust: Floats  # (K,)
    rows: NDArray[np.int32]  # (8,)
    cols: NDArray[np.int32]  # (8,)


def regions() -> NDArray[np.int32]:
    """(8, S, 2) offsets (row, column) of pixels of the other colour: four fans nearby, four strips further away."""
    fan = [(-1, 0), (-2, -1), (-2, 1), (-3, -2), (-3, 2), (-4, -3), (-4, 3)]
    strip = [(-row, 0) for row in range(3, 25, 2)]
    fan += fan[:1] * (len(strip) - len(fan))
    quarter = np.array([[0, 1], [-1, 0]])
    turns = [np.linalg.matrix_power(quarter, k) for k in range(4)]
    return np.stack([np.array(offsets) @ turn for offsets in (fan, strip) for turn in turns]).astype(np.int32)


def scratch_for(view: View, best_sources: int) -> Scratch:
    """Room for the pixels of one thread."""
    N = len(view.sources.place)
    return Scratch(
        samples=view.window.copy(),
        best=np.zeros(4, np.float32),
        costs=np.zeros(N, np.float32),
        weight=np.zeros(N, np.float32),
        chosen=np.zeros(min(best_sources, N), np.int32),
        trust=np.zeros(min(best_sources, N), np.float32),
        rows=np.zeros(_PLACES, np.int32),
        cols=np.zeros(_PLACES, np.int32),
    )


@kernel
def score_starts(
    view: View, goal: Goal, turn: Turn, starts: Floats, state: State, scratch: Scratch, first_row: int, end_row: int
) -> None:
    """Give every pixel the start (S, H, W, 3) on which the best of its sources agree most, or one at random."""
    planes, cost, support = state
    for row in range(first_row, end_row):
        for col in range(view.gray.shape[1]):
            score_pixel(view, goal, turn, starts, scratch, row, col)
            planes[row, col] = scratch.best[:3]
            cost[row, col] = scratch.best[_BEST_COST]
            for j in range(len(scratch.weight)):
                support[row, col, j] = scratch.weight[j]


@per_pixel
def score_pixel(view: View, goal: Goal, turn: Turn, starts: Any, scratch: Scratch, row: int, col: int) -> None:
    """The best of the starts of a pixel, into scratch."""
    best = scratch.best
    deviation = read_window(view.gray, row, col, view.window, F(goal.contrast), scratch.samples)
    pixel = row * view.gray.shape[1] + col
    x, y = F(col) + HALF, F(row) + HALF
    best[_BEST_COST] = _MUCH
    for i in range(len(starts) + 1):
        if i < len(starts):
            w, wx, wy = starts[i, row, col, 0], starts[i, row, col, 1], starts[i, row, col, 2]
        else:
            w = F(turn.far) + random_at(pixel, 0, turn.number, turn.seed) * F(turn.near - turn.far)
            wx, wy = tilted(pixel, 1, turn.number, turn.seed, ONE, x, y, w, ZERO, ZERO, view.camera)
        if w > ZERO:
            each_cost(view.sources, x, y, w, wx, wy, scratch.samples, deviation, goal, scratch.costs)
            total = mean_of_least(scratch.costs, scratch.trust)
            if total < best[_BEST_COST]:
                best[_BEST_W], best[_BEST_X], best[_BEST_Y], best[_BEST_COST] = w, wx, wy, total
                for j in range(len(scratch.weight)):
                    scratch.weight[j] = support_of(scratch.costs[j])


@per_pixel
def mean_of_least(costs: Any, least: Any) -> Any:
    """Mean of the K least costs, which are put into ``least`` (K,)."""
    for i in range(len(least)):
        least[i] = _MUCH
    for j in range(len(costs)):
        i = len(least) - 1
        if costs[j] < least[i]:
            while i > 0 and least[i - 1] > costs[j]:
                least[i] = least[i - 1]
                i -= 1
            least[i] = costs[j]
    total = ZERO
    for i in range(len(least)):
        total += saturated(least[i])
    return total / F(len(least))


@inlined
def support_of(cost: Any) -> Any:
    """0 to 1: whether a source with this cost sees the pixel (Xu and Tao, CVPR 2019, eq. 4)."""
    return np.exp(-cost * cost / (_TWO * _SPREAD * _SPREAD))


@kernel
def sweep(
    view: View, goal: Goal, turn: Turn, colour: int, state: State, scratch: Scratch, first_row: int, end_row: int
) -> None:
    """Better planes for the pixels of one colour."""
    for row in range(first_row, end_row):
        for col in range((row + colour) % 2, view.gray.shape[1], 2):
            visit(view, goal, turn, state, scratch, row, col)


@per_pixel
def visit(view: View, goal: Goal, turn: Turn, state: State, scratch: Scratch, row: int, col: int) -> None:
    """One pixel: choose its sources, try planes, keep the best."""
    best, planes = scratch.best, state.planes
    deviation = read_window(view.gray, row, col, view.window, F(goal.contrast), scratch.samples)
    x, y = F(col) + HALF, F(row) + HALF
    best[_BEST_W], best[_BEST_X], best[_BEST_Y] = planes[row, col, 0], planes[row, col, 1], planes[row, col, 2]
    best_in_regions(state.cost, view.regions, row, col, scratch.rows, scratch.cols)
    choose_sources(view, state.support, scratch, row, col, x, y)
    best[_BEST_COST] = total_cost(
        view.sources, scratch.chosen, scratch.trust, x, y, best[_BEST_W], best[_BEST_X], best[_BEST_Y],
        scratch.samples, deviation, goal, _MUCH,
    )  # fmt: skip
    propagate(view, goal, turn, state, scratch, row, col, deviation)
    perturb(view, goal, turn, state, scratch, row, col, deviation)
    polish(view, goal, turn, scratch, x, y, deviation)
    each_cost(
        view.sources, x, y, best[_BEST_W], best[_BEST_X], best[_BEST_Y], scratch.samples, deviation, goal, scratch.costs
    )
    planes[row, col, 0], planes[row, col, 1], planes[row, col, 2] = best[_BEST_W], best[_BEST_X], best[_BEST_Y]
    state.cost[row, col] = best[_BEST_COST]
    for j in range(len(scratch.costs)):
        state.support[row, col, j] = support_of(scratch.costs[j])


@per_pixel
def best_in_regions(cost: Any, regions: Any, row: int, col: int, rows: Any, cols: Any) -> None:
    """The pixel that costs least in each region; row -1 where the region lies outside."""
    H, W = cost.shape
    for r in range(_PLACES):
        least = _MUCH
        rows[r] = -1
        for s in range(regions.shape[1]):
            y, x = row + regions[r, s, 0], col + regions[r, s, 1]
            if y >= 0 and y < H and x >= 0 and x < W and cost[y, x] < least:
                least = cost[y, x]
                rows[r] = y
                cols[r] = x


@per_pixel
def choose_sources(view: View, support: Any, scratch: Scratch, row: int, col: int, x: Any, y: Any) -> None:
    """The sources with the highest weight, and their shares of it."""
    weight, chosen, trust = scratch.weight, scratch.chosen, scratch.trust
    rx, ry = (x - F(view.camera.cx)) / F(view.camera.fx), (y - F(view.camera.cy)) / F(view.camera.fy)
    for j in range(len(weight)):
        total, count = support[row, col, j], ONE
        for r in range(_PLACES):
            if scratch.rows[r] >= 0:
                total += support[scratch.rows[r], scratch.cols[r], j]
                count += ONE
        worth = source_worth(view.sources, j, x, y, rx, ry, scratch.best[_BEST_W], F(view.best_cosine))
        weight[j] = (total / count + _DOUBT) * (worth + _DOUBT)
    total = ZERO
    for i in range(len(chosen)):
        most = 0
        for j in range(1, len(weight)):
            if weight[j] > weight[most]:
                most = j
        chosen[i], trust[i] = most, weight[most]
        total += weight[most]
        weight[most] = -ONE
    for i in range(len(chosen)):
        trust[i] /= total


@per_pixel
def source_worth(sources: Sources, j: Any, x: Any, y: Any, rx: Any, ry: Any, w: Any, best_cosine: Any) -> Any:
    """0 to 1: how good the parallax and the resolution of source j are at a pixel, and whether it lies in the photo."""
    at, place = sources.geometry, sources.place
    X0 = at[j, 0] * x + at[j, 1] * y + at[j, 2] + at[j, SHIFT] * w
    Y0 = at[j, 3] * x + at[j, 4] * y + at[j, 5] + at[j, SHIFT + 1] * w
    Z0 = at[j, 6] * x + at[j, 7] * y + at[j, 8] + at[j, SHIFT + 2] * w
    if Z0 <= ZERO:
        return ZERO
    u, v = X0 / Z0, Y0 / Z0
    # Less towards the border: else planes that stay inside would win over true ones that do not.
    border = min(min(u, F(place[j, WIDTH]) - u), min(v, F(place[j, HEIGHT]) - v))
    inside = min(max(border / _BORDER_PX, ZERO), ONE)
    z = ONE / w
    px, py = rx * z, ry * z
    sx, sy, sz = px - at[j, CENTER], py - at[j, CENTER + 1], z - at[j, CENTER + 2]
    there = np.sqrt(sx * sx + sy * sy + sz * sz)
    here = np.sqrt(px * px + py * py + z * z)
    cosine = (px * sx + py * sy + z * sz) / (there * here)
    parallax = min(max((ONE - cosine) / (ONE - best_cosine), ZERO), ONE)
    resolution = at[j, FOCAL] * here / there
    return inside * np.sqrt(parallax) * min(resolution, ONE / resolution)


@per_pixel
def try_plane(
    view: View, goal: Goal, turn: Turn, scratch: Scratch, x: Any, y: Any, w: Any, wx: Any, wy: Any, deviation: Any
) -> None:
    """Keep the plane if it costs less than the best one and lies within the range of depth."""
    best = scratch.best
    if w >= F(turn.far) and w <= F(turn.near):
        cost = total_cost(
            view.sources, scratch.chosen, scratch.trust, x, y, w, wx, wy, scratch.samples, deviation, goal,
            best[_BEST_COST],
        )  # fmt: skip
        if cost < best[_BEST_COST]:
            best[_BEST_W], best[_BEST_X], best[_BEST_Y], best[_BEST_COST] = w, wx, wy, cost


@per_pixel
def propagate(
    view: View, goal: Goal, turn: Turn, state: State, scratch: Scratch, row: int, col: int, deviation: Any
) -> None:
    """Try the planes of the surroundings that differ from the best one."""
    best, pixels = scratch.best, F(turn.pixels)
    for r in range(_PLACES):
        if scratch.rows[r] >= 0:
            j, i = scratch.rows[r], scratch.cols[r]
            wx, wy = state.planes[j, i, 1], state.planes[j, i, 2]
            w = state.planes[j, i, 0] + wx * F(col - i) + wy * F(row - j)
            change = abs(w - best[_BEST_W]) + _TWO * (abs(wx - best[_BEST_X]) + abs(wy - best[_BEST_Y]))
            if change * pixels > _SAME_PX:
                try_plane(view, goal, turn, scratch, F(col) + HALF, F(row) + HALF, w, wx, wy, deviation)


@per_pixel
def perturb(
    view: View, goal: Goal, turn: Turn, state: State, scratch: Scratch, row: int, col: int, deviation: Any
) -> None:
    """Try the best plane moved and turned at random, with the slope of its neighbours' depth, and others anywhere."""
    H, W = view.gray.shape
    x, y = F(col) + HALF, F(row) + HALF
    pixel, number, seed = row * W + col, turn.number, turn.seed
    w, wx, wy = scratch.best[_BEST_W], scratch.best[_BEST_X], scratch.best[_BEST_Y]
    move = F(turn.reach_px) / F(turn.pixels) * (_TWO * random_at(pixel, 10, number, seed) - ONE)
    scale = ONE + move / w
    tx, ty = tilted(pixel, 11, number, seed, F(turn.tilt), x, y, w, wx, wy, view.camera)
    try_plane(view, goal, turn, scratch, x, y, w + move, wx * scale, wy * scale, deviation)
    try_plane(view, goal, turn, scratch, x, y, w, tx, ty, deviation)
    try_plane(view, goal, turn, scratch, x, y, w + move, tx * scale, ty * scale, deviation)
    if row > 0 and row < H - 1 and col > 0 and col < W - 1:
        sx = HALF * (state.planes[row, col + 1, 0] - state.planes[row, col - 1, 0])
        sy = HALF * (state.planes[row + 1, col, 0] - state.planes[row - 1, col, 0])
        try_plane(view, goal, turn, scratch, x, y, scratch.best[_BEST_W], sx, sy, deviation)
    if turn.anywhere:
        w = F(turn.far) + random_at(pixel, 14, number, seed) * F(turn.near - turn.far)
        tx, ty = tilted(pixel, 15, number, seed, ONE, x, y, w, ZERO, ZERO, view.camera)
        try_plane(view, goal, turn, scratch, x, y, w, tx, ty, deviation)
        scale = w / scratch.best[_BEST_W]
        try_plane(
            view, goal, turn, scratch, x, y, w, scratch.best[_BEST_X] * scale, scratch.best[_BEST_Y] * scale, deviation
        )
        w = scratch.best[_BEST_W]
        tx, ty = tilted(pixel, 18, number, seed, ONE, x, y, w, ZERO, ZERO, view.camera)
        try_plane(view, goal, turn, scratch, x, y, w, tx, ty, deviation)


@per_pixel
def polish(view: View, goal: Goal, turn: Turn, scratch: Scratch, x: Any, y: Any, deviation: Any) -> None:
    """Try the lowest point of a parabola through the costs at the best depth and on either side of it."""
    best = scratch.best
    w, wx, wy, here = best[_BEST_W], best[_BEST_X], best[_BEST_Y], best[_BEST_COST]
    step = _STEP_PX / F(turn.pixels)
    before = total_cost(
        view.sources, scratch.chosen, scratch.trust, x, y, w - step, wx, wy, scratch.samples, deviation, goal, _MUCH
    )
    after = total_cost(
        view.sources, scratch.chosen, scratch.trust, x, y, w + step, wx, wy, scratch.samples, deviation, goal, _MUCH
    )
    curvature = before + after - _TWO * here
    if curvature > _FLAT:
        shift = min(max(HALF * (before - after) / curvature, -ONE), ONE) * step
        try_plane(view, goal, turn, scratch, x, y, w + shift, wx, wy, deviation)
