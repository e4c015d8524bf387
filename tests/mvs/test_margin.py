"""Photos tell a depth from those beside it where they show something across the line of sight, and only there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lotus_recon.mvs.config import SearchConfig
from lotus_recon.mvs.search import search
from tests.mvs.scenes import DEPTH_RANGE, Shot, middle, others


def margins(photos: list[Shot]) -> np.ndarray:
    """The margins of a search from the true surface."""
    first, *rest = photos
    starts = first.surface.planes[None]
    return search(first.photo, [shot.photo for shot in rest], starts, DEPTH_RANGE, SearchConfig()).margin


def test_texture_gives_a_margin_and_stripes_along_the_motion_give_none() -> None:
    """All cameras stand at one height: rows of equal brightness look the same at every depth."""
    shots = [middle(), *others()]
    assert np.median(margins(shots)) > 0.2
    rows = np.random.default_rng(0).random((120, 1), np.float32)
    striped = [replace(s, photo=replace(s.photo, gray=np.tile(rows, (1, 160)))) for s in shots]
    assert np.median(np.abs(margins(striped)[20:100, 40:120])) < 0.05
