"""The surface of one depth map: its pixel grid as triangles, cut where depth jumps or is seen at a grazing angle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import FusionError
from lotus_recon.geometry.camera import unproject
from lotus_recon.geometry.depth import depth_edges
from lotus_recon.geometry.triangles import triangle_area_vectors, vertex_normals, without_unused
from lotus_recon.io.meshes import PointCloud
from lotus_recon.meshing.config import SurfaceConfig
from lotus_recon.types import BoolArray, Camera, DepthMap, FloatArray, IntArray, Mesh, NormalMap


def surface_from_depth(
    depth: DepthMap, rgb: NDArray[np.uint8], camera: Camera, normals: NormalMap | None, config: SurfaceConfig
) -> tuple[PointCloud, Mesh]:
    """Points and mesh of a depth map (H, W) in camera axes and its unit, coloured by ``rgb`` (H, W, 3).

    The points are the vertices of the mesh, in the order of the pixels. Normals come from the normal map where it is
    valid, from the mesh elsewhere; triangles and normals face the camera.

    Raises FusionError for affine depth, for sizes that differ, and when the cuts leave nothing.
    """
    _check(depth, rgb, camera, normals)
    usable = depth.valid & ~depth_edges(depth.values, depth.valid, config.edge_jump)
    points = unproject(np.where(usable, depth.values, 1.0), camera).reshape(-1, 3)
    triangles = _grid_triangles(depth.values, usable)
    triangles = triangles[~_grazing(points, triangles, config.min_grazing_deg)]
    if len(triangles) == 0:
        raise FusionError(
            f"no surface is left of {int(depth.valid.sum())} valid pixels: {int((depth.valid & ~usable).sum())} lie at "
            "depth edges (--edge-jump), the rest is isolated or seen at a grazing angle (--min-grazing-deg)"
        )
    whole = Mesh(points.astype(np.float32), triangles, rgb.reshape(-1, 3), _stored_normals(normals, depth.shape))
    mesh = _with_missing_normals(without_unused(whole))
    return PointCloud(mesh.vertices, mesh.colors, mesh.normals), mesh


def _check(depth: DepthMap, rgb: NDArray[np.uint8], camera: Camera, normals: NormalMap | None) -> None:
    if depth.kind.has_shift:
        raise FusionError(f"depth is {depth.kind.value}: a surface needs METRIC, SCENE or SCALE_FREE depth")
    sizes = {"photo": rgb.shape[:2], "camera": (camera.height, camera.width)}
    if normals is not None:
        sizes["normals"] = normals.shape
    for what, size in sizes.items():
        if size != depth.shape:
            raise FusionError(
                f"{what} is {size[1]}x{size[0]} pixels, depth {depth.shape[1]}x{depth.shape[0]}: must agree"
            )


def _grid_triangles(depth: FloatArray, usable: BoolArray) -> NDArray[np.int32]:
    """(T, 3) pixel indices of two triangles for each square of usable pixels, one where a corner is missing.

    A square is split along the diagonal with the smaller step in depth, so that one corner that stands out spoils one
    triangle, not both.
    """
    pixel = np.arange(depth.size, dtype=np.int32).reshape(depth.shape)
    top_left, top_right, low_left, low_right = pixel[:-1, :-1], pixel[:-1, 1:], pixel[1:, :-1], pixel[1:, 1:]
    # Counter-clockwise for the camera, which looks along z with y down.
    rising = np.stack([top_left, low_left, top_right, low_right, top_right, low_left], axis=-1)
    falling = np.stack([top_left, low_left, low_right, top_left, low_right, top_right], axis=-1)
    log_depth = np.where(usable, np.log(np.where(usable, depth, 1.0)), np.inf)
    split_falls = _step(log_depth[:-1, :-1], log_depth[1:, 1:]) < _step(log_depth[:-1, 1:], log_depth[1:, :-1])
    triangles = np.where(split_falls[..., None], falling, rising).reshape(-1, 3)
    return triangles[usable.ravel()[triangles].all(1)]


def _step(one: FloatArray, other: FloatArray) -> FloatArray:
    """Difference without sign; infinite where either is unknown (infinite)."""
    known = np.isfinite(one) & np.isfinite(other)
    return np.abs(np.subtract(one, other, where=known, out=np.full(one.shape, np.inf)))


def _grazing(points: FloatArray, triangles: IntArray, min_deg: float) -> BoolArray:
    """(T,) True for triangles seen at less than ``min_deg`` between their plane and the ray to their centre."""
    a, b, c = (points[triangles[:, i]] for i in range(3))
    normal, center = np.cross(b - a, c - a), a + b + c
    sine = np.abs((normal * center).sum(1))  # times both lengths
    lengths = np.linalg.norm(normal, axis=1) * np.linalg.norm(center, axis=1)
    return np.asarray(sine < np.sin(np.radians(min_deg)) * lengths)


def _stored_normals(normals: NormalMap | None, shape: tuple[int, int]) -> NDArray[np.float32]:
    """(H * W, 3) normals of the pixels, zero where the map does not tell."""
    if normals is None:
        return np.zeros((shape[0] * shape[1], 3), np.float32)
    return np.where(normals.valid[..., None], normals.values, 0).astype(np.float32).reshape(-1, 3)


def _with_missing_normals(mesh: Mesh) -> Mesh:
    """The mesh with normals of its own where those it has are zero."""
    assert mesh.normals is not None  # by the caller
    told = np.abs(mesh.normals).sum(1, keepdims=True) > 0
    if told.all():
        return mesh
    own = vertex_normals(mesh, triangle_area_vectors(mesh))
    return Mesh(mesh.vertices, mesh.triangles, mesh.colors, np.where(told, mesh.normals, own))
