"""The surface of one depth map: places, cuts and directions by formula."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.errors import FusionError
from lotus_recon.geometry.camera import project, rays_in_cam
from lotus_recon.meshing.config import SurfaceConfig
from lotus_recon.meshing.depth_surface import surface_from_depth
from lotus_recon.types import Camera, DepthKind, DepthMap, FloatArray, Mesh, NormalMap

CAMERA = Camera(64, 48, 60, 60, 31, 25)
RGB = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def depth_map(values: FloatArray, kind: DepthKind = DepthKind.SCALE_FREE) -> DepthMap:
    return DepthMap(np.asarray(values, np.float32), np.asarray(values) > 0, kind)


def tilted(angle_deg: float) -> NDArray[np.float64]:
    """Depth of a plane through (0, 0, 2) turned about y by the angle."""
    normal = np.array([np.sin(np.radians(angle_deg)), 0, -np.cos(np.radians(angle_deg))])
    return np.asarray(-2 * np.cos(np.radians(angle_deg)) / (rays_in_cam(CAMERA) @ normal))


def facing(mesh: Mesh) -> NDArray[np.float64]:
    """(T,) sine of the angle between each triangle and the ray from the camera, positive when it faces the camera."""
    a, b, c = (mesh.vertices[mesh.triangles[:, i]].astype(np.float64) for i in range(3))
    normal, center = np.cross(b - a, c - a), (a + b + c) / 3
    return -(normal * center).sum(1) / np.linalg.norm(normal, axis=1) / np.linalg.norm(center, axis=1)


def test_every_pixel_of_a_plane_becomes_a_vertex_in_its_place() -> None:
    depth = tilted(40)
    points, mesh = surface_from_depth(depth_map(depth), RGB, CAMERA, None, SurfaceConfig())
    assert len(points.points) == depth.size
    assert len(mesh.triangles) == 2 * 63 * 47
    np.testing.assert_allclose(project(mesh.vertices, CAMERA)[0], [0.5, 0.5], atol=1e-4)
    np.testing.assert_allclose(mesh.vertices[:, 2], depth.ravel(), rtol=1e-6)
    np.testing.assert_array_equal(mesh.colors, RGB.reshape(-1, 3))
    assert (facing(mesh) > 0).all()
    assert mesh.normals is not None
    np.testing.assert_allclose(
        mesh.normals, [[np.sin(np.radians(40)), 0, -np.cos(np.radians(40))]] * depth.size, atol=1e-3
    )


def test_a_step_is_cut() -> None:
    depth = np.full((48, 64), 2.0)
    depth[:, 32:] = 2.4
    _, mesh = surface_from_depth(depth_map(depth), RGB, CAMERA, None, SurfaceConfig())
    corners = mesh.vertices[mesh.triangles][..., 2]
    assert np.ptp(corners, axis=1).max() == 0
    assert set(np.unique(corners)) == {np.float32(2.0), np.float32(2.4)}


def test_a_step_within_the_allowed_jump_stays_whole() -> None:
    depth = np.full((48, 64), 2.0)
    depth[:, 32:] = 2.02
    _, mesh = surface_from_depth(depth_map(depth), RGB, CAMERA, None, SurfaceConfig())
    assert len(mesh.triangles) == 2 * 63 * 47


def test_a_ramp_between_two_depths_is_cut_as_grazing() -> None:
    """A network spreads a step over some pixels: no jump is large, but the triangles are nearly along the rays."""
    depth = np.full((48, 64), 2.0)
    depth[:, 30:36] = np.linspace(2.0, 6.0, 6)
    depth[:, 36:] = 6.0
    loose = SurfaceConfig(edge_jump=10, min_grazing_deg=8)  # at a focal length of 60 pixels
    _, mesh = surface_from_depth(depth_map(depth), RGB, CAMERA, None, loose)
    assert np.ptp(mesh.vertices[mesh.triangles][..., 2], axis=1).max() == 0
    assert np.degrees(np.arcsin(facing(mesh).min())) >= loose.min_grazing_deg


def test_invalid_pixels_leave_a_hole_with_cut_corners() -> None:
    depth = np.full((48, 64), 2.0)
    depth[20, 30] = 0
    points, mesh = surface_from_depth(depth_map(depth), RGB, CAMERA, None, SurfaceConfig())
    assert len(points.points) == depth.size - 1
    assert len(mesh.triangles) == 2 * 63 * 47 - 4  # each of the 4 squares around keeps one triangle


def test_a_pixel_that_stands_out_spoils_four_triangles_only() -> None:
    """One in each of the squares around: their other halves do not touch it."""
    depth = np.full((48, 64), 2.0)
    depth[20, 30] = 2.01
    _, mesh = surface_from_depth(depth_map(depth), RGB, CAMERA, None, SurfaceConfig())
    assert (np.ptp(mesh.vertices[mesh.triangles][..., 2], axis=1) > 0).sum() == 4


def test_given_normals_are_used_where_valid() -> None:
    values = np.zeros((48, 64, 3), np.float32)
    values[..., 2] = -0.8
    values[..., 0] = 0.6
    valid = np.ones((48, 64), bool)
    valid[:, :32] = False
    _, mesh = surface_from_depth(
        depth_map(np.full((48, 64), 2.0)), RGB, CAMERA, NormalMap(values, valid), SurfaceConfig()
    )
    assert mesh.normals is not None
    normals = mesh.normals.reshape(48, 64, 3)
    np.testing.assert_allclose(normals[:, 32:], values[:, 32:])
    np.testing.assert_allclose(normals[:, :32], np.broadcast_to([0, 0, -1], (48, 32, 3)), atol=1e-6)


@pytest.mark.parametrize("kind", [DepthKind.AFFINE, DepthKind.AFFINE_DISPARITY])
def test_affine_depth_is_refused(kind: DepthKind) -> None:
    with pytest.raises(FusionError, match=f"depth is {kind.value}"):
        surface_from_depth(depth_map(np.ones((48, 64)), kind), RGB, CAMERA, None, SurfaceConfig())


def test_sizes_must_agree() -> None:
    with pytest.raises(FusionError, match="photo is 64x48 pixels, depth 10x8"):
        surface_from_depth(depth_map(np.ones((8, 10))), RGB, CAMERA, None, SurfaceConfig())


def test_nothing_left_says_why() -> None:
    depth = np.full((48, 64), 0.0)
    depth[::2, ::2] = 2
    with pytest.raises(FusionError, match=r"no surface is left of 768 valid pixels"):
        surface_from_depth(depth_map(depth), RGB, CAMERA, None, SurfaceConfig())
