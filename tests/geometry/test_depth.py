"""Depth edges, grazing surfaces and erosion on planes and boxes whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.geometry.depth import depth_edges, erode, grazing, invert, scale_free_from_affine
from lotus_recon.geometry.normals import normalized
from lotus_recon.types import Camera

CAMERA = Camera(40, 30, 40.0, 40.0, 20.0, 15.0)
ALL = np.ones((30, 40), bool)


def plane_depth(normal: tuple[float, float, float], distance: float) -> NDArray[np.float64]:
    """Depth of the plane n . x = distance, through the whole image."""
    return distance / (rays_in_cam(CAMERA) @ normalized(np.array(normal)))


def test_invert() -> None:
    assert invert(np.array([2.0, 0.5])).tolist() == [0.5, 2.0]
    assert invert(np.array([0.0, -1.0]), minimum=0.1) == pytest.approx([10, 10])


@pytest.mark.parametrize("normal", [(0, 0, 1), (0.8, 0, 1), (0.5, -0.9, 1), (0, 1.9, 1)])
def test_a_plane_has_no_edge_however_steep(normal: tuple[float, float, float]) -> None:
    depth = plane_depth(normal, 2.0)
    assert depth.min() > 0
    assert not depth_edges(depth, ALL, 0.02).any()


@pytest.mark.parametrize("normal", [(0, 0, 1), (0.5, 0, 1)])
def test_a_step_is_an_edge_on_both_sides(normal: tuple[float, float, float]) -> None:
    depth = plane_depth(normal, 2.0)
    depth[:, 17:] *= 1.1
    expected = np.zeros((30, 40), bool)
    expected[:, 16:18] = True
    assert np.array_equal(depth_edges(depth, ALL, 0.05), expected)
    assert np.array_equal(depth_edges(depth.T, ALL.T, 0.05), expected.T)
    assert not depth_edges(depth, ALL, 0.2).any()


def test_pixels_that_fly_between_two_surfaces_are_edges() -> None:
    depth = np.full((30, 40), 2.0)
    depth[:, 20:] = 3.0
    depth[:, 19] = 2.5
    assert depth_edges(depth, ALL, 0.05)[:, 18:21].all()


def test_a_thin_pole_is_an_edge() -> None:
    depth = np.full((30, 40), 3.0)
    depth[:, 10] = 2.0
    edges = depth_edges(depth, ALL, 0.05)
    assert edges[:, 9:12].all()
    assert edges.sum() == 3 * 30


def test_what_is_invalid_makes_no_edge() -> None:
    depth = np.full((30, 40), 2.0)
    depth[5:10, 5:10] = np.nan
    assert not depth_edges(depth, np.isfinite(depth), 0.01).any()
    depth[5:10, 5:10] = 0.0
    assert not depth_edges(depth, depth > 0, 0.01).any()


def test_grazing_angle_of_a_tilted_plane() -> None:
    tilt = np.radians(60)  # seen along the axis at 30 degrees between surface and ray
    normals = np.broadcast_to([0.0, -np.sin(tilt), -np.cos(tilt)], (31, 41, 3))
    camera = Camera(41, 31, 400.0, 400.0, 20.5, 15.5)
    middle = (15, 20)
    assert not grazing(normals, camera, 29.9)[middle]
    assert grazing(normals, camera, 30.1)[middle]


def test_erosion_keeps_the_image_border() -> None:
    valid = ALL.copy()
    valid[10, 20] = False
    eroded = erode(valid, 2)
    expected = ALL.copy()
    expected[8:13, 18:23] = False
    assert np.array_equal(eroded, expected)
    assert erode(valid, 0) is valid


@pytest.mark.parametrize("disparity", [True, False])
def test_affine_values_become_positive_depth_of_the_given_range(disparity: bool) -> None:
    truth = np.linspace(1.0, 5.0, 1200).reshape(30, 40)
    values = 7 * (1 / truth if disparity else truth) - 3
    depth = scale_free_from_affine(values, ALL, disparity, depth_range_ratio=5.0)
    low, high = np.percentile(depth, (2, 98))
    assert high / low == pytest.approx(5, rel=1e-2)
    assert (np.diff(depth.ravel()) > 0).all(), "order is kept"
    assert np.array_equal(scale_free_from_affine(np.ones((30, 40)), ALL, disparity, 5.0), np.ones((30, 40)))
