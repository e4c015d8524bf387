"""Triangle meshes of simple solids, with outward vertex normals. Item axes: z up, centred in x and y."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from lotus_recon.geometry.normals import normalized
from lotus_recon.types import FloatArray, Mesh

_RIM = 1e-3  # share of the length of a profile over which the direction at a rim is taken

Curve = Callable[[NDArray[np.float64]], NDArray[np.float64]]  # parameter (N,) in [0, 1] -> points (N, 3)


def panel(width: float, height: float) -> Mesh:
    """A rectangle in the xy plane around the origin that faces +z."""
    x, y = width / 2, height / 2
    corners = np.array([[-x, -y, 0], [x, -y, 0], [x, y, 0], [-x, y, 0]], np.float32)
    normals = np.tile(np.array([[0, 0, 1]], np.float32), (4, 1))
    return Mesh(corners, np.array([[0, 1, 2], [0, 2, 3]], np.int32), normals=normals)


def box(width: float, depth: float, height: float) -> Mesh:
    """A box standing on z = 0; every face has corners of its own, so that its edges stay sharp."""
    half = np.array([width, depth, height]) / 2
    faces = []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            u, v = np.eye(3)[(axis + 1) % 3], np.eye(3)[(axis + 2) % 3]
            normal = sign * np.eye(3)[axis]
            corners = np.array([normal + a * u + b * v * sign for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))])
            faces.append((corners * half + [0, 0, half[2]], np.tile(normal, (4, 1))))
    vertices, normals = (np.concatenate(part).astype(np.float32) for part in zip(*faces, strict=True))
    triangles = np.concatenate([np.array([[0, 1, 2], [0, 2, 3]]) + 4 * face for face in range(6)]).astype(np.int32)
    return Mesh(vertices, triangles, normals=normals)


def rounded_box(low: Sequence[float], high: Sequence[float], radius: float, steps: int = 3) -> Mesh:
    """A box between two corners (3,) whose edges are round; ``radius`` is cut to what the box has room for."""
    low_, high_ = np.asarray(low, np.float64), np.asarray(high, np.float64)
    half = (high_ - low_) / 2
    radius = min(radius, 0.99 * float(half.min()))
    arc = radius * np.tan(np.linspace(0, np.pi / 4, steps + 1))
    sides = [np.concatenate([-(h - radius) - arc[::-1], (h - radius) + arc]) for h in half]
    faces = []
    for axis in range(3):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        for sign in (-1.0, 1.0):
            u, v = np.meshgrid(sides[a], sides[b], indexing="ij")
            cube = np.zeros((*u.shape, 3))
            cube[..., axis], cube[..., a], cube[..., b] = sign * half[axis], u, v
            inner = np.clip(cube, -(half - radius), half - radius)
            normals = normalized(cube - inner)
            faces.append(from_grid((low_ + high_) / 2 + inner + radius * normals, normals))
    return joined(faces)


def sphere(radius: float, segments: int = 96) -> Mesh:
    """A sphere around the origin; its vertices lie on it exactly."""
    u, v = _grid(segments, segments // 2)
    longitude, latitude = 2 * np.pi * u, np.pi * (v - 0.5)
    directions = np.stack(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)], axis=-1
    )
    return from_grid(radius * directions, directions)


def lathe(profile: FloatArray, segments: int = 96, steps: int = 96) -> Mesh:
    """A solid of revolution about z; ``profile`` (N, 2): radius and height from below to above, joined smoothly."""
    profile = np.asarray(profile, np.float64)
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(profile, axis=0), axis=1))])
    curve = PchipInterpolator(length / length[-1], profile)
    u, v = _grid(segments, steps)
    slope = curve(v, 1)
    # Where both coordinates turn at the same knot (a rim) the slope vanishes: there the direction across it counts.
    across = curve(np.minimum(v + _RIM, 1)) - curve(np.maximum(v - _RIM, 0))
    slope = np.where(np.linalg.norm(slope, axis=-1, keepdims=True) > 1e-9, slope, across)
    (radius, height), (d_radius, d_height) = np.moveaxis(curve(v), -1, 0), np.moveaxis(slope, -1, 0)
    c, s = np.cos(2 * np.pi * u), np.sin(2 * np.pi * u)
    points = np.stack([radius * c, radius * s, height], axis=-1)
    return from_grid(points, normalized(np.stack([d_height * c, d_height * s, -d_radius], axis=-1)))


def cylinder(radius: float, height: float, segments: int = 96) -> Mesh:
    """A closed cylinder standing on z = 0, with sharp rims."""
    side = lathe(np.array([[radius, 0], [radius, height]]), segments, steps=2)
    top, bottom = _disc(radius, height, 1.0, segments), _disc(radius, 0.0, -1.0, segments)
    return joined([side, top, bottom])


def torus(radius: float, tube_radius: float, segments: int = 128) -> Mesh:
    """A ring in the xy plane around the origin."""

    def circle(t: NDArray[np.float64]) -> NDArray[np.float64]:
        return radius * np.stack([np.cos(2 * np.pi * t), np.sin(2 * np.pi * t), 0 * t], axis=-1)

    return tube(circle, tube_radius, segments)


def trefoil(size: float, tube_radius: float, segments: int = 320) -> Mesh:
    """A trefoil knot around the z axis; ``size`` is the radius of its outer loops."""

    def knot(t: NDArray[np.float64]) -> NDArray[np.float64]:
        a = 2 * np.pi * t
        return (
            size / 3 * np.stack([np.sin(a) + 2 * np.sin(2 * a), np.cos(a) - 2 * np.cos(2 * a), -np.sin(3 * a)], axis=-1)
        )

    return tube(knot, tube_radius, segments)


def tube(curve: Curve, radius: float, segments: int, around: int = 48) -> Mesh:
    """A tube about a closed curve."""
    u, v = _grid(segments, around)
    centers = curve(u[:, 0] % 1.0)
    tangent = normalized(curve((u[:, 0] + 1e-4) % 1.0) - curve((u[:, 0] - 1e-4) % 1.0))
    # A frame that needs no transport along the curve: outward from the centre of the curve, made normal to the tangent.
    outward = centers - centers[:-1].mean(0) + 1e-6
    first = normalized(outward - (outward * tangent).sum(-1, keepdims=True) * tangent)
    second = np.cross(tangent, first)
    angle = 2 * np.pi * v[..., None]
    directions = np.cos(angle) * first[:, None] + np.sin(angle) * second[:, None]
    return from_grid(centers[:, None] + radius * directions, directions)


def joined(meshes: list[Mesh]) -> Mesh:
    """Several meshes as one (vertices, triangles, normals; colours are dropped)."""
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    triangles = [mesh.triangles + start for mesh, start in zip(meshes, starts[:-1], strict=True)]
    normals = [mesh.normals for mesh in meshes if mesh.normals is not None]
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate(triangles).astype(np.int32),
        normals=np.concatenate(normals) if len(normals) == len(meshes) else None,
    )


def from_grid(points: NDArray[np.float64], normals: NDArray[np.float64]) -> Mesh:
    """Two triangles per cell of a grid of points (C, R, 3), turned so that they face the way of the normals."""
    columns, rows = points.shape[:2]
    index = np.arange(columns * rows).reshape(columns, rows)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    quads = np.stack([a, b, c, a, c, d], axis=-1).reshape(-1, 3)
    vertices, normals = points.reshape(-1, 3), normals.reshape(-1, 3)
    corners = vertices[quads]
    faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(faces, axis=1)
    quads = quads[area > 1e-9 * area.max()]  # the cells at a pole are triangles
    facing = (np.cross(*_edges(vertices[quads])) * normals[quads].mean(1)).sum(-1) > 0
    quads[~facing] = quads[~facing][:, ::-1]
    return Mesh(vertices.astype(np.float32), quads.astype(np.int32), normals=normals.astype(np.float32))


def _disc(radius: float, height: float, sign: float, segments: int) -> Mesh:
    angle = 2 * np.pi * np.arange(segments) / segments
    rim = np.stack([radius * np.cos(angle), radius * np.sin(angle), np.full(segments, height)], axis=-1)
    vertices = np.concatenate([[[0, 0, height]], rim])
    ring = np.arange(segments)
    following = (ring + 1) % segments
    ends = (ring, following) if sign > 0 else (following, ring)
    triangles = np.stack([np.zeros_like(ring), ends[0] + 1, ends[1] + 1], axis=1)
    normals = np.tile(np.array([[0, 0, sign]]), (len(vertices), 1))
    return Mesh(vertices.astype(np.float32), triangles.astype(np.int32), normals=normals.astype(np.float32))


def _grid(columns: int, rows: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two parameters in [0, 1], each (columns + 1, rows + 1)."""
    u, v = np.meshgrid(np.linspace(0, 1, columns + 1), np.linspace(0, 1, rows + 1), indexing="ij")
    return u, v


def _edges(corners: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
