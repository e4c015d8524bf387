"""Normals of measured depth: a plane is fitted around every pixel.

Depth that is stored coarsely (whole centimetres, half floats) is flat between its steps, so differences of neighbours
are mostly noise. A plane through a window averages that out. In a perspective image a plane is linear in inverse depth,
so the fit is a linear least-squares problem with two slopes and an offset, exact for slanted planes too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lotus_recon.geometry.normals import normalized
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
    offset, slope_x, slope_y, known = _fit(inverse, radius, max_step)
    # n . point = 1 with point = depth * R @ pixel gives 1 / depth = (R^T n) . pixel, and n looks away from the camera.
    y, x = np.mgrid[: depth.shape[0], : depth.shape[1]] + 0.5
    plane = np.stack([slope_x, slope_y, offset - slope_x * x - slope_y * y], axis=-1)
    normals = normalized(-plane @ np.linalg.inv(ray_from_pixel))
    return normals.astype(np.float32), known & valid


def _fit(
    inverse: NDArray[np.float32], radius: int, max_step: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], BoolArray]:
    """Offset and slopes of the planes, and where enough neighbours determine them; invalid pixels are zero."""
    height, width = inverse.shape
    padded = np.pad(inverse, radius)  # zero is farther from any inverse depth than max_step allows
    limit = max_step * inverse
    n, sx, sy, sxx, sxy, syy, sd, sxd, syd = np.zeros((9, height, width), np.float32)
    steps = range(-radius, radius + 1)
    for dy, dx in ((dy, dx) for dy in steps for dx in steps if (dx, dy) != (0, 0)):
        top, left = radius + dy, radius + dx
        difference = padded[top : top + height, left : left + width] - inverse
        near = (np.abs(difference) < limit).astype(np.float32)
        difference *= near
        n += near
        sd += difference
        if dx:
            sx += dx * near
            sxx += dx * dx * near
            sxd += dx * difference
        if dy:
            sy += dy * near
            syy += dy * dy * near
            syd += dy * difference
        if dx and dy:
            sxy += dx * dy * near
    return _solve(inverse, n, (sx, sy, sd), (sxx, sxy, syy), (sxd, syd))


def _solve(
    inverse: FloatArray,
    neighbours: FloatArray,
    sums: tuple[FloatArray, ...],
    squares: tuple[FloatArray, ...],
    products: tuple[FloatArray, ...],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], BoolArray]:
    """The normal equations in closed form. The pixel itself counts too; differences are taken from it."""
    n = (neighbours + 1).astype(np.float64)
    sx, sy, sd = sums
    (sxx, sxy, syy), (sxd, syd) = squares, products
    vxx, vxy, vyy = n * sxx - sx * sx, n * sxy - sx * sy, n * syy - sy * sy  # whole numbers: zero is exact
    vxd, vyd = n * sxd - sx * sd, n * syd - sy * sd
    determinant = vxx * vyy - vxy * vxy
    known = (neighbours >= MIN_NEIGHBOURS) & (determinant > 0.5)
    safe = np.where(known, determinant, 1)
    slope_x = np.where(known, (vyy * vxd - vxy * vyd) / safe, 0)
    slope_y = np.where(known, (vxx * vyd - vxy * vxd) / safe, 0)
    offset = inverse + (sd - slope_x * sx - slope_y * sy) / n
    return offset, slope_x, slope_y, known
