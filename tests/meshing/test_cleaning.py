"""Mesh cleaning against shapes whose parts are counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from lotus_recon.geometry.triangles import canonical, triangle_area_vectors, vertex_normals
from lotus_recon.meshing.cleaning import clean_mesh
from lotus_recon.types import Mesh


def sheet(n: int, size: float = 1.0, offset: tuple[float, float, float] = (0, 0, 0)) -> Mesh:
    """A square of n x n cells in the plane z = 0, normals along +z, colours by place."""
    x, y = np.meshgrid(np.linspace(0, size, n + 1), np.linspace(0, size, n + 1))
    vertices = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], 1) + offset
    corner = np.arange((n + 1) ** 2).reshape(n + 1, n + 1)
    a, b, c, d = corner[:-1, :-1].ravel(), corner[:-1, 1:].ravel(), corner[1:, :-1].ravel(), corner[1:, 1:].ravel()
    triangles = np.concatenate([np.stack([a, b, d], 1), np.stack([a, d, c], 1)])
    colors = np.stack([255 * x.ravel() / size, 255 * y.ravel() / size, np.full(x.size, 7)], 1)
    return Mesh(vertices.astype(np.float32), triangles.astype(np.int32), colors.astype(np.uint8))


def joined(*meshes: Mesh) -> Mesh:
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.triangles + start for mesh, start in zip(meshes, starts[:-1], strict=True)]).astype(
            np.int32
        ),
        np.concatenate([mesh.colors for mesh in meshes if mesh.colors is not None]),
    )


def shuffled(mesh: Mesh, seed: int) -> Mesh:
    """The same surface with vertices, triangles and first corners in another order."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(mesh.vertices))
    place = np.argsort(order).astype(np.int32)
    triangles = place[mesh.triangles][rng.permutation(len(mesh.triangles))]
    turns = (rng.integers(0, 3, len(triangles))[:, None] + np.arange(3)) % 3
    colors = None if mesh.colors is None else mesh.colors[order]
    return Mesh(mesh.vertices[order], np.take_along_axis(triangles, turns, axis=1), colors)


def test_islands_below_the_share_go() -> None:
    large, medium, small = sheet(8), sheet(4, 0.2, (2, 0, 0)), sheet(1, 0.05, (3, 0, 0))
    cleaned = clean_mesh(joined(small, large, medium), min_island_ratio=0.01, max_triangles=None)
    assert (cleaned.islands_removed, cleaned.islands_left) == (1, 2)
    assert len(cleaned.mesh.triangles) == 2 * 64 + 2 * 16
    assert len(cleaned.mesh.vertices) == 81 + 25
    assert cleaned.area == pytest.approx(1.04)


def test_the_largest_piece_always_stays() -> None:
    cleaned = clean_mesh(joined(sheet(2), sheet(2, 1.1, (2, 0, 0))), min_island_ratio=0.9, max_triangles=None)
    assert cleaned.area == pytest.approx(1.21)


def test_order_does_not_depend_on_the_input() -> None:
    mesh = joined(sheet(6), sheet(5, 0.7, (0, 0, 1)))
    meshes = [clean_mesh(shuffled(mesh, seed), 0.01, None).mesh for seed in range(3)]
    for other in meshes[1:]:
        for name in ("vertices", "triangles", "colors", "normals"):
            assert getattr(other, name).tobytes() == getattr(meshes[0], name).tobytes()


def test_order_of_a_decimated_mesh_does_not_depend_on_the_input_either() -> None:
    bumpy = sheet(20)
    height = 0.05 * np.sin(9 * bumpy.vertices[:, 0]) * np.cos(7 * bumpy.vertices[:, 1])
    mesh = Mesh(bumpy.vertices + np.stack([0 * height, 0 * height, height], 1), bumpy.triangles, bumpy.colors)
    first, second = (clean_mesh(shuffled(mesh, seed), 0, 200).mesh for seed in (1, 2))
    assert first.vertices.tobytes() == second.vertices.tobytes()
    assert first.triangles.tobytes() == second.triangles.tobytes()


def test_vertices_at_one_place_are_merged_and_flat_triangles_go() -> None:
    mesh = Mesh(
        np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [1, 0, 0], [5, 5, 5]], np.float32),
        np.array([[0, 1, 2], [4, 3, 2], [1, 4, 3]], np.int32),
    )
    ordered = canonical(mesh)
    np.testing.assert_array_equal(ordered.vertices, [[0, 0, 0], [0, 1, 0], [1, 0, 0], [1, 1, 0]])
    np.testing.assert_array_equal(ordered.triangles, [[0, 2, 1], [1, 2, 3]])


def test_decimation_keeps_shape_and_colors() -> None:
    cleaned = clean_mesh(sheet(30), 0, max_triangles=100)
    mesh = cleaned.mesh
    assert 0 < len(mesh.triangles) <= 100
    assert cleaned.area == pytest.approx(1.0, abs=1e-3)
    assert np.abs(mesh.vertices[:, 2]).max() < 1e-6
    assert mesh.colors is not None
    expected = 255 * mesh.vertices[:, :2]
    assert np.median(np.abs(mesh.colors[:, :2] - expected)) < 20
    assert (mesh.colors[:, 2] == 7).all()


def test_normals_are_unit_and_weighted_by_area() -> None:
    mesh = Mesh(
        np.array([[0, 0, 0], [2, 0, 0], [0, 2, 0], [0, 0, 1]], np.float32), np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    )
    vectors = triangle_area_vectors(mesh)
    np.testing.assert_allclose(vectors, [[0, 0, 2], [1, 0, 0]])
    normals = vertex_normals(mesh, vectors)
    np.testing.assert_allclose(normals[0], np.array([1, 0, 2]) / np.sqrt(5), rtol=1e-6)
    np.testing.assert_allclose(normals[1], [0, 0, 1], atol=1e-7)
