"""What each photo shows of the surface: the triangles that it sees, how well, and in which colour."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lotus_recon.geometry.camera import project
from lotus_recon.geometry.pose import transform
from lotus_recon.texturing.kernels import face_statistics
from lotus_recon.texturing.surface import Surface
from lotus_recon.types import BoolArray, View

_BORDER_PX = 1.5  # of a photo: undistortion and interpolation have half a neighbourhood there
_LEAST_COSINE = 0.1  # between the ray and the normal: what is seen at less than 6 degrees is a smear


@dataclass(frozen=True, eq=False)
class Sighting:
    """The N triangles that one photo sees (at least their centres)."""

    faces: NDArray[np.int32]  # (N,) ascending
    whole: BoolArray  # (N,) all three corners are seen too
    area_px: NDArray[np.float32]  # (N,) pixels that the triangle covers
    detail: NDArray[np.float32]  # (N,) mean gradient magnitude, grey levels per pixel
    inset: NDArray[np.float32]  # (N,) 0 at the border of the photo to 1 from a tenth of its size on
    color: NDArray[np.float32]  # (N, 3) mean colour, 0 to 255


def sighting_of(view: View, rgb: NDArray[np.uint8], usable: BoolArray | None, surface: Surface) -> Sighting:
    """What the photo ``rgb`` (H, W, 3) of a view shows, of its ``usable`` (H, W) pixels."""
    mesh, camera = surface.mesh, view.camera
    center = view.center_in_world
    corner_xy, corner_seen = _seen(view, mesh.vertices, usable, surface)
    facing = ((center.astype(np.float32) - surface.centers) * surface.normals).sum(1)
    facing /= np.linalg.norm(center - surface.centers, axis=1)
    candidates = np.flatnonzero((facing > _LEAST_COSINE) & np.isfinite(corner_xy[mesh.triangles]).all((1, 2)))
    seen = _seen(view, surface.centers[candidates], usable, surface)[1]
    faces = candidates[seen].astype(np.int32)
    corners = np.ascontiguousarray(corner_xy[mesh.triangles[faces]], np.float32)
    image = rgb.astype(np.float32)
    area, detail = np.empty(len(faces), np.float32), np.empty(len(faces), np.float32)
    color = np.empty((len(faces), 3), np.float32)
    face_statistics(corners, gradient_magnitude(rgb), image, area, detail, color)
    return Sighting(
        faces,
        np.asarray(corner_seen[mesh.triangles[faces]].all(1), bool),
        area,
        detail,
        _inset(corners.mean(1), camera.size),
        color,
    )


def _inset(xy: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """(N,) relative distance of pixels from the border of the photo, 1 from a tenth of its size on."""
    nearest = np.minimum(xy, np.array(size) - xy).min(1)
    return np.clip(10 * nearest / min(size), 0, 1).astype(np.float32)


def _seen(
    view: View, points: NDArray[np.float32], usable: BoolArray | None, surface: Surface
) -> tuple[NDArray[np.float64], BoolArray]:
    """(N, 2) pixels of points of the surface (not a number behind the camera), and whether each is seen there."""
    camera, center = view.camera, view.center_in_world
    xy = project(transform(view.cam_from_world, points), camera)
    size = np.array(camera.size)
    with np.errstate(invalid="ignore"):
        seen = np.asarray(((xy >= _BORDER_PX) & (xy <= size - _BORDER_PX)).all(1), bool)
    inside = np.flatnonzero(seen)
    if usable is not None:
        col, row = xy[inside].astype(np.int64).T
        inside = inside[usable[row, col]]
    distance = np.linalg.norm(points[inside] - center, axis=1)
    hit = surface.first_hits(center, points[inside])
    seen[:] = False
    seen[inside[hit >= 1 - surface.tolerance / distance]] = True
    return xy, seen


def gradient_magnitude(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(H, W) grey levels per pixel: how much detail a photo shows at each pixel."""
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    dx, dy = (cv2.Sobel(gray, cv2.CV_32F, *order, ksize=3, scale=1 / 8) for order in ((1, 0), (0, 1)))
    return np.asarray(cv2.magnitude(dx, dy), np.float32)
