"""The depth of one view: slanted planes searched coarse to fine."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.mvs.config import SearchConfig
from lotus_recon.mvs.matching import Goal, window_of
from lotus_recon.mvs.planes import resized
from lotus_recon.mvs.sources import Floats, Photo, Surface, pixels_per_inverse_depth, sources_of
from lotus_recon.threads import thread_count
from lotus_recon.mvs.sweep import Pinhole, Round, State, regions, score_starts, sweep


@dataclass(frozen=True, eq=False)
class Found:
    planes: Floats
    cost: Floats
    source_costs: Floats


def _in_rows(H: int, kernel, *arguments) -> None:
    count = thread_count()
    if count == 1:
        kernel(*arguments, 0, H)
        return
    bands = np.linspace(0, H, 4 * count + 1).astype(int)
    with ThreadPoolExecutor(count) as pool:
        for done in [pool.submit(kernel, *arguments, int(a), int(b)) for a, b in zip(bands, bands[1:])]:
            done.result()


def search(
    view: Photo, photos: Sequence[Photo], starts: Floats, depth_range: tuple[float, float], config: SearchConfig,
    surfaces: Sequence[Surface] | None = None, seed: int = 0,
) -> Found:
    """starts (S, H, W, 3)."""
    near, far = 1 / depth_range[0], 1 / depth_range[1]
    window = window_of(config.window_radius, config.window_stride)
    around = regions()
    later = surfaces is not None
    rounds = config.later_rounds if later else config.rounds
    number = 0
    before: Floats | None = None
    for scale in range(config.scales - 1, -1, -1):
        count = rounds[0 if scale == config.scales - 1 else (1 if scale else 2)]
        if count == 0:
            continue
        here = view.halved(scale)
        sources = sources_of(here, [p.halved(scale) for p in photos], surfaces)
        camera = Pinhole(here.camera.fx, here.camera.fy, here.camera.cx, here.camera.cy)
        H, W = here.gray.shape
        N = len(photos)
        given = np.stack([resized(s, H, W) for s in ([*starts, before] if before is not None else starts)])
        state = State(np.zeros((H, W, 3), np.float32), np.full((H, W), 2, np.float32), np.full((H, W, N), 2, np.float32))
        px = pixels_per_inverse_depth(here, sources, (near + far) / 2)
        geometric = config.geometric_weight if later else 0.0
        matching = Goal(min(config.best_sources, N), config.window_contrast, float(config.window_radius), geometric, config.geometric_px)
        common = dict(seed=seed, near=near, far=far, pixels=px)
        _in_rows(H, score_starts, here.gray, sources, camera, window, given, matching, Round(number=number, reach_px=0.0, tilt=1.0, anywhere=True, **common), state)
        for i in range(count):
            number += 1
            first = before is None and not later
            goal = Round(number=number, reach_px=max(4.0 * 0.5**i, .5) if first else max(1.0*.5**i, .25), tilt=max(.5 * .6**i, .05) if first else max(.2*.5**i, .03), anywhere=first, **common)
            for colour in (0, 1):
                _in_rows(H, sweep, here.gray, sources, camera, window, around, matching, goal, colour, state)
        before = state.planes
    return Found(state.planes, state.cost, state.source_costs)
