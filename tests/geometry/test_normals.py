"""Normals of planes, a sphere and a box against the analytic ones."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.geometry.normals import angle_deg, facing_camera, normalized, normals_from_depth
from lotus_recon.types import BoolArray, Camera

CAMERA = Camera(80, 60, 90.0, 80.0, 38.0, 31.0)
ALL = np.ones((60, 80), bool)


def sphere(center: tuple[float, float, float], radius: float) -> tuple[NDArray, BoolArray, NDArray]:
    """Depth, where it is hit, and outward normals of a sphere (|t r - c| = radius, the nearer root)."""
    rays, c = rays_in_cam(CAMERA), np.array(center)
    a, b = (rays**2).sum(-1), rays @ c
    discriminant = b**2 - a * (c @ c - radius**2)
    hit = discriminant > 0
    depth = np.where(hit, (b - np.sqrt(np.maximum(discriminant, 0))) / a, np.nan)
    return depth, hit, (rays * np.nan_to_num(depth)[..., None] - c) / radius


@pytest.mark.parametrize("normal", [(0, 0, -1), (0.6, 0, -1), (-0.3, 0.8, -1), (0, -2, -1)])
def test_a_plane_has_its_normal_everywhere(normal: tuple[float, float, float]) -> None:
    n = normalized(np.array(normal))
    depth = -2.0 / (rays_in_cam(CAMERA) @ n)
    assert depth.min() > 0
    normals, known = normals_from_depth(depth, ALL, CAMERA)
    assert known.all()
    assert angle_deg(normals, n).max() < 1e-2


def test_a_sphere() -> None:
    depth, hit, truth = sphere((0.2, -0.1, 4.0), 1.0)
    normals, known = normals_from_depth(depth, hit, CAMERA)
    assert not known[~hit].any()
    angle = angle_deg(normals[known], truth[known])
    frontal = -(truth * normalized(rays_in_cam(CAMERA))).sum(-1)[known] > 0.5
    # One-sided differences are off by about half a pixel: 4 / 80 / 2 of the radius, seen at up to 60 degrees.
    assert np.median(angle) < 2.5
    assert angle[frontal].max() < 5


def test_beside_a_step_normals_belong_to_their_own_surface() -> None:
    depth = np.full((60, 80), 2.0)
    depth[:, 40:] = 4.0
    depth[30:, :] += 1.0
    normals, known = normals_from_depth(depth, ALL, CAMERA)
    assert known.all()
    assert angle_deg(normals, np.array([0.0, 0, -1])).max() < 1e-6


def test_pixels_without_neighbours_have_no_normal() -> None:
    valid = np.zeros((60, 80), bool)
    valid[10, 10] = True
    valid[20, 20:30] = True  # a line: no neighbour above or below
    valid[40:43, 40:43] = True
    _, known = normals_from_depth(np.where(valid, 2.0, np.nan), valid, CAMERA)
    expected = np.zeros_like(valid)
    expected[40:43, 40:43] = True
    assert np.array_equal(known, expected)


def test_facing_camera_turns_only_what_looks_away() -> None:
    rays = rays_in_cam(CAMERA)
    random = normalized(np.random.default_rng(0).normal(size=(60, 80, 3)))
    turned = facing_camera(random, CAMERA)
    assert ((turned * rays).sum(-1) <= 0).all()
    away = (random * rays).sum(-1) > 0
    assert np.array_equal(turned[~away], random[~away])
    assert np.array_equal(turned[away], -random[away])


def test_angle_is_exact_for_small_angles() -> None:
    for angle in (1e-6, 1e-3, 45.0, 90.0, 180.0):
        b = np.array([np.sin(np.radians(angle)), 0, np.cos(np.radians(angle))])
        assert angle_deg(np.array([0.0, 0, 1]), b) == pytest.approx(angle, rel=1e-9)


def test_normalized_leaves_nothing_at_zero_length() -> None:
    vectors = np.array([[3.0, 0, 4], [0, 0, 0], [1e-200, 0, 0]])
    assert normalized(vectors).tolist() == [[0.6, 0, 0.8], [0, 0, 0], [0, 0, 0]]
