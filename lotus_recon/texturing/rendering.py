"""Pictures of a textured mesh by ray casting, and how near they come to photos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.texturing.charts import Charts
from lotus_recon.texturing.surface import Surface
from lotus_recon.types import BoolArray, FloatArray, IntArray, View


def hits(view: View, surface: Surface) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """Of the pixels that meet the surface from its front: index, barycentric weights (M, 3), and triangle."""
    rays = rays_in_cam(view.camera).reshape(-1, 3) @ view.cam_from_world[:3, :3]
    answer = surface.cast(view.center_in_world, rays)
    met = np.flatnonzero(np.isfinite(answer["t_hit"]))
    face = answer["primitive_ids"][met].astype(np.int64)
    front = (surface.normals[face] * rays[met]).sum(1) < 0
    met, face = met[front], face[front]
    u, v = answer["primitive_uvs"][met].T
    return met, np.stack([1 - u - v, u, v], axis=1), face


def textured(
    bary: FloatArray, face: IntArray, charts: Charts, pages: Sequence[NDArray[np.uint8]]
) -> NDArray[np.float32]:
    """(M, 3) colour of the texture, bilinear, at barycentric positions (M, 3) of triangles."""
    at = (charts.uv[charts.triangles[face]] * bary[..., None]).sum(1).astype(np.float32) - 0.5
    colors = np.zeros((len(face), 3), np.float32)
    for number, page in enumerate(pages):
        own = np.flatnonzero(charts.page[face] == number)
        colors[own] = sampled(page, at[own])
    return colors


def sampled(image: NDArray[Any], at: NDArray[np.float32]) -> NDArray[np.float32]:
    """(M, 3) bilinear colour of an image at (M, 2) columns and rows, the first pixel centre at 0."""
    if len(at) == 0:
        return np.zeros((0, 3), np.float32)
    rows = -(-len(at) // 16384) * 16384
    padded = np.zeros((rows, 2), np.float32)
    padded[: len(at)] = at
    x, y = (np.ascontiguousarray(padded[:, k].reshape(-1, 16384)) for k in (0, 1))  # OpenCV limits the sides
    values = cv2.remap(image.astype(np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(values.reshape(-1, 3)[: len(at)])


def psnr(one: FloatArray, other: FloatArray) -> float:
    """Peak signal-to-noise ratio in decibels of colours (..., 3) from 0 to 255."""
    return float(10 * np.log10(255**2 / max(float(np.mean((one - other) ** 2)), 1e-12)))


def ssim(one: FloatArray, other: FloatArray, where: BoolArray) -> float:
    """Structural similarity (Wang et al., 2004; window of 1.5 px) of grey images (H, W), mean over ``where``."""
    first, second = one.astype(np.float64), other.astype(np.float64)

    def blurred(image: FloatArray) -> FloatArray:
        return np.asarray(gaussian_filter(image, 1.5, truncate=3.5))

    mean_one, mean_other = blurred(first), blurred(second)
    var_one = blurred(first**2) - mean_one**2
    var_other = blurred(second**2) - mean_other**2
    both = blurred(first * second) - mean_one * mean_other
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    score = (2 * mean_one * mean_other + c1) * (2 * both + c2)
    score /= (mean_one**2 + mean_other**2 + c1) * (var_one + var_other + c2)
    return float(score[where].mean())
