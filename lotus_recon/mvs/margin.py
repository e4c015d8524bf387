"""Is a depth told apart from those beside it? Where windows look the same along the ray, photos decide nothing."""

from __future__ import annotations

from typing import Any

from lotus_recon.mvs.compiled import kernel, per_pixel
from lotus_recon.mvs.matching import HALF, F, Goal, each_cost, read_window
from lotus_recon.mvs.sources import Floats
from lotus_recon.mvs.sweep import Scratch, Turn, View, mean_of_least

_OFFSET_PX = F(3)  # of parallax, on either side: more than a sub-pixel error, less than most repeated patterns


@kernel
def score_margin(
    view: View, goal: Goal, turn: Turn, planes: Floats, margin: Floats, scratch: Scratch, first_row: int, end_row: int
) -> None:
    """Fill ``margin`` (H, W): by how much planes (H, W, 3) cost less than those a few pixels before them and behind."""
    for row in range(first_row, end_row):
        for col in range(view.gray.shape[1]):
            margin[row, col] = margin_at(view, goal, F(turn.pixels), planes, scratch, row, col)


@per_pixel
def margin_at(view: View, goal: Goal, pixels: Any, planes: Any, scratch: Scratch, row: int, col: int) -> Any:
    """The margin of one pixel."""
    deviation = read_window(view.gray, row, col, view.window, F(goal.contrast), scratch.samples)
    x, y = F(col) + HALF, F(row) + HALF
    w, wx, wy = planes[row, col, 0], planes[row, col, 1], planes[row, col, 2]
    each_cost(view.sources, x, y, w, wx, wy, scratch.samples, deviation, goal, scratch.costs)
    here = mean_of_least(scratch.costs, scratch.trust)
    step = _OFFSET_PX / pixels
    each_cost(view.sources, x, y, w - step, wx, wy, scratch.samples, deviation, goal, scratch.costs)
    behind = mean_of_least(scratch.costs, scratch.trust)
    each_cost(view.sources, x, y, w + step, wx, wy, scratch.samples, deviation, goal, scratch.costs)
    return min(behind, mean_of_least(scratch.costs, scratch.trust)) - here
