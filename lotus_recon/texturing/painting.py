"""The pages of the atlas, painted photo by photo."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from lotus_recon.geometry.pose import transform
from lotus_recon.io.srgb import linear_of_srgb, srgb_of_linear
from lotus_recon.texturing.blending import Contribution
from lotus_recon.texturing.charts import Charts
from lotus_recon.texturing.kernels import add_interpolated, paint
from lotus_recon.texturing.levelling import seam_changes
from lotus_recon.texturing.surface import Surface
from lotus_recon.types import BoolArray, FloatArray, IntArray, View


class Painter:
    """Sums over the photos of colour and weight per texel; one photo is in memory at a time."""

    def __init__(self, charts: Charts, surface: Surface) -> None:
        self._charts, self._surface = charts, surface
        width, height = charts.size
        self._sums = [np.zeros((height, width, 4), np.float32) for _ in range(charts.pages)]

    def add(self, view: View, rgb: NDArray[np.uint8], gains: FloatArray, contribution: Contribution) -> None:
        """Paint what the photo ``rgb`` (H, W, 3) of a view contributes, after ``gains`` (3,) on its linear light."""
        image = exposed(rgb, gains)
        camera = view.camera
        intrinsics = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
        vertices = transform(view.cam_from_world, self._surface.mesh.vertices).astype(np.float32)
        for number, sums in enumerate(self._sums):
            here = self._charts.page[contribution.faces] == number
            faces = contribution.faces[here]
            corners = np.ascontiguousarray(vertices[self._surface.mesh.triangles[faces]])
            uv = np.ascontiguousarray(self._charts.uv[self._charts.triangles[faces]])
            weights, changes = contribution.weights[here], np.ascontiguousarray(contribution.changes[here])
            paint(uv, corners, intrinsics, image, weights, changes, sums)

    def pages(self, unseen: IntArray, colors: NDArray[np.float32], level: bool = True) -> list[NDArray[np.uint8]]:
        """The pages (H, W, 3): the sums, ``unseen`` triangles in vertex colours (V, 3), the rest filled from around.

        ``level`` takes out what is left of the seams.
        """
        charts = self._charts
        seen = np.ones(len(charts.page), bool)
        seen[unseen] = False
        for sums in self._sums:
            np.divide(sums[..., :3], sums[..., 3:], out=sums[..., :3], where=sums[..., 3:] > 0)
        if level:
            self._level(seen)
        finished = []
        for number, sums in enumerate(self._sums):
            faces = unseen[self._charts.page[unseen] == number]
            uv = np.ascontiguousarray(self._charts.uv[self._charts.triangles[faces]])
            covered = np.asarray(sums[..., 3] > 0)
            sums[~covered] = 0
            add_interpolated(uv, np.ascontiguousarray(colors[self._surface.mesh.triangles[faces]]), covered, sums)
            filled = push_pull(sums[..., :3], covered)
            finished.append(np.clip(np.round(filled), 0, 255).astype(np.uint8))
        return finished

    def _level(self, seen: BoolArray) -> None:
        """Take out what is left of the seams between ``seen`` (F,) triangles."""
        charts = self._charts
        changes = seam_changes(charts, self._sums, seen)
        for number, sums in enumerate(self._sums):
            triangles = charts.triangles[seen & (charts.page == number)]
            add_interpolated(charts.uv[triangles], changes[triangles], np.zeros(sums.shape[:2], bool), sums)


def exposed(rgb: NDArray[np.uint8], gains: FloatArray) -> NDArray[np.float32]:
    """(H, W, 3) sRGB values from 0 to 255 after ``gains`` (3,) on linear light."""
    levels = linear_of_srgb(np.arange(256) / 255)
    curves = 255 * srgb_of_linear(levels[:, None] * np.asarray(gains))
    return np.stack([curves[:, k].astype(np.float32)[rgb[..., k]] for k in range(3)], axis=-1)


def push_pull(colors: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Colours (H, W, 3) with those that are not ``known`` (H, W) taken from the nearest coarser level that knows them.

    Gortler et al., "The lumigraph", SIGGRAPH 1996, section 3.4: mipmaps of the result do not mix in what is not there.
    """
    if known.all() or not known.any():
        return colors
    height, width = known.shape
    if max(height, width) == 1:
        return colors
    half = (max(1, (width + 1) // 2), max(1, (height + 1) // 2))
    weight = cv2.resize(known.astype(np.float32), half, interpolation=cv2.INTER_AREA)
    summed = cv2.resize(np.where(known[..., None], colors, np.float32(0)), half, interpolation=cv2.INTER_AREA)
    means = np.asarray(summed / np.maximum(weight, 1e-12)[..., None], np.float32)
    coarse = push_pull(means, np.asarray(weight > 0, bool))
    wide = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.where(known[..., None], colors, wide)
