"""Normals of measured depth: a plane is fitted around every pixel.

Depth that is stored coarsely (whole centimetres, half floats) is flat between its steps, so differences of neighbours
are mostly noise. A plane through a window averages that out. In a perspective image a plane is linear in inverse depth,
so the fit is a linear least-squares problem with two slopes and an offset, exact for slanted planes too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lotus_recon.compiled import inner, kernel
from lotus_recon.types import BoolArray, FloatArray

MIN_NEIGHBOURS = 4


def plane_normals(
    depth: FloatArray, valid: BoolArray, ray_from_pixel: FloatArray, radius: int = 2, max_step: float = 0.05
) -> tuple[NDArray[np.float32], BoolArray]:
    """Normals (H, W, 3) of planes fitted to windows of 2 ``radius`` + 1 pixels, and where they are known.

    ``ray_from_pixel`` (3, 3) takes pixels (x, y, 1) to rays in camera axes, and ``depth`` (H, W) is what a ray must be
    multiplied by to reach the surface: for a pinhole camera the inverse of K, and z-depth. Neighbours whose inverse
    depth differs by more than ``max_step`` of it lie on another surface and are left out.
    """
    inverse = np.where(valid, 1 / np.where(valid, depth, 1), 0).astype(np.float32)
    normals = np.zeros((*inverse.shape, 3), np.float32)
    known = np.zeros(inverse.shape, np.bool_)
    # n . point = 1 with point = depth * R @ pixel gives 1 / depth = (R^T n) . pixel, and n looks away from the camera.
    normal_of_plane = -np.linalg.inv(np.asarray(ray_from_pixel, np.float64))
    _fit(inverse, radius, max_step, normal_of_plane, normals, known)
    return normals, known


@kernel
def _fit(
    inverse: NDArray[np.float32],
    radius: int,
    max_step: float,
    normal_of_plane: NDArray[np.float64],
    normals: NDArray[np.float32],
    known: BoolArray,
) -> None:
    """Fill ``normals`` (H, W, 3) and ``known`` (H, W); invalid pixels are zero in ``inverse``."""
    height, width = inverse.shape
    for row in range(height):
        for col in range(width):
            if inverse[row, col] == 0:
                continue
            neighbours, offset, slope_x, slope_y = _plane(inverse, row, col, radius, max_step)
            if neighbours < MIN_NEIGHBOURS:
                continue
            constant = offset - slope_x * (col + 0.5) - slope_y * (row + 0.5)
            square = 0.0
            for i in range(3):
                along = slope_x * normal_of_plane[0, i] + slope_y * normal_of_plane[1, i]
                along += constant * normal_of_plane[2, i]
                square += along * along
                normals[row, col, i] = along
            for i in range(3):
                normals[row, col, i] /= np.sqrt(square)
            known[row, col] = True


@inner
def _plane(
    inverse: NDArray[np.float32], row: int, col: int, radius: int, max_step: float
) -> tuple[int, float, float, float]:
    """Neighbours on the same surface, and the plane through them: inverse depth at the pixel, slopes along x and y.

    No neighbours where those that there are do not determine a plane. The pixel itself counts in the fit; differences
    are taken from it.
    """
    middle = inverse[row, col]
    limit = max_step * middle
    n, sx, sy, sxx, sxy, syy = 0, 0, 0, 0, 0, 0
    sd, sxd, syd = 0.0, 0.0, 0.0
    for y in range(max(row - radius, 0), min(row + radius + 1, inverse.shape[0])):
        for x in range(max(col - radius, 0), min(col + radius + 1, inverse.shape[1])):
            difference = inverse[y, x] - middle  # of an invalid pixel: all of it, which is beyond the limit
            if abs(difference) < limit:
                dx, dy = x - col, y - row
                n, sx, sy = n + 1, sx + dx, sy + dy
                sxx, sxy, syy = sxx + dx * dx, sxy + dx * dy, syy + dy * dy
                sd, sxd, syd = sd + difference, sxd + dx * difference, syd + dy * difference
    # The normal equations in closed form; of whole numbers, so zero is exact.
    vxx, vxy, vyy = n * sxx - sx * sx, n * sxy - sx * sy, n * syy - sy * sy
    determinant = vxx * vyy - vxy * vxy
    if determinant == 0:
        return 0, 0.0, 0.0, 0.0
    vxd, vyd = n * sxd - sx * sd, n * syd - sy * sd
    slope_x = (vyy * vxd - vxy * vyd) / determinant
    slope_y = (vxx * vyd - vxy * vxd) / determinant
    return n - 1, middle + (sd - slope_x * sx - slope_y * sy) / n, slope_x, slope_y
