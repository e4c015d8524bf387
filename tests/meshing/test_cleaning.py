"""Mesh cleaning against shapes whose parts are counted by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lotus_recon.errors import InputError
from lotus_recon.geometry.triangles import canonical, triangle_area_vectors, vertex_normals
from lotus_recon.meshing.cleaning import clean_mesh
from lotus_recon.meshing.config import MeshConfig
from lotus_recon.types import Mesh


def sheet(n: int, size: float = 1.0, offset: tuple[float, float, float] = (0, 0, 0)) -> Mesh:
    """A square of n x n cells in the plane z = 0, normals along +z, colours by place, confidence and sigma by x."""
    x, y = np.meshgrid(np.linspace(0, size, n + 1), np.linspace(0, size, n + 1))
    vertices = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], 1) + offset
    corner = np.arange((n + 1) ** 2).reshape(n + 1, n + 1)
    a, b, c, d = corner[:-1, :-1].ravel(), corner[:-1, 1:].ravel(), corner[1:, :-1].ravel(), corner[1:, 1:].ravel()
    triangles = np.concatenate([np.stack([a, b, d], 1), np.stack([a, d, c], 1)])
    colors = np.stack([255 * x.ravel() / size, 255 * y.ravel() / size, np.full(x.size, 7)], 1)
    return Mesh(
        vertices.astype(np.float32),
        triangles.astype(np.int32),
        colors.astype(np.uint8),
        confidence=(x.ravel() / size).astype(np.float32),
        sigma=(1 + x.ravel() / size).astype(np.float32),
    )


def joined(*meshes: Mesh) -> Mesh:
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.triangles + start for mesh, start in zip(meshes, starts[:-1], strict=True)]).astype(
            np.int32
        ),
        np.concatenate([mesh.colors for mesh in meshes if mesh.colors is not None]),
        confidence=np.concatenate([mesh.confidence for mesh in meshes if mesh.confidence is not None]),
        sigma=np.concatenate([mesh.sigma for mesh in meshes if mesh.sigma is not None]),
    )


def shuffled(mesh: Mesh, seed: int) -> Mesh:
    """The same surface with vertices, triangles and first corners in another order."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(mesh.vertices))
    place = np.argsort(order).astype(np.int32)
    triangles = place[mesh.triangles][rng.permutation(len(mesh.triangles))]
    turns = (rng.integers(0, 3, len(triangles))[:, None] + np.arange(3)) % 3
    colors = None if mesh.colors is None else mesh.colors[order]
    turned = np.take_along_axis(triangles, turns, axis=1)
    confidence, sigma = (None if each is None else each[order] for each in (mesh.confidence, mesh.sigma))
    return Mesh(mesh.vertices[order], turned, colors, confidence=confidence, sigma=sigma)


def test_islands_below_the_share_go() -> None:
    large, medium, small = sheet(8), sheet(4, 0.2, (2, 0, 0)), sheet(1, 0.05, (3, 0, 0))
    cleaned = clean_mesh(joined(small, large, medium), MeshConfig(min_island_ratio=0.01))
    assert (cleaned.islands_removed, cleaned.islands_left) == (1, 2)
    assert len(cleaned.mesh.triangles) == 2 * 64 + 2 * 16
    assert len(cleaned.mesh.vertices) == 81 + 25
    assert cleaned.area == pytest.approx(1.04)


def test_the_largest_piece_always_stays() -> None:
    cleaned = clean_mesh(joined(sheet(2), sheet(2, 1.1, (2, 0, 0))), MeshConfig(min_island_ratio=0.9))
    assert cleaned.area == pytest.approx(1.21)


def test_order_does_not_depend_on_the_input() -> None:
    mesh = joined(sheet(6), sheet(5, 0.7, (0, 0, 1)))
    meshes = [clean_mesh(shuffled(mesh, seed), MeshConfig(min_island_ratio=0.01)).mesh for seed in range(3)]
    for other in meshes[1:]:
        for name in ("vertices", "triangles", "colors", "normals", "confidence", "sigma"):
            assert getattr(other, name).tobytes() == getattr(meshes[0], name).tobytes()


