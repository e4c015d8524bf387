"""The final map of a view, from exact surfaces with planted errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.mvs.agreement import MATCHED
from lotus_recon.mvs.background import Background
from lotus_recon.mvs.guides import Guide
from lotus_recon.mvs.planes import planes_of
from lotus_recon.mvs.sources import Surface
from lotus_recon.mvs.view_maps import FILLED_CONFIDENCE, DenseMap, dense_map
from tests.mvs.scenes import MIDDLE, Shot, middle, others, shot, views

BLOCK = np.zeros((120, 160), bool)
BLOCK[40:80, 60:100] = True
INNER = np.zeros((120, 160), bool)
INNER[45:75, 65:95] = True
EVERYWHERE = np.ones((120, 160), bool)


def guide_of(depth: NDArray[np.float64] | None, allowed: NDArray[np.bool_] = EVERYWHERE) -> Guide:
    return Guide(None if depth is None else depth.astype(np.float32), None, allowed)


def made(
    surface: Surface, guide: Guide, surfaces: list[Surface] | None = None, of: Shot | None = None,
    rule: Background = "auto",
) -> DenseMap:  # fmt: skip
    """The map of the middle view, whose sources know the true surfaces."""
    surfaces = [other.surface for other in others()] if surfaces is None else surfaces
    photo = (of or middle()).photo
    rgb = np.asarray((255 * np.repeat(photo.gray[..., None], 3, axis=2)).round().clip(0, 255), np.uint8)
    return dense_map(rgb, photo, surface, guide, [other.photo for other in others()], surfaces, rule)


def unsure_in(where: NDArray[np.bool_]) -> Surface:
    surface = middle().surface
    return replace(surface, certainty=np.where(where, np.float32(0.3), surface.certainty))


def test_what_is_certain_stays_and_the_rest_is_filled_in() -> None:
    truth = middle().depth
    dense = made(unsure_in(BLOCK), guide_of(truth))
    assert dense.depth[~BLOCK] == pytest.approx(truth[~BLOCK], rel=1e-5)
    assert (dense.confidence[~BLOCK] == 1).all()
    assert not dense.matched[BLOCK].any()
    filled = dense.depth[BLOCK] > 0
    assert filled.mean() > 0.95
    assert (np.abs(dense.depth / truth - 1)[BLOCK][filled] < 0.02).mean() > 0.9
    assert (dense.confidence[BLOCK][filled] == np.float32(FILLED_CONFIDENCE)).all()


def test_a_filled_pixel_that_another_view_sees_through_is_dropped() -> None:
    """The network puts the block before all of the scene."""
    shape = np.where(BLOCK, 0.4 * middle().depth, middle().depth)
    dense = made(unsure_in(BLOCK), guide_of(shape))
    assert (dense.depth[INNER] == 0).mean() > 0.95
    assert not dense.confidence[dense.depth == 0].any()
    doubtful = [replace(other.surface, certainty=0.3 * other.surface.certainty) for other in others()]
    kept = made(unsure_in(BLOCK), guide_of(shape), doubtful)  # nobody surely sees anything behind
    assert (kept.depth[INNER] > 0).all()
    assert kept.depth[INNER] == pytest.approx(shape[INNER], rel=0.1)


def ghost(of: Shot) -> Surface:
    """A plane that is nowhere, before all of the scene: z = 1.5 in the middle camera."""
    middle_from_cam = middle().view.cam_from_world @ np.linalg.inv(of.view.cam_from_world)
    normal, offset = middle_from_cam[2, :3], 1.5 - middle_from_cam[2, 3]
    depth = offset / (rays_in_cam(of.view.camera) @ normal)
    return Surface(planes_of(depth, of.view.camera), np.ones(depth.shape, np.float32))


@pytest.mark.parametrize(("agreeing", "stays"), [(1, False), (2, True)])
def test_a_matched_pixel_that_more_views_see_through_than_agree_is_dropped(agreeing: int, stays: bool) -> None:
    """Of four views some see the ghost and the others through it. The middle of it lies in all of them."""
    surfaces = [ghost(other) if i in range(1, 1 + agreeing) else other.surface for i, other in enumerate(others())]
    dense = made(ghost(middle()), guide_of(None), surfaces)
    assert (dense.matched[INNER].mean() > 0.9) == stays
    assert (dense.depth[INNER].any()) == stays


def test_a_dropped_pixel_is_filled_in_from_its_surroundings() -> None:
    planes = middle().surface.planes.copy()
    planes[BLOCK] = ghost(middle()).planes[BLOCK]
    dense = made(replace(middle().surface, planes=planes), guide_of(middle().depth))
    assert not dense.matched[INNER].any()
    assert (np.abs(dense.depth / middle().depth - 1)[INNER] < 0.02).mean() > 0.9


def test_predicted_normals_shape_what_is_filled_in() -> None:
    """The middle of a ball, whose rim is certain."""
    truth, on_ball = middle(), np.zeros((120, 160), bool)
    on_ball[48:78, 30:60] = True
    errors = []
    for normals in (None, truth.normals):
        guide = Guide(None, normals, EVERYWHERE)
        dense = made(unsure_in(on_ball), guide, [ghost(other) for other in others()])  # which nothing is seen behind
        errors.append(np.median(np.abs(dense.depth / truth.depth - 1)[on_ball]))
    assert errors[1] < 0.2 * errors[0]


def test_background_and_what_is_not_allowed_have_no_depth() -> None:
    """The left half of the photo is grey, and but for some pixels not certain."""
    flat = shot(views()[MIDDLE], flat_left_of=0.0)
    left = np.broadcast_to(np.arange(160) < 80, (120, 160))
    unsure = left & (np.random.default_rng(0).random(left.shape) > 0.02)
    allowed = np.broadcast_to(np.arange(120)[:, None] >= 20, (120, 160))
    guide = guide_of(middle().depth, allowed)
    kept, dropped = (made(unsure_in(unsure), guide, of=flat, rule=rule) for rule in ("keep", "drop"))
    assert not kept.background.any()
    assert (kept.depth[left & allowed] > 0).mean() > 0.9
    assert dropped.background[left & allowed].mean() > 0.85
    assert not dropped.depth[dropped.background].any()
    for dense in (kept, dropped):
        assert not dense.depth[~allowed].any()
        assert not dense.confidence[~allowed].any()
        assert not dense.background[~allowed].any()
        assert (dense.confidence[20:, 90:150] >= MATCHED).mean() > 0.9
