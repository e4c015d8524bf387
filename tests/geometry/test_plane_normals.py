"""Planes fitted to depth: exact on slanted planes, far better than differences on coarse depth, honest at edges."""

from __future__ import annotations

import numpy as np

from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.geometry.normals import angle_deg, normals_from_depth
from lotus_recon.geometry.plane_normals import plane_normals
from lotus_recon.types import Camera

CAMERA = Camera(160, 120, 140.0, 150.0, 78.0, 63.0)
RAYS = rays_in_cam(CAMERA)
TO_RAYS = np.linalg.inv(CAMERA.K)
ALL = np.ones(RAYS.shape[:2], bool)


def plane(normal: tuple[float, float, float], offset: float) -> tuple[np.ndarray, np.ndarray]:
    """z-depth, and the unit normal that faces the camera, of the plane normal . point = offset."""
    n = np.array(normal) / np.linalg.norm(normal)
    return offset / (RAYS @ n), -n


def test_exact_on_a_slanted_plane() -> None:
    depth, normal = plane((0.5, -0.7, 1), 3)
    normals, known = plane_normals(depth, ALL, TO_RAYS)
    assert known.all(), "corners of the image have enough neighbours"
    assert angle_deg(normals, np.broadcast_to(normal, normals.shape)).max() < 0.05


def test_any_camera_that_maps_pixels_to_rays_linearly() -> None:
    """The same plane seen along rays that are not scaled to z = 1, by a camera whose image plane is tilted."""
    tilted = TO_RAYS.copy()
    tilted[2] = [0.001, -0.002, 0.9]
    y, x = np.mgrid[:120, :160] + 0.5
    rays = np.stack([x, y, np.ones_like(x)], axis=-1) @ tilted.T
    n = np.array([0.2, 0.3, 1]) / np.linalg.norm([0.2, 0.3, 1])
    normals, known = plane_normals(3 / (rays @ n), ALL, tilted)
    assert known.all()
    assert angle_deg(normals, np.broadcast_to(-n, normals.shape)).max() < 0.05


def test_depth_in_centimetres() -> None:
    camera = Camera(160, 120, 725.0, 725.0, 80, 60)
    n = np.array([0.3, 0.2, 1]) / np.linalg.norm([0.3, 0.2, 1])
    depth = np.round(8 / (rays_in_cam(camera) @ n), 2)
    fitted, _ = plane_normals(depth, ALL, np.linalg.inv(camera.K), radius=3)
    differences, known = normals_from_depth(depth, ALL, camera)
    truth = np.broadcast_to(-n, fitted.shape)
    assert angle_deg(fitted, truth).mean() < 2
    assert angle_deg(differences, truth)[known].mean() > 10


def test_surfaces_on_both_sides_of_a_jump_stay_apart() -> None:
    near, near_normal = plane((0.3, 0, 1), 2)
    far, far_normal = plane((-0.2, 0.1, 1), 4)
    left = np.arange(160)[None] < 80
    normals, known = plane_normals(np.where(left, near, far), ALL, TO_RAYS)
    truth = np.where(left[..., None], near_normal, far_normal)
    assert known.all()
    assert angle_deg(normals, truth).max() < 0.05


def test_unknown_without_neighbours_on_two_axes() -> None:
    depth, _ = plane((0, 0, 1), 2)
    valid = np.zeros_like(ALL)
    valid[60] = True  # a line
    valid[10, 10] = True  # a point
    valid[20:25, 20:25] = True
    _, known = plane_normals(np.where(valid, depth, np.nan), valid, TO_RAYS)
    assert known.sum() == 25
    assert known[20:25, 20:25].all()
