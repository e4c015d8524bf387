"""Planes per pixel: depth and normals come back, and lie on the same plane in other pixels and sizes."""

from __future__ import annotations

import numpy as np
import pytest

from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.geometry.normals import angle_deg
from lotus_recon.mvs.planes import depth_of, normals_of, planes_of, resized
from lotus_recon.types import Camera

CAMERA = Camera(60, 40, 50.0, 55.0, 28.0, 21.0)
NORMAL = np.array([0.3, -0.5, -0.8]) / np.linalg.norm([0.3, -0.5, -0.8])


def plane_depth(camera: Camera) -> np.ndarray:
    """Of the plane n . X = -2."""
    return -2 / (rays_in_cam(camera) @ NORMAL)


def test_depth_and_normals_come_back() -> None:
    depth = plane_depth(CAMERA)
    planes = planes_of(depth, CAMERA, np.broadcast_to(NORMAL, (40, 60, 3)))
    assert depth_of(planes) == pytest.approx(depth, rel=1e-6)
    assert angle_deg(normals_of(planes, CAMERA), NORMAL).max() < 0.01


def test_the_plane_of_a_pixel_holds_its_neighbours() -> None:
    planes = planes_of(plane_depth(CAMERA), CAMERA, np.broadcast_to(NORMAL, (40, 60, 3)))
    w, wx, wy = planes[10, 20]
    assert w + 30 * wx - 5 * wy == pytest.approx(planes[5, 50, 0], rel=1e-5)
    # All pixels have the same plane, so its slopes are the same too.
    assert planes[..., 1:] == pytest.approx(np.broadcast_to(planes[0, 0, 1:], (40, 60, 2)), abs=1e-7)


def test_planes_at_another_size_are_those_of_its_camera() -> None:
    normals = np.broadcast_to(NORMAL, (40, 60, 3))
    planes = planes_of(plane_depth(CAMERA), CAMERA, normals)
    for width, height in ((30, 20), (120, 80), (45, 33)):
        camera = CAMERA.resized(width, height)
        truth = planes_of(plane_depth(camera), camera, np.broadcast_to(NORMAL, (height, width, 3)))
        assert resized(planes, height, width) == pytest.approx(truth, rel=1e-4, abs=1e-7)


def test_what_is_unknown_stays_unknown() -> None:
    depth = np.array([[1.0, 0.0], [np.nan, np.inf]])
    planes = planes_of(depth, Camera(2, 2, 2.0, 2.0, 1.0, 1.0))
    assert (depth_of(planes) > 0).tolist() == [[True, False], [False, False]]
    assert not normals_of(planes, Camera(2, 2, 2.0, 2.0, 1.0, 1.0))[0, 1].any()
    assert normals_of(planes, Camera(2, 2, 2.0, 2.0, 1.0, 1.0))[0, 0] == pytest.approx([0, 0, -1])
