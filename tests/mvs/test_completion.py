"""Holes in exact surfaces, filled with normals, with another's shape, or with nothing."""

from __future__ import annotations

import numpy as np
import pytest

from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.geometry.normals import normals_from_depth
from lotus_recon.mvs.completion import complete
from lotus_recon.types import Camera

CAMERA = Camera(64, 48, 60.0, 75.0, 32.0, 24.0)
HOLE = np.zeros((48, 64), bool)
HOLE[10:38, 14:50] = True


def bump() -> np.ndarray:
    """(H, W) depth of a wall with a smooth bump in the middle of the hole."""
    y, x = np.mgrid[:48, :64]
    return 3 - 0.5 * np.exp(-((x - 32) ** 2 + (y - 24) ** 2) / 60) + 0.01 * x


def worst(result: np.ndarray, truth: np.ndarray) -> float:
    return float(np.abs(result / truth - 1)[HOLE].max())


def test_normals_show_what_is_in_a_hole() -> None:
    depth = bump()
    normals, _ = normals_from_depth(depth, np.ones_like(HOLE), CAMERA)
    smooth = complete(depth, ~HOLE, CAMERA)
    guided = complete(depth, ~HOLE, CAMERA, normals=normals)
    assert worst(guided.depth, depth) < 0.025 < 0.1 < worst(smooth.depth, depth)
    assert np.array_equal(guided.filled, HOLE)
    assert np.array_equal(guided.depth[~HOLE], depth[~HOLE].astype(np.float32))


def test_a_shape_of_another_scale_serves_as_well() -> None:
    depth = bump()
    found = complete(depth, ~HOLE, CAMERA, shape=1.3 * depth, pull=1e-8)
    assert worst(found.depth, depth) < 0.002


def test_a_plane_is_continued_by_its_normals() -> None:
    normal = np.array([0.5, 0.2, -0.8]) / np.linalg.norm([0.5, 0.2, -0.8])
    depth = -2 / (rays_in_cam(CAMERA) @ normal)
    certain = np.zeros((48, 64), bool)
    certain[:, :8] = True
    found = complete(depth, certain, CAMERA, normals=np.broadcast_to(normal, (48, 64, 3)))
    assert found.depth == pytest.approx(depth, rel=0.01)


def test_a_jump_of_the_shape_stays_a_jump() -> None:
    """A box before a wall, of which only some of either side is certain."""
    depth = np.full((48, 64), 4.0)
    depth[:, 32:] = 2.0
    certain = np.zeros((48, 64), bool)
    certain[:, :4] = certain[:, -4:] = True
    found = complete(depth, certain, CAMERA, shape=0.9 * depth, pull=1e-8)
    assert np.abs(found.depth / depth - 1).max() < 0.01


def test_surfaces_tear_where_nothing_joins_them() -> None:
    """Normals say flat on both sides of a seam without normals; all of the step between them goes into the seam."""
    depth = np.full((48, 64), 4.0)
    depth[:, 32:] = 2.0
    certain = np.ones((48, 64), bool)
    certain[:, 12:52] = False
    facing = np.zeros((48, 64, 3))
    facing[..., 2] = -1
    facing[:, 31:33] = 0
    found = complete(depth, certain, CAMERA, normals=facing)
    flat = np.ones((48, 64), bool)
    flat[:, 31:33] = False
    assert np.abs(found.depth / depth - 1)[flat].max() < 0.01


def test_what_nothing_reaches_stays_unknown() -> None:
    depth = bump()
    allowed = np.ones_like(HOLE)
    allowed[8:40, 12:52] = False
    allowed[20:30, 25:35] = True  # an island
    certain = ~HOLE & allowed
    certain[20:30, 25:35] = False
    found = complete(depth, certain, CAMERA, allowed=allowed)
    assert not found.filled[20:30, 25:35].any()
    assert not found.depth[20:30, 25:35].any()
    with_shape = complete(depth, certain, CAMERA, shape=depth, allowed=allowed)
    assert np.abs(with_shape.depth / depth - 1)[20:30, 25:35].max() < 0.01


def test_a_map_without_holes_stays() -> None:
    depth = bump()
    found = complete(depth, np.ones_like(HOLE), CAMERA)
    assert not found.filled.any()
    assert np.array_equal(found.depth, depth.astype(np.float32))


@pytest.mark.parametrize("wrong", [np.nan, 0.0, -1.0])
def test_certain_pixels_without_depth_are_holes(wrong: float) -> None:
    depth = np.full((48, 64), 3.0)
    found = complete(np.where(HOLE, wrong, depth), np.ones_like(HOLE), CAMERA)
    assert np.array_equal(found.filled, HOLE)
    assert found.depth == pytest.approx(depth, rel=1e-3)


@pytest.mark.parametrize("wrong", [np.nan, 0.0, -1.0])
def test_what_is_unknown_of_a_shape_says_nothing(wrong: float) -> None:
    depth = np.full((48, 64), 3.0)
    shape = np.where(np.random.default_rng(0).random(depth.shape) < 0.3, wrong, 1.3 * depth)
    assert complete(depth, ~HOLE, CAMERA, shape=shape, pull=1e-8).depth == pytest.approx(depth, rel=1e-3)


def test_normals_of_grazing_surfaces_say_nothing() -> None:
    """At right angles to the ray a normal would mean a jump."""
    depth = np.full((48, 64), 3.0)
    rays = rays_in_cam(CAMERA)
    grazing = np.stack([rays[..., 2], np.zeros_like(depth), -rays[..., 0] - 0.05], -1)
    grazing /= np.linalg.norm(grazing, axis=-1, keepdims=True)
    assert ((grazing * rays).sum(-1) < 0).all()
    grazing[:, 32:] = 0
    assert complete(depth, ~HOLE, CAMERA, normals=grazing).depth == pytest.approx(depth, rel=1e-3)
