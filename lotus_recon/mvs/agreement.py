"""Do the surfaces of several views agree? How certain a plane is, and which planes others see through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon.mvs.bands import in_bands
from lotus_recon.mvs.compiled import kernel, per_pixel
from lotus_recon.mvs.matching import HALF, ZERO, F, depth_error_px
from lotus_recon.mvs.search import Estimate
from lotus_recon.mvs.sources import HEIGHT, SHIFT, WIDTH, Floats, Photo, Sources, Surface, sources_of

Counts = NDArray[np.uint8]

_WITHIN_PX = 1.0  # difference of surfaces that agree, in pixels of parallax
_THROUGH_PX = 4.0  # difference beyond which a view surely looks past a surface
MATCHED = 0.5  # certainty from which photos decide the depth of a pixel, and it is evidence against other surfaces
_ENOUGH = 2  # agreeing views that make a plane certain
MARGIN = 0.06  # of the cost, from which the photos' own agreement counts fully


@dataclass(frozen=True, eq=False)
class Agreement:
    """What the sources' surfaces say of a view's planes, (H, W) each: how many agree, how many look through them."""

    agreeing: Counts
    seen_through: Counts


def agreement(photo: Photo, planes: Floats, others: Sequence[Photo], surfaces: Sequence[Surface]) -> Agreement:
    """Compare planes (H, W, 3) with the surfaces of the other photos."""
    sources = sources_of(photo, others, surfaces)
    counts = np.zeros((2, *planes.shape[:2]), np.uint8)

    def work(first_row: int, end_row: int) -> None:
        compare_surfaces(planes, sources, counts, first_row, end_row)

    in_bands(work, len(planes))
    return Agreement(counts[0], counts[1])


def certainty(estimate: Estimate, agreeing: Counts) -> Floats:
    """(H, W) 0 to 1: planes are certain where other views found the same and the photos tell them from others."""
    told_apart = np.clip(estimate.margin / MARGIN, 0, 1)
    return (told_apart * np.minimum(agreeing, _ENOUGH) / _ENOUGH).astype(np.float32)


@kernel
def compare_surfaces(planes: Floats, sources: Sources, counts: Counts, first_row: int, end_row: int) -> None:
    """Fill ``counts`` (2, H, W)."""
    for row in range(first_row, end_row):
        for col in range(planes.shape[1]):
            for j in range(len(sources.place)):
                outcome = is_met(planes, sources, j, row, col)
                counts[0, row, col] += outcome == 1
                counts[1, row, col] += outcome == -1


@per_pixel
def is_met(planes: Any, sources: Sources, j: Any, row: int, col: int) -> int:
    """1: source j has the same surface there. -1: it surely looks through the plane. 0: neither.

    Where a source knows no surface its inverse depth is 0, which nothing in sight comes near.
    """
    at, place = sources.geometry, sources.place
    w, x, y = planes[row, col, 0], F(col) + HALF, F(row) + HALF
    X0 = at[j, 0] * x + at[j, 1] * y + at[j, 2] + at[j, SHIFT] * w
    Y0 = at[j, 3] * x + at[j, 4] * y + at[j, 5] + at[j, SHIFT + 1] * w
    Z0 = at[j, 6] * x + at[j, 7] * y + at[j, 8] + at[j, SHIFT + 2] * w
    if w <= ZERO or Z0 <= ZERO:
        return 0
    u, v = X0 / (Z0 * F(place[j, WIDTH])), Y0 / (Z0 * F(place[j, HEIGHT]))
    if not (u > 0 and u < 1 and v > 0 and v < 1):
        return 0
    move_x, move_y = at[j, SHIFT] - X0 / Z0 * at[j, SHIFT + 2], at[j, SHIFT + 1] - Y0 / Z0 * at[j, SHIFT + 2]
    pixels = np.sqrt(move_x * move_x + move_y * move_y)
    error, sure = depth_error_px(sources.maps, place, j, u, v, w / Z0, pixels)
    if abs(error) < F(_WITHIN_PX):
        return 1
    return -1 if error > F(_THROUGH_PX) and sure >= F(MATCHED) else 0
