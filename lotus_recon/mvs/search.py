"""The depth of one view: slanted planes that other photos agree with, searched coarse to fine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from lotus_recon.errors import InputError
from lotus_recon.mvs.bands import in_bands
from lotus_recon.mvs.config import SearchConfig
from lotus_recon.mvs.hypotheses import Pinhole
from lotus_recon.mvs.margin import score_margin
from lotus_recon.mvs.matching import Goal, window_of
from lotus_recon.mvs.planes import resized
from lotus_recon.mvs.sources import Floats, Photo, Sources, Surface, pixels_per_inverse_depth, sources_of
from lotus_recon.mvs.sweep import State, Turn, View, regions, score_starts, scratch_for, sweep

if TYPE_CHECKING:
    import torch


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
    device: torch.device | None = None,
) -> Estimate:
    """PatchMatch multi-view stereo (Bleyer 2011; Galliani 2015; Schoenberger 2016; Xu and Tao 2019).

    ``starts`` (S, H, W, 3): planes to begin with, where they are known; S may be 0. ``depth_range``: nearest and
    farthest depth that is tried at random and accepted. ``surfaces`` of the ``others``, of an earlier pass: planes have
    to agree with them too, and the search starts from ``starts``, which should hold this view's own planes of that
    pass. ``device``: where Triton runs (``device_choice.search_device``); None: the CPU, compiled by numba. Both take
    the same steps with the same random numbers; rounding decides between planes of equal cost.

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
        level = _Level(photo.halved(scale), [other.halved(scale) for other in others], surfaces, config, device)
        begin = [*starts] if found is None else [*starts, found.planes]
        is_first = found is None and surfaces is None
        turn = Turn(number, seed, near, far, level.pixels((near + far) / 2), 0, 1, is_first)
        planes, cost = level.searched(begin, count, turn)
        number += count + 1
        found = Estimate(planes, cost, level.margins(planes, turn) if scale == 0 else np.zeros_like(cost))
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


class _Engine(Protocol):
    """What runs the rounds over one view at one scale."""

    def score_starts(self, turn: Turn, starts: Floats) -> None:
        """Give every pixel the best of the starts (S, H, W, 3), or a plane at random."""

    def sweep(self, turn: Turn, colour: int) -> None:
        """Better planes for the pixels of one colour."""

    def result(self) -> tuple[Floats, Floats]:
        """The planes (H, W, 3) and their cost (H, W)."""


class CompiledSearch:
    """Rounds on the threads of this process, compiled by numba."""

    def __init__(self, view: View, goal: Goal) -> None:
        H, W = view.gray.shape
        N = len(view.sources.place)
        self._view, self._goal = view, goal
        self.state = State(
            np.zeros((H, W, 3), np.float32), np.zeros((H, W), np.float32), np.zeros((H, W, N), np.float32)
        )

    def score_starts(self, turn: Turn, starts: Floats) -> None:
        """Give every pixel the best of the starts (S, H, W, 3), or a plane at random."""
        self._run(score_starts, turn, starts)

    def sweep(self, turn: Turn, colour: int) -> None:
        """Better planes for the pixels of one colour."""
        self._run(sweep, turn, colour)

    def result(self) -> tuple[Floats, Floats]:
        """The planes (H, W, 3) and their cost (H, W)."""
        return self.state.planes, self.state.cost

    def _run(self, kernel: Callable[..., None], turn: Turn, what: Any) -> None:
        def work(first_row: int, end_row: int) -> None:
            scratch = scratch_for(self._view, self._goal.best_sources)
            kernel(self._view, self._goal, turn, what, self.state, scratch, first_row, end_row)

        in_bands(work, len(self._view.gray))


class _Level:
    """The search at one scale."""

    def __init__(
        self,
        photo: Photo,
        others: Sequence[Photo],
        surfaces: Sequence[Surface] | None,
        config: SearchConfig,
        device: torch.device | None,
    ) -> None:
        self._photo, self._sources = photo, sources_of(photo, others, surfaces)
        self._view, self._goal = matching_of(photo, self._sources, config, surfaces is not None)
        self._engine = engine_for(self._view, self._goal, device)

    def pixels(self, inverse_depth: float) -> float:
        """That points move in the sources per unit of inverse depth."""
        return pixels_per_inverse_depth(self._photo, self._sources, inverse_depth)

    def searched(self, starts: Sequence[Floats], count: int, turn: Turn) -> tuple[Floats, Floats]:
        """Planes (H, W, 3) and cost (H, W) after so many rounds from the best of the starts (H', W', 3) of any size."""
        H, W = self._photo.gray.shape
        given = np.stack([resized(each, H, W) for each in starts]) if starts else np.zeros((0, H, W, 3), np.float32)
        self._engine.score_starts(turn, given)
        for i in range(count):
            # Wide perturbations at first; those of later scales and passes only refine.
            reach_px, tilt = (
                (max(4 * 0.5**i, 0.5), max(0.5 * 0.6**i, 0.05)) if turn.anywhere else (0.5**i, 0.2 * 0.5**i)
            )
            now = turn._replace(number=turn.number + 1 + i, reach_px=reach_px, tilt=tilt)
            for colour in (0, 1):
                self._engine.sweep(now, colour)
        return self._engine.result()

    def margins(self, planes: Floats, turn: Turn) -> Floats:
        """(H, W) by how much the photos alone prefer the planes (H, W, 3) to others before and behind. On the CPU."""
        margin, goal = np.zeros(planes.shape[:2], np.float32), self._goal._replace(geometric=0.0)

        def work(first_row: int, end_row: int) -> None:
            scratch = scratch_for(self._view, goal.best_sources)
            score_margin(self._view, goal, turn, planes, margin, scratch, first_row, end_row)

        in_bands(work, len(planes))
        return margin


def matching_of(photo: Photo, sources: Sources, config: SearchConfig, geometric: bool) -> tuple[View, Goal]:
    """A view as its rounds read it; ``geometric``: the sources' own depth counts."""
    camera = photo.camera
    view = View(
        gray=photo.gray,
        camera=Pinhole(camera.fx, camera.fy, camera.cx, camera.cy),
        sources=sources,
        window=window_of(config.window_radius),
        regions=regions(),
        best_cosine=float(np.cos(np.radians(config.min_parallax_deg))),
    )
    weight = config.geometric_weight if geometric else 0.0
    return view, Goal(
        config.best_sources, config.window_contrast, float(config.window_radius), weight, config.geometric_px
    )


def engine_for(view: View, goal: Goal, device: torch.device | None) -> _Engine:
    """What runs the rounds of a view: Triton on a device, or numba."""
    if device is None:
        return CompiledSearch(view, goal)
    from lotus_recon.mvs.device_search import DeviceSearch

    return DeviceSearch(view, goal, device)
