"""Planes through sparse points and out of other views, against the exact scene."""

from __future__ import annotations

import numpy as np
import pytest

from lotus_recon.geometry.normals import angle_deg
from lotus_recon.mvs.planes import depth_of, normals_of
from lotus_recon.mvs.sources import Surface
from lotus_recon.mvs.starts import seen_by_others, through_points
from tests.mvs.scenes import middle, others


def test_points_of_a_plane_give_that_plane() -> None:
    xy = np.random.default_rng(0).uniform([0, 0], [80, 60], (200, 2))
    inverse = 0.2 + 0.001 * xy[:, 0] - 0.002 * xy[:, 1]
    nearest, triangles = through_points(xy, 1 / inverse, 60, 80)
    y, x = np.mgrid[:60, :80] + 0.5
    inside = triangles[..., 0] > 0
    assert inside.mean() > 0.85
    assert triangles[inside, 0] == pytest.approx((0.2 + 0.001 * x - 0.002 * y)[inside], abs=1e-5)
    assert triangles[inside, 1:] == pytest.approx(np.broadcast_to([0.001, -0.002], (inside.sum(), 2)), abs=1e-5)
    assert np.abs(nearest[..., 0] - (0.2 + 0.001 * x - 0.002 * y)).max() < 0.05
    assert (nearest[..., 0] > 0).all()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_points_make_no_triangles(count: int) -> None:
    nearest, triangles = through_points(np.full((count, 2), 5.0) + np.arange(count)[:, None], np.ones(count), 20, 30)
    assert not triangles.any()
    assert (nearest[..., 0] > 0).all() == (count > 0)


def test_true_surfaces_of_other_views_land_on_the_true_surface() -> None:
    shot = middle()
    front, back = seen_by_others(shot.photo, [o.photo for o in others()], [o.surface for o in others()])
    known = front[..., 0] > 0
    assert known.mean() > 0.97
    error = np.abs(depth_of(front) / shot.depth - 1)[known]
    assert np.percentile(error, 97) < 0.002
    turned = angle_deg(normals_of(front, shot.view.camera)[known], shot.normals[known])
    assert np.percentile(turned, 90) < 2
    # Behind an object some views see what is hidden from this one.
    assert (depth_of(back)[known] >= depth_of(front)[known] * (1 - 1e-6)).all()
    assert (depth_of(back)[known] > 1.2 * depth_of(front)[known]).mean() > 0.03


def test_what_is_not_certain_is_not_lent() -> None:
    doubtful = [Surface(o.surface.planes, 0.3 * o.surface.certainty) for o in others()]
    assert not seen_by_others(middle().photo, [o.photo for o in others()], doubtful).any()
