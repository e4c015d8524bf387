"""Normal-guided meshes: noise goes, shape and place stay; analytic surfaces, seen by one camera."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.geometry.normals import angle_deg, normalized
from lotus_recon.geometry.triangles import triangle_area_vectors
from lotus_recon.meshing.normal_guided import ViewNormals, _steps, follow_normals, mean_normals
from lotus_recon.types import Camera, Mesh, View
from tests.meshing.test_cleaning import sheet

CELLS, SIZE, DISTANCE = 40, 2.0, 2.0
EDGE = SIZE / CELLS
CAMERA = Camera(200, 200, 150.0, 150.0, 100.0, 100.0)
VIEW = View("a.png", CAMERA, np.eye(4))
FACING = np.array([0.0, 0.0, -1.0])


def wall(z: NDArray[np.float64] | float = 0.0) -> Mesh:
    """A square that faces the camera, ``z`` (V,) behind the plane at DISTANCE."""
    flat = sheet(CELLS, SIZE, (-SIZE / 2, -SIZE / 2, DISTANCE))
    vertices = flat.vertices + np.array([0, 0, 1]) * np.reshape(z, (-1, 1))
    return replace(flat, vertices=vertices.astype(np.float32), triangles=flat.triangles[:, ::-1].copy())


def said(normal: NDArray[np.float64], depth: float = DISTANCE) -> list[ViewNormals]:
    """A view that has one normal and one depth everywhere."""
    shape = (CAMERA.height, CAMERA.width)
    return [ViewNormals(VIEW, np.full(shape, depth), np.tile(normal, (*shape, 1)), np.ones(shape, bool))]


def triangle_normals(mesh: Mesh) -> NDArray[np.float64]:
    return normalized(triangle_area_vectors(mesh))


def test_noise_goes_and_the_plane_stays() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1 * EDGE, (CELLS + 1) ** 2)
    rough = wall(noise)
    smooth = follow_normals(rough, said(FACING), 10 * EDGE)
    before, after = (angle_deg(triangle_normals(mesh), np.tile(FACING, (2 * CELLS**2, 1))) for mesh in (rough, smooth))
    assert before.mean() > 5
    assert after.mean() < before.mean() / 5
    assert np.abs(smooth.vertices[:, 2] - DISTANCE).mean() < 0.5 * np.abs(noise).mean()
    assert smooth.normals is not None
    assert angle_deg(smooth.normals, np.tile(FACING, (len(smooth.normals), 1))).mean() < after.mean() + 0.1
    np.testing.assert_array_equal(smooth.triangles, rough.triangles)
    np.testing.assert_array_equal(smooth.colors, rough.colors)


def test_what_is_large_comes_from_the_places() -> None:
    """Normals that are all turned by 5 degrees tilt what is smaller than the reach, not the wall."""
    turned = np.array([np.sin(np.radians(5)), 0, -np.cos(np.radians(5))])
    moved = follow_normals(wall(), said(turned), 4 * EDGE).vertices[:, 2] - DISTANCE
    inner = np.abs(wall().vertices[:, :2]).max(1) < SIZE / 2 - 8 * EDGE
    assert np.abs(moved[inner]).max() < 0.05 * EDGE
    assert np.abs(moved).max() < 4 * EDGE * np.tan(np.radians(5))


def test_a_crease_stays() -> None:
    x = wall().vertices[:, 0].astype(np.float64)
    roof = wall(-np.abs(x))
    noisy = wall(-np.abs(x) + np.random.default_rng(1).normal(0, 0.05 * EDGE, len(x)))
    column = np.arange(CAMERA.width) + 0.5 < CAMERA.cx
    slope = np.where(column[:, None], [[1.0, 0, -1]], [[-1.0, 0, -1]]) / np.sqrt(2)
    u = (np.arange(CAMERA.width) + 0.5 - CAMERA.cx) / CAMERA.fx
    depth = np.tile(DISTANCE / (1 + np.abs(u)), (CAMERA.height, 1))
    shape = depth.shape
    view = ViewNormals(VIEW, depth, np.tile(slope, (shape[0], 1, 1)), np.ones(shape, bool))
    smooth = follow_normals(noisy, [view], 10 * EDGE)
    off = [angle_deg(triangle_normals(mesh), triangle_normals(roof)).mean() for mesh in (noisy, smooth)]
    assert off[1] < off[0] / 3
    assert np.abs(smooth.vertices[:, 2] - roof.vertices[:, 2]).max() < 0.2 * EDGE


@pytest.mark.parametrize("depth", [0.0, 1.05 * DISTANCE, 0.95 * DISTANCE])
def test_pixels_of_another_surface_say_nothing(depth: float) -> None:
    turned = np.array([0.6, 0, -0.8])
    assert not mean_normals(wall(), said(turned, depth)).any()
    np.testing.assert_allclose(
        follow_normals(wall(), said(turned, depth), 10 * EDGE).vertices, wall().vertices, atol=1e-6
    )


def test_the_mean_normal_is_that_of_the_world() -> None:
    """Axes of the camera are not those of the world: a camera turned by 30 degrees sees its normals so."""
    angle = np.radians(30)
    rotation = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    cam_from_world = np.eye(4)
    cam_from_world[:3, :3] = rotation
    depth = (rotation @ wall().vertices.T)[2]
    view = View("b.png", Camera(200, 200, 80.0, 80.0, 100.0, 100.0), cam_from_world)
    u = (np.arange(200) + 0.5 - 100) / 80
    rays = np.stack(np.broadcast_arrays(u[None], u[:, None], 1.0), -1)
    plane = rotation @ FACING
    depth = -DISTANCE / (rays @ plane)
    seen = ViewNormals(view, np.where(depth > 0, depth, 0), np.tile(plane, (200, 200, 1)), np.ones((200, 200), bool))
    sums = mean_normals(wall(), [seen])
    known = (sums != 0).any(1)
    assert known.mean() > 0.3
    assert angle_deg(normalized(sums[known]), np.tile(FACING, (known.sum(), 1))).max() < 1e-3


def test_a_mesh_without_area_stays() -> None:
    point = Mesh(np.zeros((3, 3), np.float32), np.array([[0, 1, 2]], np.int32))
    assert follow_normals(point, [], 1.0) is point


def test_steps_are_the_least_of_their_energy() -> None:
    """The energy of the docstring, term by term: no vertex lowers it by a step of its own."""
    rng = np.random.default_rng(3)
    flat = sheet(4, 1.0, (0, 0, 2))
    mesh = replace(flat, vertices=(flat.vertices + rng.normal(0, 0.05, flat.vertices.shape)).astype(np.float32))
    along = normalized(rng.normal(size=mesh.vertices.shape))
    targets = normalized(rng.normal(size=mesh.triangles.shape))
    weights, hold = rng.uniform(0.2, 3, len(mesh.triangles)), 0.7

    def energy(steps: NDArray[np.float64]) -> float:
        moved = mesh.vertices.astype(np.float64) + steps[:, None] * along
        edges = [moved[mesh.triangles[:, a]] - moved[mesh.triangles[:, b]] for a, b in ((0, 1), (1, 2), (2, 0))]
        return float(sum((weights * (targets * edge).sum(1) ** 2).sum() for edge in edges) + hold * (steps**2).sum())

    steps = _steps(mesh, along, targets, weights, hold)
    least = energy(steps)
    assert least < 0.9 * energy(np.zeros_like(steps))
    for i in range(len(steps)):
        for change in (-0.02, 0.02):
            other = steps.copy()
            other[i] += change
            assert energy(other) > least


@pytest.mark.parametrize("unit", [1e-3, 1e3])
def test_the_unit_of_the_scene_does_not_matter(unit: float) -> None:
    rough = wall(np.random.default_rng(0).normal(0, 0.1 * EDGE, (CELLS + 1) ** 2))
    smooth = follow_normals(rough, said(FACING), 6 * EDGE)
    scaled = replace(rough, vertices=(unit * rough.vertices).astype(np.float32))
    other = follow_normals(scaled, said(FACING, unit * DISTANCE), 6 * unit * EDGE)
    np.testing.assert_allclose(other.vertices / unit, smooth.vertices, atol=0.01 * EDGE)


def test_triangles_without_area_have_no_say() -> None:
    rough = wall(np.random.default_rng(0).normal(0, 0.1 * EDGE, (CELLS + 1) ** 2))
    flat = np.array([[0, 0, 1], [5, 5, 5]], np.int32)
    more = replace(rough, triangles=np.concatenate([rough.triangles, flat]))
    smooth, other = (follow_normals(mesh, said(FACING), 6 * EDGE) for mesh in (rough, more))
    np.testing.assert_allclose(other.vertices, smooth.vertices, atol=0.01 * EDGE)
