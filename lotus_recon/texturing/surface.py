"""The surface to be textured, and what each of its triangles and vertices has around it."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from lotus_recon.geometry.normals import normalized
from lotus_recon.geometry.triangles import triangle_area_vectors
from lotus_recon.meshing.ray_casting import ray_scene
from lotus_recon.types import FloatArray, Mesh


class Surface:
    """A mesh with V vertices and F triangles, and ``tolerance``: how deep behind it a point still counts as on it."""

    def __init__(self, mesh: Mesh, tolerance: float) -> None:
        self.mesh, self.tolerance = mesh, tolerance
        self.normals: NDArray[np.float32] = normalized(triangle_area_vectors(mesh)).astype(np.float32)  # (F, 3)
        self._scene, self._origin = ray_scene(mesh)

    @cached_property
    def centers(self) -> NDArray[np.float32]:
        """(F, 3) of the triangles."""
        return self.mesh.vertices[self.mesh.triangles].mean(1)

    @cached_property
    def neighbors(self) -> NDArray[np.int32]:
        """(F, 3) the triangle across each edge, -1 where there is none, or several (an edge that is not manifold)."""
        triangles = self.mesh.triangles.astype(np.int64)
        F = len(triangles)
        edges = np.sort(np.stack([triangles, np.roll(triangles, -1, 1)], axis=-1), axis=-1).reshape(-1, 2)
        key = edges[:, 0] * len(self.mesh.vertices) + edges[:, 1]
        order = np.argsort(key, kind="stable")
        _, first, count = np.unique(key[order], return_index=True, return_counts=True)
        one = order[first[count == 2]]
        other = order[first[count == 2] + 1]
        across = np.full(3 * F, -1, np.int32)
        across[one], across[other] = other // 3, one // 3
        return across.reshape(F, 3)

    @cached_property
    def edges_of_many(self) -> int:
        """Edges of three triangles or more: charts end there."""
        V = len(self.mesh.vertices)
        triangles = self.mesh.triangles.astype(np.int64)
        low, high = np.sort(np.stack([triangles, np.roll(triangles, -1, 1)], axis=-1), axis=-1).reshape(-1, 2).T
        return int((np.unique(low * V + high, return_counts=True)[1] > 2).sum())

    @cached_property
    def vertex_graph(self) -> sparse.csr_matrix:
        """(V, V) ones between vertices that share an edge, and on the diagonal."""
        V = len(self.mesh.vertices)
        triangles = self.mesh.triangles
        one, other = triangles.ravel(), np.roll(triangles, -1, 1).ravel()
        row, col = np.concatenate([one, other, np.arange(V)]), np.concatenate([other, one, np.arange(V)])
        graph = sparse.csr_matrix((np.ones(len(row), np.float32), (row, col)), shape=(V, V))
        graph.data[:] = 1
        return graph

    @cached_property
    def faces_of_vertices(self) -> sparse.csr_matrix:
        """(V, F) one where a triangle has a vertex."""
        F = len(self.mesh.triangles)
        shape = (len(self.mesh.vertices), F)
        values = (np.ones(3 * F, np.float32), (self.mesh.triangles.ravel(), np.repeat(np.arange(F), 3)))
        return sparse.csr_matrix(values, shape=shape)

    def first_hits(self, center: FloatArray, points: FloatArray) -> NDArray[np.float32]:
        """(N,) where the ray from ``center`` (3,) to each point meets the surface: 1 at the point itself."""
        import open3d as o3d

        start = (center - self._origin).astype(np.float32)
        rays = np.empty((len(points), 6), np.float32)
        rays[:, :3] = start
        rays[:, 3:] = (points - self._origin).astype(np.float32) - start
        return np.asarray(self._scene.cast_rays(o3d.core.Tensor.from_numpy(rays))["t_hit"].numpy())

    def cast(self, center: FloatArray, directions: FloatArray) -> dict[str, Any]:
        """Distance ``t_hit``, ``primitive_ids`` and ``primitive_uvs`` where rays (N, 3) from a point meet it."""
        import open3d as o3d

        rays = np.empty((len(directions), 6), np.float32)
        rays[:, :3], rays[:, 3:] = center - self._origin, directions
        return {name: part.numpy() for name, part in self._scene.cast_rays(o3d.core.Tensor.from_numpy(rays)).items()}
