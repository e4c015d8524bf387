"""The depth of one view: slanted planes that other photos agree with, searched coarse to fine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lotus_recon.errors import InputError
from lotus_recon.mvs.bands import in_bands
from lotus_recon.mvs.config import SearchConfig
from lotus_recon.mvs.hypotheses import Pinhole
from lotus_recon.mvs.margin import score_margin
from lotus_recon.mvs.matching import Goal, window_of
from lotus_recon.mvs.planes import resized
from lotus_recon.mvs.sources import Floats, Photo, Surface, pixels_per_inverse_depth, sources_of
from lotus_recon.mvs.sweep import State, Turn, View, regions, score_starts, scratch_for, sweep


@dataclass(frozen=True, eq=False)
class Estimate:
    """What a search found: planes (H, W, 3), their cost and their margin (H, W).

    The cost is 0 where all chosen sources agree perfectly; without the sources' depth it is at most 1. The margin is
    what planes cost more a few pixels before and behind; near 0, or below, where the photos do not decide.
    """

    planes: Floats
    cost: Floats
    margin: Floats


def search(
    photo: Photo,
    others: Sequence[Photo],
    starts: Floats,
    depth_range: tuple[float, float],
    config: SearchConfig,
    surfaces: Sequence[Surface] | None = None,
    seed: int = 0,
) -> Estimate:
    """PatchMatch multi-view stereo (Bleyer 2011; Galliani 2015; Schoenberger 2016; Xu and Tao 2019).

    ``starts`` (S, H, W, 3): planes to begin with, where they are known; S may be 0. ``depth_range``: nearest and
    farthest depth that is tried at random and accepted. ``surfaces`` of the ``others``, of an earlier pass: planes have
    to agree with them too, and the search starts from ``starts``, which should hold this view's own planes of that
    pass.

    Raises InputError without other photos, for starts of another size and for a range that is empty.
    """
    _check(photo, others, starts, depth_range, surfaces)
    near, far = 1 / depth_range[0], 1 / depth_range[1]
    rounds = config.rounds if surfaces is None else config.later_rounds
    number, found = 0, None
    for scale in range(config.scales - 1, -1, -1):
        count = rounds[0 if scale == config.scales - 1 else 1 if scale else 2]
        if not count:
            continue
        level = _Level(photo.halved(scale), [other.halved(scale) for other in others], surfaces, config)
        begin = [*starts] if found is None else [*starts, found.planes]
        is_first = found is None and surfaces is None
        turn = Turn(number, seed, near, far, level.pixels((near + far) / 2), 0, 1, is_first)
        found = level.searched(begin, count, turn, is_last=scale == 0)
        number += count + 1
    assert found is not None  # the full size always has a round
    return found


def _check(
    photo: Photo,
    others: Sequence[Photo],
    starts: Floats,
    depth_range: tuple[float, float],
    surfaces: Sequence[Surface] | None,
) -> None:
    if not others:
        raise InputError("a search needs one other photo at least")
    if starts.ndim != 4 or starts.shape[1:] != (*photo.gray.shape, 3):
        raise InputError(
            f"starts have shape {starts.shape}; allowed: (S, {photo.gray.shape[0]}, {photo.gray.shape[1]}, 3)"
        )
    if not 0 < depth_range[0] < depth_range[1] < np.inf:
        raise InputError(f"depth range {depth_range}: needed are two depths above 0, the nearer one first")
    if surfaces is not None and len(surfaces) != len(others):
        raise InputError(f"{len(surfaces)} surfaces of {len(others)} photos: must be as many")


class _Level:
    """The search at one scale."""

    def __init__(
        self, photo: Photo, others: Sequence[Photo], surfaces: Sequence[Surface] | None, config: SearchConfig
    ) -> None:
        self.photo, camera = photo, photo.camera
        self.view = View(
            gray=photo.gray,
            camera=Pinhole(camera.fx, camera.fy, camera.cx, camera.cy),
            sources=sources_of(photo, others, surfaces),
            window=window_of(config.window_radius),
            regions=regions(),
            best_cosine=float(np.cos(np.radians(config.min_parallax_deg))),
        )
        geometric = 0.0 if surfaces is None else config.geometric_weight
        radius = float(config.window_radius)
        self.goal = Goal(config.best_sources, config.window_contrast, radius, geometric, config.geometric_px)

    def pixels(self, inverse_depth: float) -> float:
        """That points move in the sources per unit of inverse depth."""
        return pixels_per_inverse_depth(self.photo, self.view.sources, inverse_depth)

    def searched(self, starts: Sequence[Floats], count: int, turn: Turn, is_last: bool) -> Estimate:
        """The estimate after so many rounds from the best of the starts (H', W', 3) of any size."""
        H, W = self.photo.gray.shape
        N = len(self.view.sources.place)
        state = State(np.zeros((H, W, 3), np.float32), np.zeros((H, W), np.float32), np.zeros((H, W, N), np.float32))
        given = np.stack([resized(each, H, W) for each in starts]) if starts else np.zeros((0, H, W, 3), np.float32)
        self._run(score_starts, self.goal, turn, given, state)
        for i in range(count):
            # Wide perturbations at first; those of later scales and passes only refine.
            reach_px, tilt = (
                (max(4 * 0.5**i, 0.5), max(0.5 * 0.6**i, 0.05)) if turn.anywhere else (0.5**i, 0.2 * 0.5**i)
            )
            now = turn._replace(number=turn.number + 1 + i, reach_px=reach_px, tilt=tilt)
            for colour in (0, 1):
                self._run(sweep, self.goal, now, colour, state)
        margin = np.zeros((H, W), np.float32)
        photos_only = self.goal._replace(geometric=0.0)
        if is_last:
            self._run(score_margin, photos_only, turn, state.planes, margin)
        return Estimate(state.planes, state.cost, margin)

    def _run(self, kernel: Callable[..., None], goal: Goal, turn: Turn, what: Any, result: Any) -> None:
        def work(first_row: int, end_row: int) -> None:
            scratch = scratch_for(self.view, self.goal.best_sources)
            kernel(self.view, goal, turn, what, result, scratch, first_row, end_row)

        in_bands(work, len(self.photo.gray))
