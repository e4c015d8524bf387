"""Crops, mirrors and sizes against analytic surfaces and against bookkeeping of single pixels."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.datasets.samples import Sample
from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.geometry.normals import angle_deg, normalized, normals_from_depth
from lotus_recon.training.framing import Box, cropped, mirrored, resized
from lotus_recon.types import Camera
from tests.training.samples import numbered

NORMAL = normalized(np.array([0.5, -0.3, -0.8]))  # of a tilted plane at distance 3


def plane_depth(camera: Camera, normal: NDArray[np.float64] = NORMAL) -> NDArray[np.float32]:
    """z-depth of the points with normal . point = -3."""
    rays = rays_in_cam(camera)
    return (-3 / (rays * normal).sum(-1) * rays[..., 2]).astype(np.float32)


def plane(camera: Camera) -> Sample:
    shape = camera.height, camera.width
    rgb = np.zeros((*shape, 3), np.uint8)
    normals = np.broadcast_to(NORMAL, (*shape, 3)).astype(np.float32)
    everywhere = np.ones(shape, bool)
    return Sample("plane", rgb, plane_depth(camera), everywhere, ~everywhere, normals, everywhere)


def test_the_mirrored_plane_has_the_normals_of_its_mirrored_depth() -> None:
    camera = Camera.from_fov_deg(60, 40, 30)
    result = mirrored(plane(camera))
    assert result.depth is not None
    assert result.normals is not None
    assert result.depth_valid is not None
    # The plane in the mirror, made anew.
    np.testing.assert_allclose(result.depth, plane_depth(camera, NORMAL * [-1, 1, 1]), rtol=1e-6)
    np.testing.assert_allclose(result.normals[0, 0], NORMAL * [-1, 1, 1], atol=1e-6)
    from_depth, known = normals_from_depth(result.depth, result.depth_valid, camera)
    np.testing.assert_allclose(result.normals[known], from_depth[known], atol=1e-3)


def test_mirrored_twice_is_the_same() -> None:
    sample = numbered()
    twice = mirrored(mirrored(sample))
    assert twice.name == sample.name
    for field in ("rgb", "depth", "depth_valid", "sky", "normals", "normals_valid"):
        np.testing.assert_array_equal(getattr(twice, field), getattr(sample, field))


@pytest.mark.parametrize(("width", "height"), [(8, 6), (5, 9), (10, 7), (10, 8)])
def test_crop_and_resize_take_each_pixel_from_the_one_its_centre_is_in(width: int, height: int) -> None:
    sample, box = numbered(), Box(left=3, top=2, width=10, height=8)
    result = resized(cropped(sample, box), width, height)
    assert result.rgb.shape == (height, width, 3)
    for name in ("depth", "depth_valid", "sky", "normals", "normals_valid"):
        source, made = getattr(sample, name), getattr(result, name)
        for i, j in np.ndindex(height, width):
            y = box.top + (2 * i + 1) * box.height // (2 * height)
            x = box.left + (2 * j + 1) * box.width // (2 * width)
            np.testing.assert_array_equal(made[i, j], source[y, x])


@pytest.mark.parametrize(("width", "height"), [(20, 15), (30, 20)])
def test_a_plane_made_smaller_is_the_plane_of_the_resized_camera(width: int, height: int) -> None:
    camera = Camera.from_fov_deg(50, 40, 30)
    result = resized(plane(camera), width, height)
    # A value is that of the source pixel, whose centre is at most half a source pixel away on each axis.
    steps = [np.abs(np.diff(plane_depth(camera), axis=axis)).max() for axis in (0, 1)]
    assert result.depth is not None
    assert np.abs(result.depth - plane_depth(camera.resized(width, height))).max() <= 0.5 * sum(steps) * 1.05


@pytest.mark.parametrize(("width", "height"), [(56, 42), (80, 60), (41, 30)])
def test_a_plane_made_larger_is_exact_but_for_the_half_pixel_at_the_border(width: int, height: int) -> None:
    camera = Camera.from_fov_deg(50, 40, 30)
    result = resized(plane(camera), width, height)
    assert result.depth is not None
    assert result.normals is not None
    inside = slice(2, -2), slice(2, -2)
    np.testing.assert_allclose(result.depth[inside], plane_depth(camera.resized(width, height))[inside], rtol=1e-4)
    np.testing.assert_allclose(result.normals, np.broadcast_to(NORMAL, result.normals.shape), atol=1e-6)


def test_normals_of_a_larger_sphere_turn_smoothly_and_stay_unit() -> None:
    y, x = (np.indices((60, 60)) - 29.5) / 60
    sphere = np.stack([x, y, -np.sqrt(1 - x**2 - y**2)], -1).astype(np.float32)
    everywhere = np.ones((60, 60), bool)
    sample = Sample("sphere", np.zeros((60, 60, 3), np.uint8), None, None, None, sphere, everywhere)
    result = resized(sample, 150, 150).normals
    assert result is not None
    y, x = (np.indices((150, 150)) - 74.5) / 150
    truth = np.stack([x, y, -np.sqrt(1 - x**2 - y**2)], -1)
    np.testing.assert_allclose(np.linalg.norm(result, axis=-1), 1, atol=1e-5)
    assert angle_deg(result, truth)[3:-3, 3:-3].max() < 0.02


def test_nothing_is_mixed_across_edges_when_made_larger() -> None:
    left = np.indices((20, 30))[1] < 13
    hole = np.zeros((20, 30), bool)
    hole[8:12, 20:25] = True
    depth = np.where(hole, np.nan, np.where(left, 1, 3)).astype(np.float32)
    normals = np.where(left[..., None], [0, 0, -1], [-1, 0, 0]).astype(np.float32)
    normals[hole] = np.nan
    sample = Sample("edge", np.zeros((20, 30, 3), np.uint8), depth, ~hole, hole, normals, ~hole)
    result = resized(sample, 47, 33)
    source = np.ix_(((np.arange(33) + 0.5) * 20 / 33).astype(int), ((np.arange(47) + 0.5) * 30 / 47).astype(int))
    np.testing.assert_array_equal(result.depth_valid, ~hole[source])
    np.testing.assert_array_equal(result.sky, hole[source])
    assert result.depth is not None
    assert result.normals is not None
    np.testing.assert_allclose(result.depth, depth[source], rtol=1e-6)
    np.testing.assert_allclose(result.normals, normals[source], atol=1e-6)
    assert result.depth.dtype == result.normals.dtype == np.float32


@pytest.mark.parametrize(("width", "height"), [(60, 45), (31, 23), (240, 180)])
@pytest.mark.parametrize("flip", [False, True])
def test_picture_and_depth_stay_together(width: int, height: int, flip: bool) -> None:
    near = np.zeros((90, 120), bool)
    near[20:70, 30:95] = True
    rgb = np.where(near[..., None], np.uint8(200), np.uint8(50)).repeat(3, -1)
    sample = Sample("square", rgb, np.where(near, 1, 5).astype(np.float32), np.ones((90, 120), bool), None, None, None)
    result = resized(cropped(sample, Box(10, 10, 100, 75)), width, height)
    result = mirrored(result) if flip else result
    assert result.depth is not None
    bright = result.rgb[..., 0] > 125
    # Only pixels that the edge itself crosses may disagree.
    assert (bright != (result.depth < 3)).mean() < 0.01


def test_colours_are_averaged_when_made_smaller() -> None:
    checks = (np.indices((64, 64)).sum(0) % 2 * 200).astype(np.uint8)
    sample = Sample("checks", np.stack([checks] * 3, -1), None, None, None, None, None)
    np.testing.assert_allclose(resized(sample, 16, 16).rgb, 100, atol=1)
