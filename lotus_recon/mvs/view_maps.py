"""The depth map that a view ends up with: what photos decide, the rest completed where nothing speaks against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lotus_recon.mvs.agreement import MATCHED, agreement
from lotus_recon.mvs.background import Background, background
from lotus_recon.mvs.completion import complete
from lotus_recon.mvs.guides import Guide
from lotus_recon.mvs.planes import depth_of, planes_of
from lotus_recon.mvs.sources import Floats, Photo, Surface
from lotus_recon.mvs.trust import trusted
from lotus_recon.types import BoolArray

FILLED_CONFIDENCE = 0.02  # of depth that no photo decides: less than of any that one does


@dataclass(frozen=True, eq=False)
class DenseMap:
    """(H, W) z-depth, 0 where unknown, its confidence, and which pixels are background."""

    depth: Floats
    confidence: Floats
    background: BoolArray

    @property
    def matched(self) -> BoolArray:
        """(H, W) pixels whose depth photos decide."""
        return self.confidence > FILLED_CONFIDENCE


def dense_map(
    rgb: NDArray[np.uint8],
    photo: Photo,
    surface: Surface,
    guide: Guide,
    others: Sequence[Photo],
    surfaces: Sequence[Surface],
    rule: Background,
) -> DenseMap:
    """The map of a view from the ``surface`` that the search found, at the size of its photo ``rgb`` (H, W, 3).

    Depth that more views see through than agree with it is dropped, and completed depth that any view sees through.
    """
    votes = agreement(photo, surface.planes, others, surfaces)
    matched = guide.allowed & (surface.certainty >= MATCHED) & (votes.agreeing >= votes.seen_through)
    behind = background(rgb, matched, guide.depth, rule) & guide.allowed
    matched &= ~behind
    found = np.where(matched, depth_of(surface.planes), 0)
    by = trusted(guide, found, matched, photo.camera)
    completed = complete(found, matched, photo.camera, by.normals, by.depth, guide.allowed & ~behind)
    seen_through = agreement(photo, planes_of(completed.depth, photo.camera), others, surfaces).seen_through
    depth = np.where(completed.filled & (seen_through > 0), 0, completed.depth)
    confidence = np.where(matched, surface.certainty, FILLED_CONFIDENCE) * (depth > 0)
    return DenseMap(depth.astype(np.float32), confidence.astype(np.float32), behind)
