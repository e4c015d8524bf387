"""Renders of a coloured square and of a room against what is known of them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.geometry.pose import invert_rigid, transform
from lotus_recon.io.textured_meshes import TexturedMesh
from lotus_recon.reporting.rendering import MeshRenderer, render_mesh, viewpoints
from lotus_recon.types import Camera, Mesh, Scene, SparsePoints, View

CAMERA = Camera(40, 30, 40.0, 40.0, 20.0, 15.0)


def square(depth: float, half: float = 0.25, towards_camera: bool = True, level: int = 100) -> Mesh:
    """A square across the optical axis at ``depth`` with one colour per corner, red growing to the right."""
    x, y = half, half
    corners = np.array([[-x, -y, depth], [x, -y, depth], [x, y, depth], [-x, y, depth]], np.float32)
    faces = np.array([[0, 2, 1], [0, 3, 2]] if towards_camera else [[0, 1, 2], [0, 2, 3]], np.int32)
    colors = np.array([[0, level, 0], [200, level, 0], [200, level, 0], [0, level, 0]], np.uint8)
    return Mesh(corners, faces, colors)


def both(a: Mesh, b: Mesh) -> Mesh:
    assert a.colors is not None
    assert b.colors is not None
    return Mesh(
        np.concatenate([a.vertices, b.vertices]),
        np.concatenate([a.triangles, b.triangles + len(a.vertices)]),
        np.concatenate([a.colors, b.colors]),
    )


def test_colours_are_interpolated_at_the_right_pixels() -> None:
    picture = render_mesh(square(1.0), CAMERA, np.eye(4)).astype(int)
    inside = np.zeros((30, 40), bool)
    inside[5:25, 10:30] = True  # 20 +- 40 * 0.25
    assert (picture[~inside] == 255).all()
    expected = 200 * (np.arange(10, 30) + 0.5 - 10) / 20
    assert np.abs(picture[5:25, 10:30, 0] - expected).max() <= 1
    assert (picture[inside][:, 1] == 100).all()


def test_a_texture_is_shown_where_its_triangles_are() -> None:
    """Two triangles on two pages, the upper one with a picture that is red on its left and blue on its right."""
    plain = square(1.0)
    page = np.zeros((8, 8, 3), np.uint8)
    page[:, :4, 0], page[:, 4:, 2] = 200, 200
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    normals = np.tile(np.array([0, 0, -1], np.float32), (4, 1))
    pages = (page, np.full((4, 4, 3), 90, np.uint8))
    mesh = TexturedMesh(plain.vertices, normals, corners, plain.triangles, np.array([0, 1], np.int32), pages)
    renderer = MeshRenderer(mesh)
    picture = renderer.render(CAMERA, np.eye(4), ["texture"])["texture"]
    np.testing.assert_array_equal(picture[7, 13], (200, 0, 0))
    np.testing.assert_array_equal(picture[7, 27], (0, 0, 200))
    np.testing.assert_array_equal(picture[22, 12], (90, 90, 90))
    with pytest.raises(InputError, match="no vertex colours"):
        renderer.render(CAMERA, np.eye(4), ["color"])
    with pytest.raises(InputError, match="the mesh has no texture; allowed shading: color, normals, shaded"):
        render_mesh(plain, CAMERA, np.eye(4), "texture")


def test_edges_are_antialiased() -> None:
    shifted = Camera(40, 30, 40.0, 40.0, 20.5, 15.0)
    picture = render_mesh(square(1.0), shifted, np.eye(4)).astype(int)
    assert picture[15, 10, 1] == pytest.approx((100 + 255) / 2, abs=1)


def test_what_is_seen_from_behind_is_left_out() -> None:
    world = both(square(1.0, towards_camera=False, level=10), square(2.0, half=0.5, level=180))
    assert render_mesh(world, CAMERA, np.eye(4))[15, 20, 1] == 180
    hidden = both(square(1.0, level=10), square(2.0, half=0.5, level=180))
    assert render_mesh(hidden, CAMERA, np.eye(4))[15, 20, 1] == 10


@pytest.mark.parametrize("with_normals", [True, False])
def test_normals_and_shading(with_normals: bool) -> None:
    mesh = square(1.0)
    normals = np.tile(np.array([[0, 0, -1]], np.float32), (4, 1)) if with_normals else None
    renderer = MeshRenderer(Mesh(mesh.vertices, mesh.triangles, None, normals))
    rendered = renderer.render(CAMERA, np.eye(4), ["normals", "shaded"])
    assert rendered["normals"][15, 20].tolist() == [128, 128, 255]
    pixel = rendered["shaded"][15, 20].astype(int)
    assert 120 < pixel.min() <= pixel.max() < 255
    assert np.ptp(pixel) < 10, "grey"


def test_a_mesh_far_from_the_origin_is_rendered_the_same() -> None:
    offset = np.array([2.0**19, -(2.0**19), 2.0**18])
    far = Mesh((square(1.0).vertices + offset).astype(np.float32), square(1.0).triangles, square(1.0).colors)
    pose = np.eye(4)
    pose[:3, 3] = -offset
    assert np.array_equal(render_mesh(far, CAMERA, pose), render_mesh(square(1.0), CAMERA, np.eye(4)))


def test_what_cannot_be_rendered() -> None:
    bare = Mesh(square(1.0).vertices, square(1.0).triangles)
    with pytest.raises(InputError, match="no vertex colours"):
        render_mesh(bare, CAMERA, np.eye(4))
    with pytest.raises(InputError, match="allowed: color, normals, shaded"):
        render_mesh(square(1.0), CAMERA, np.eye(4), "toon")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no triangles"):
        MeshRenderer(Mesh(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32)))
    with pytest.raises(InputError, match="no view"):
        viewpoints(Scene((), SparsePoints.empty()), MeshRenderer(square(1.0)), 40)


def at(x: float) -> NDArray[np.float64]:
    pose = np.eye(4)
    pose[0, 3] = -x
    return pose


def test_viewpoints_are_the_central_photo_and_two_places_around_what_it_sees() -> None:
    views = tuple(View(f"{i}.jpg", CAMERA, at(0.1 * i)) for i in (-2, 0, 1))
    renderer = MeshRenderer(square(2.0))
    photo, left, right = viewpoints(Scene(views, SparsePoints.empty()), renderer, 80)
    assert photo.label == "from photo 0.jpg"
    assert photo.camera.size == (80, 60)
    assert np.array_equal(photo.cam_from_world, views[1].cam_from_world)
    target = np.array([0, 0, 2.0])
    for place, side in ((left, -1), (right, 1)):
        center = invert_rigid(place.cam_from_world)[:3, 3]
        assert np.sign(center[0]) == side
        assert center[1] < -0.1, "raised: y points down"
        assert np.linalg.norm(center - target) == pytest.approx(1.12 * 2, rel=1e-3)
        assert transform(place.cam_from_world, target)[:2] == pytest.approx([0, 0], abs=1e-3)
        assert abs(place.cam_from_world[0, 1]) < 0.02, "the horizon stays level"


def test_median_depth() -> None:
    renderer = MeshRenderer(square(3.0, half=5))
    assert renderer.median_depth(CAMERA, np.eye(4)) == pytest.approx(3)
    away = np.diag([1.0, -1, -1, 1])
    assert renderer.median_depth(CAMERA, away) is None
