"""Normals of triangle soups."""

from __future__ import annotations

import numpy as np

from lotus_recon.synthetic.rooms.smoothing import corner_normals, without_repeats
from lotus_recon.synthetic.shapes import box, sphere


def test_small_angles_are_smooth_and_large_ones_sharp() -> None:
    ball, cube = sphere(1.0, segments=48), box(1, 1, 1)
    points = ball.vertices[ball.triangles].astype(float)
    np.testing.assert_allclose(corner_normals(points, 40), points, atol=0.03)  # triangles at the poles are not alike
    assert cube.normals is not None
    corners = cube.vertices[cube.triangles].astype(float)
    np.testing.assert_allclose(corner_normals(corners, 40), cube.normals[cube.triangles], atol=1e-9)


def test_triangles_wound_the_other_way_are_smooth_too() -> None:
    ball = sphere(1.0, segments=48)
    points = ball.vertices[ball.triangles].astype(float)
    points[::3] = points[::3, ::-1]
    normals = corner_normals(points, 40)
    np.testing.assert_allclose(np.abs((normals * points).sum(-1)), 1, atol=0.01)
    outside = np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0])
    assert ((normals * outside[:, None]).sum(-1) > 0).all()


def test_repeated_corners_are_merged() -> None:
    ball = sphere(1.0, segments=48)
    points = ball.vertices[ball.triangles].astype(float)
    mesh, uv = without_repeats(points, points, points[..., :2])
    assert len(mesh.vertices) <= len(ball.vertices)
    assert uv is not None
    np.testing.assert_allclose(mesh.vertices[mesh.triangles], points, atol=1e-4)
    np.testing.assert_allclose(uv[mesh.triangles], points[..., :2], atol=1e-4)
