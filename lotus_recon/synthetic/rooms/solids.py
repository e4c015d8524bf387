"""Meshes with materials, put together and moved: what shells, props and furniture are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lotus_recon.synthetic.rooms.catalog import ModelPart
from lotus_recon.synthetic.rooms.scene import Material, Part
from lotus_recon.synthetic.shapes import box, joined, sphere
from lotus_recon.types import FloatArray, Mesh

# Which two axes span the plane that a face lies in, by the axis of its normal: u to the right, v up.
_PLANE_OF_AXIS = ((1, 2), (0, 2), (0, 1))


@dataclass(frozen=True, eq=False)
class Finish:
    """A material and how large one repetition of its texture is."""

    material: Material
    tile_m: tuple[float, float] = (1.0, 1.0)
    turned: bool = False  # by a quarter: boards and grain along the other axis

    def on(self, mesh: Mesh) -> ModelPart:
        """The mesh in this finish, its texture projected along the nearest axis."""
        if self.material.texture is None:
            return ModelPart(mesh, self.material, None)
        return ModelPart(mesh, self.material, box_uv(mesh, self.tile_m, self.turned))


def box_uv(mesh: Mesh, tile_m: tuple[float, float], turned: bool = False) -> NDArray[np.float32]:
    """(V, 2) texture coordinates: metres in the plane nearest to the surface, in units of one repetition."""
    assert mesh.normals is not None
    axis = np.abs(mesh.normals).argmax(axis=1)
    planes = np.array(_PLANE_OF_AXIS)[axis]
    uv = np.take_along_axis(mesh.vertices, planes, axis=1)
    return np.asarray((uv[:, ::-1] if turned else uv) / np.array(tile_m), np.float32)


def box_between(low: Sequence[float], high: Sequence[float]) -> Mesh:
    """A box from corner ``low`` (3,) to corner ``high`` (3,)."""
    low_, high_ = np.asarray(low, np.float64), np.asarray(high, np.float64)
    width, depth, height = (float(v) for v in high_ - low_)
    center = (low_ + high_) / 2
    return shifted(box(width, depth, height), (center[0], center[1], low_[2]))


def quad(corners: FloatArray) -> Mesh:
    """A flat rectangle or trapezoid (4, 3), counter-clockwise seen from the side that it faces."""
    corners = np.asarray(corners, np.float64)
    normal = np.cross(corners[1] - corners[0], corners[3] - corners[0])
    normal = normal / np.linalg.norm(normal)
    normals = np.tile(normal, (4, 1)).astype(np.float32)
    return Mesh(corners.astype(np.float32), np.array([[0, 1, 2], [0, 2, 3]], np.int32), normals=normals)


def shifted(mesh: Mesh, offset: Sequence[float]) -> Mesh:
    """The mesh moved by ``offset`` (3,)."""
    vertices = (mesh.vertices + np.asarray(offset, np.float64)).astype(np.float32)
    return Mesh(vertices, mesh.triangles, normals=mesh.normals)


def moved(mesh: Mesh, pose: FloatArray, scale: float = 1.0) -> Mesh:
    """The mesh scaled about its origin, then moved by a rigid ``pose`` (4, 4)."""
    assert mesh.normals is not None
    vertices = (scale * mesh.vertices) @ pose[:3, :3].T + pose[:3, 3]
    normals = mesh.normals @ pose[:3, :3].T
    return Mesh(vertices.astype(np.float32), mesh.triangles, normals=normals.astype(np.float32))


def turned_pose(x: float, y: float, z: float, turn: float, axis: int = 2) -> NDArray[np.float64]:
    """world_from_item (4, 4): turned by ``turn`` radians about an axis (0: x, 1: y, 2: z), then moved to (x, y, z)."""
    c, s = np.cos(turn), np.sin(turn)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    pose = np.eye(4)
    pose[i, i], pose[i, j], pose[j, i], pose[j, j] = c, -s, s, c
    pose[:3, 3] = x, y, z
    return pose


def merged(parts: Sequence[ModelPart]) -> tuple[ModelPart, ...]:
    """As few parts as there are materials, in the order in which the materials come first."""
    groups: dict[int, list[ModelPart]] = {}
    for part in parts:
        groups.setdefault(id(part.material), []).append(part)
    return tuple(_merged_group(group) for group in groups.values())


def _merged_group(group: list[ModelPart]) -> ModelPart:
    uvs = [part.uv for part in group if part.uv is not None]
    uv = np.concatenate(uvs) if len(uvs) == len(group) else None
    return ModelPart(joined([part.mesh for part in group]), group[0].material, uv)


def placed_parts(name: str, parts: Sequence[ModelPart], pose: FloatArray, scale: float = 1.0) -> list[Part]:
    """A model moved to its ``pose`` (4, 4) in the world."""
    return [Part(name, moved(part.mesh, pose, scale), part.material, part.uv) for part in parts]


def triangle_areas(mesh: Mesh, seen_along: int | None = None) -> NDArray[np.float64]:
    """(T,) areas of the triangles in square metres; ``seen_along``: of their shadows along that axis."""
    corners = mesh.vertices[mesh.triangles].astype(np.float64)
    twice = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return np.asarray((np.linalg.norm(twice, axis=1) if seen_along is None else np.abs(twice[:, seen_along])) / 2)


def slabs(*ends: tuple[float, float, float, float, float, float]) -> Mesh:
    """Boxes given as x0, y0, z0, x1, y1, z1, as one mesh."""
    return joined([box_between(end[:3], end[3:]) for end in ends])


def lying(mesh: Mesh) -> Mesh:
    """Turned so that what was up points to the front."""
    return moved(mesh, turned_pose(0, 0, 0, np.pi / 2, axis=0))


def blob(width: float, depth: float, height: float) -> Mesh:
    """A soft body standing on z = 0: cushions, bags, stones."""
    ball = sphere(1.0, 24)
    assert ball.normals is not None
    half = np.array([width, depth, height]) / 2
    directions = ball.vertices.astype(np.float64)
    swollen = np.sign(directions) * np.abs(directions) ** 0.6
    normals = np.sign(directions) * np.abs(swollen) ** (2 / 0.6 - 1) / half
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
    vertices = (swollen * half + [0, 0, half[2]]).astype(np.float32)
    return Mesh(vertices, ball.triangles, normals=normals.astype(np.float32))
