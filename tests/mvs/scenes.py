"""Photos of the analytic scene with exact surfaces, as the search reads them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from lotus_recon.geometry.normals import normals_from_depth
from lotus_recon.mvs.planes import planes_of
from lotus_recon.mvs.sources import Photo, Surface
from lotus_recon.types import View
from tests.alignment.analytic import true_depth
from tests.refinement.scenes import gray_of, views

MIDDLE, OTHERS = 2, (0, 1, 3, 4)
DEPTH_RANGE = (2.0, 9.0)


@dataclass(frozen=True, eq=False)
class Shot:
    """A view, its photo and its true maps."""

    view: View
    photo: Photo
    depth: NDArray[np.float64]
    normals: NDArray[np.float32]

    @property
    def surface(self) -> Surface:
        """The true surface, certain everywhere."""
        ones = np.ones(self.depth.shape, np.float32)
        return Surface(planes_of(self.depth, self.view.camera, self.normals), ones)


@cache
def shots() -> tuple[Shot, ...]:
    """Five views on an arc, 160x120, of a floor, a wall and two balls, all textured."""
    return tuple(shot(view) for view in views(5))


def shot(view: View, flat_left_of: float = -np.inf) -> Shot:
    """One view; without texture where world x is below ``flat_left_of``."""
    depth = true_depth(view)
    normals, _ = normals_from_depth(depth, np.ones(depth.shape, bool), view.camera)
    gray = gray_of(view, flat_left_of=flat_left_of).astype(np.float32)
    return Shot(view, Photo(gray, view.camera, view.cam_from_world), depth, normals)


def middle() -> Shot:
    """The view that tests look at."""
    return shots()[MIDDLE]


def others() -> list[Shot]:
    """Those that it is compared with."""
    return [shots()[i] for i in OTHERS]


def no_starts(of: Shot) -> NDArray[np.float32]:
    """(0, H, W, 3)"""
    return np.zeros((0, *of.depth.shape, 3), np.float32)
