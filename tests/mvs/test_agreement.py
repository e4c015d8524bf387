"""Counting views that agree, on exact surfaces with planted errors."""

from __future__ import annotations

import numpy as np

from lotus_recon.mvs.agreement import agreement, certainty
from lotus_recon.mvs.search import Estimate
from tests.mvs.scenes import middle, others


def compared(planes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found = agreement(middle().photo, planes, [o.photo for o in others()], [o.surface for o in others()])
    return found.agreeing, found.seen_through


def test_the_true_surface_is_met_where_others_see_it() -> None:
    agreeing, seen_through = compared(middle().surface.planes)
    assert (agreeing == 4).mean() > 0.6
    assert (agreeing >= 2).mean() > 0.9
    assert (seen_through > 0).mean() < 0.02


def test_a_plane_in_front_is_seen_through_and_one_behind_is_hidden() -> None:
    planes = middle().surface.planes.copy()
    planes[40:80, 60:100, 0] *= 3  # nearer than all of the scene
    agreeing, seen_through = compared(planes)
    assert not agreeing[45:75, 65:95].any()
    assert (seen_through[45:75, 65:95] >= 2).mean() > 0.95
    planes[40:80, 60:100, 0] /= 3 * 3  # farther than all of the scene
    agreeing, seen_through = compared(planes)
    assert not agreeing[45:75, 65:95].any()
    assert (seen_through[45:75, 65:95] == 0).mean() > 0.95


def test_certainty_needs_others_and_a_margin() -> None:
    margin = np.array([[0.3, 0.3, 0.3, 0.03, -0.1]], np.float32)
    estimate = Estimate(np.zeros((1, 5, 3), np.float32), np.zeros((1, 5), np.float32), margin)
    agreeing = np.array([[0, 1, 3, 3, 3]], np.uint8)
    assert np.allclose(certainty(estimate, agreeing), [[0, 0.5, 1, 0.5, 0]], atol=1e-6)


def test_unknown_pixels_agree_with_nothing() -> None:
    agreeing, seen_through = compared(np.zeros_like(middle().surface.planes))
    assert not agreeing.any()
    assert not seen_through.any()
