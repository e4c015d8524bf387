"""Planes to start a search from: sparse points, and what other views found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay, KDTree, QhullError

from lotus_recon.geometry.pose import invert_rigid
from lotus_recon.mvs.compiled import kernel, per_pixel
from lotus_recon.mvs.hypotheses import Pinhole
from lotus_recon.mvs.matching import HALF, ONE, ZERO, F
from lotus_recon.mvs.planes import resized
from lotus_recon.mvs.sources import (
    MAP_HEIGHT,
    MAP_START,
    MAP_WIDTH,
    Floats,
    Photo,
    Sources,
    Surface,
    sources_of,
)
from lotus_recon.types import FloatArray

_EVERY = 4  # pixels, at which planes through sparse points are looked up
_LEAST_CERTAINTY = 0.4  # of what other views lend


def through_points(xy: FloatArray, depth: FloatArray, height: int, width: int) -> Floats:
    """(2, height, width, 3) planes of sparse points at pixels xy (N, 2): of the nearest one, and through three.

    The first are parallel to the photo; the second lie in the triangles between points (Delaunay), 0 outside.
    """
    planes = np.zeros((2, height, width, 3), np.float32)
    if len(xy) == 0:
        return planes
    rows, cols = -(-height // _EVERY), -(-width // _EVERY)
    y, x = (np.arange(rows) + 0.5) * height / rows, (np.arange(cols) + 0.5) * width / cols
    pixels = np.stack([each.ravel() for each in np.meshgrid(x, y)], axis=1)
    w = 1 / np.asarray(depth, np.float64)
    coarse = np.zeros((2, len(pixels), 3))
    coarse[0, :, 0] = w[KDTree(xy).query(pixels)[1]]
    coarse[1] = _in_triangles(np.asarray(xy, np.float64), w, pixels)
    # ``resized`` takes slopes per pixel of the smaller map.
    coarse[..., 1:] *= np.array([width / cols, height / rows])
    for i in range(2):
        planes[i] = resized(coarse[i].reshape(rows, cols, 3), height, width)
    return planes


def _in_triangles(xy: NDArray[np.float64], w: NDArray[np.float64], pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """(M, 3) planes at pixels (M, 2) in the triangles of points whose inverse depth is w."""
    planes = np.zeros((len(pixels), 3))
    try:
        mesh = Delaunay(xy)
    except (QhullError, ValueError):  # fewer than three points, or all on a line
        return planes
    triangle = mesh.find_simplex(pixels)
    inside = triangle >= 0
    corners = mesh.simplices[triangle[inside]]
    inverse, last = np.split(mesh.transform[triangle[inside]], [2], axis=1)
    # The first two barycentric coordinates are inverse @ (pixel - last); w is linear in them.
    steps = w[corners[:, :2]] - w[corners[:, 2:]]
    slope = (steps[:, :, None] * inverse).sum(1)
    planes[inside, 0] = w[corners[:, 2]] + (slope * (pixels[inside] - last[:, 0])).sum(1)
    planes[inside, 1:] = slope
    return planes


def seen_by_others(photo: Photo, others: Sequence[Photo], surfaces: Sequence[Surface]) -> Floats:
    """(2, H, W, 3) planes of other views' surfaces that fall on a pixel: of the nearest one and of the farthest."""
    H, W = photo.gray.shape
    planes = np.zeros((2, H, W, 3), np.float32)
    view_from_source = np.stack([photo.cam_from_world @ invert_rigid(other.cam_from_world) for other in others])
    cameras = [
        other.camera.resized(*surface.certainty.shape[::-1]) for other, surface in zip(others, surfaces, strict=True)
    ]
    intrinsics = np.array([(each.fx, each.fy, each.cx, each.cy) for each in cameras], np.float32)
    own = Pinhole(photo.camera.fx, photo.camera.fy, photo.camera.cx, photo.camera.cy)
    poses = np.ascontiguousarray(view_from_source[:, :3], np.float32)
    splat(own, sources_of(photo, others, surfaces), poses, intrinsics, planes)
    return planes


@kernel
def splat(camera: Pinhole, sources: Sources, poses: Floats, intrinsics: Floats, planes: Floats) -> None:
    """Carry every certain pixel of the sources' maps into the view's ``planes`` (2, H, W, 3), see ``seen_by_others``.

    ``poses`` (N, 3, 4): view_from_source; ``intrinsics`` (N, 4): fx, fy, cx and cy of the maps.
    """
    for j in range(len(sources.place)):
        width, first = sources.place[j, MAP_WIDTH], sources.place[j, MAP_START]
        for row in range(sources.place[j, MAP_HEIGHT]):
            for col in range(width):
                k = first + row * width + col
                if sources.maps[k, 0] > ZERO and sources.maps[k, 3] >= F(_LEAST_CERTAINTY):
                    carry(camera, sources.maps[k], poses[j], intrinsics[j], F(col) + HALF, F(row) + HALF, planes)


@per_pixel
def carry(camera: Pinhole, plane: Any, pose: Any, intrinsics: Any, x: Any, y: Any, planes: Any) -> None:
    """Carry a plane at pixel (x, y) of another view. It is p . X = 1 in camera axes there; here R p / (1 + R p . t)."""
    fx, fy, cx, cy = intrinsics[0], intrinsics[1], intrinsics[2], intrinsics[3]
    rx, ry, z = (x - cx) / fx, (y - cy) / fy, ONE / plane[0]
    X = (pose[0, 0] * rx + pose[0, 1] * ry + pose[0, 2]) * z + pose[0, 3]
    Y = (pose[1, 0] * rx + pose[1, 1] * ry + pose[1, 2]) * z + pose[1, 3]
    Z = (pose[2, 0] * rx + pose[2, 1] * ry + pose[2, 2]) * z + pose[2, 3]
    a, b = fx * plane[1], fy * plane[2]
    c = plane[0] - a * rx - b * ry
    pa = pose[0, 0] * a + pose[0, 1] * b + pose[0, 2] * c
    pb = pose[1, 0] * a + pose[1, 1] * b + pose[1, 2] * c
    pc = pose[2, 0] * a + pose[2, 1] * b + pose[2, 2] * c
    scale = ONE + pa * pose[0, 3] + pb * pose[1, 3] + pc * pose[2, 3]
    u, v = F(camera.fx) * X / Z + F(camera.cx), F(camera.fy) * Y / Z + F(camera.cy)
    # Both views must look at the same side of the plane: scale is the sign of this one's distance from it.
    if Z > ZERO and scale > F(1e-6) and u >= 0 and v >= 0 and u < planes.shape[2] and v < planes.shape[1]:
        col, row = int(u), int(v)
        wx, wy = pa / (scale * F(camera.fx)), pb / (scale * F(camera.fy))
        w = ONE / Z + wx * (F(col) + HALF - u) + wy * (F(row) + HALF - v)
        if w > ZERO:
            keep(planes[0, row, col], w, wx, wy, w > planes[0, row, col, 0])
            keep(planes[1, row, col], w, wx, wy, planes[1, row, col, 0] == ZERO or w < planes[1, row, col, 0])


@per_pixel
def keep(plane: Any, w: Any, wx: Any, wy: Any, wanted: bool) -> None:
    """Replace a plane."""
    if wanted:
        plane[0], plane[1], plane[2] = w, wx, wy