def test_order_of_a_decimated_mesh_does_not_depend_on_the_input_either() -> None:
    bumpy = sheet(20)
    height = 0.05 * np.sin(9 * bumpy.vertices[:, 0]) * np.cos(7 * bumpy.vertices[:, 1])
    mesh = Mesh(bumpy.vertices + np.stack([0 * height, 0 * height, height], 1), bumpy.triangles, bumpy.colors)
    first, second = (
        clean_mesh(shuffled(mesh, seed), MeshConfig(min_island_ratio=0, max_triangles=200)).mesh for seed in (1, 2)
    )
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
    cleaned = clean_mesh(sheet(30), MeshConfig(min_island_ratio=0, max_triangles=100))
    mesh = cleaned.mesh
    assert 0 < len(mesh.triangles) <= 100
    assert cleaned.area == pytest.approx(1.0, abs=1e-3)
    assert np.abs(mesh.vertices[:, 2]).max() < 1e-6
    assert mesh.colors is not None
    expected = 255 * mesh.vertices[:, :2]
    assert np.median(np.abs(mesh.colors[:, :2] - expected)) < 20
    assert (mesh.colors[:, 2] == 7).all()
    assert mesh.confidence is not None
    assert np.abs(mesh.confidence - mesh.vertices[:, 0]).max() < 0.1
    assert mesh.sigma == pytest.approx(1 + mesh.confidence, abs=1e-6), "of the same vertices"


def test_normals_are_unit_and_weighted_by_area() -> None:
    mesh = Mesh(
        np.array([[0, 0, 0], [2, 0, 0], [0, 2, 0], [0, 0, 1]], np.float32), np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    )
    vectors = triangle_area_vectors(mesh)
    np.testing.assert_allclose(vectors, [[0, 0, 2], [1, 0, 0]])
    normals = vertex_normals(mesh, vectors)
    np.testing.assert_allclose(normals[0], np.array([1, 0, 2]) / np.sqrt(5), rtol=1e-6)
    np.testing.assert_allclose(normals[1], [0, 0, 1], atol=1e-7)


def test_cleaning_keeps_confidence_and_sigma_of_every_vertex() -> None:
    mesh = clean_mesh(shuffled(joined(sheet(6), sheet(1, 0.01, (3, 0, 0))), 1), MeshConfig(min_island_ratio=0.01)).mesh
    assert mesh.confidence == pytest.approx(mesh.vertices[:, 0], abs=1e-6)
    assert mesh.sigma == pytest.approx(1 + mesh.vertices[:, 0], abs=1e-6)


def test_seen_ratio_is_the_share_of_the_area_that_photos_show() -> None:
    """Triangles whose three vertices have a confidence of 0.5 or more: of ten columns the last five."""
    assert clean_mesh(sheet(10), MeshConfig()).seen_ratio == pytest.approx(0.5)
    without = replace(sheet(10), confidence=None)
    assert clean_mesh(without, MeshConfig()).seen_ratio == 1


@pytest.mark.parametrize(("least", "columns"), [(0.0, 10), (0.3, 7), (0.9, 1)])
def test_what_the_photos_are_less_sure_of_goes(least: float, columns: int) -> None:
    cleaned = clean_mesh(sheet(10), MeshConfig(min_confidence=least))
    assert cleaned.area == pytest.approx(columns / 10)
    assert cleaned.mesh.vertices[:, 0].min() == pytest.approx(1 - columns / 10)
    assert cleaned.mesh.confidence is not None
    assert cleaned.mesh.confidence.min() >= least


def test_when_nothing_is_sure_enough_the_error_says_what_would_be() -> None:
    unsure = replace(sheet(10), confidence=0.25 * sheet(10).vertices[:, 0])
    with pytest.raises(InputError, match=r"--min-confidence 0\.5 leaves no surface: its highest confidence is 0\.25"):
        clean_mesh(unsure, MeshConfig(min_confidence=0.5))


def test_islands_are_shares_of_what_is_left() -> None:
    """Of a large unsure sheet and a small sure one the small one stays."""
    large, small = sheet(4, 10), sheet(4, 0.5, (20, 0, 0))
    unsure = replace(large, confidence=np.zeros(len(large.vertices), np.float32))
    sure = replace(small, confidence=np.ones(len(small.vertices), np.float32))
    cleaned = clean_mesh(joined(unsure, sure), MeshConfig(min_island_ratio=0.1, min_confidence=0.5))
    assert cleaned.area == pytest.approx(0.25)
