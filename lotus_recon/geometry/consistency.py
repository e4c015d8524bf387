"""Do depth maps of several views say the same? Which views overlap, and what one view says of the pixels of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lotus_recon.geometry.camera import project
from lotus_recon.geometry.pose import invert_rigid, transform
from lotus_recon.types import BoolArray, FloatArray, View

# Views of one surface from directions further apart than this share little that can be compared.
_MAX_PARALLAX_DEG = 75.0


@dataclass(frozen=True, eq=False)
class SampledDepth:
    """Some pixels of one view and their depth: N of them."""

    xy: NDArray[np.float64]  # (N, 2) pixels
    depth: NDArray[np.float64]  # (N,) z-depth

    def in_world(self, view: View) -> NDArray[np.float64]:
        """(N, 3) the points that the pixels show."""
        camera = view.camera
        x = (self.xy[:, 0] - camera.cx) / camera.fx
        y = (self.xy[:, 1] - camera.cy) / camera.fy
        in_cam = np.stack([x, y, np.ones_like(x)], axis=1) * self.depth[:, None]
        return transform(invert_rigid(view.cam_from_world), in_cam)


def grid_samples(valid: BoolArray, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of about ``count`` pixels on a regular grid (at most), those that are valid."""
    H, W = valid.shape
    step = max(1.0, float(np.sqrt(H * W / count)))
    rows = np.floor(np.arange(step / 2, H, step)).astype(np.int64)
    cols = np.floor(np.arange(step / 2, W, step)).astype(np.int64)
    row, col = (a.ravel() for a in np.meshgrid(rows, cols, indexing="ij"))
    keep = valid[row, col]
    return row[keep], col[keep]


def overlap_shares(views: Sequence[View], samples: Sequence[SampledDepth]) -> NDArray[np.float64]:
    """(V, V) share of the samples of view i that lie in the picture of view j, seen from a similar direction.

    Weighted by the cosine of the angle between the two viewing rays; zero on the diagonal. Says where to look, not who
    is right: occlusion is not considered.
    """
    centers = np.stack([view.center_in_world for view in views])
    shares = np.zeros((len(views), len(views)))
    for i, (view, sample) in enumerate(zip(views, samples, strict=True)):
        if not len(sample.depth):
            continue
        world = sample.in_world(view)
        own = _unit(world - centers[i])
        for j, other in enumerate(views):
            if j != i:
                shares[i, j] = _share_seen(world, own, other, centers[j])
    return shares


def _share_seen(world: FloatArray, own_rays: FloatArray, other: View, center: FloatArray) -> float:
    xy = project(transform(other.cam_from_world, world), other.camera)
    with np.errstate(invalid="ignore"):
        inside = ((xy >= 0) & (xy < [other.camera.width, other.camera.height])).all(1)
    if not inside.any():
        return 0.0
    cosine = (_unit(world[inside] - center) * own_rays[inside]).sum(1)
    return float(np.where(cosine > np.cos(np.radians(_MAX_PARALLAX_DEG)), cosine, 0).sum() / len(world))


def _unit(vectors: FloatArray) -> NDArray[np.float64]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-300)


def most_covisible(shares: FloatArray, count: int, min_share: float) -> list[NDArray[np.int64]]:
    """Per view the (at most ``count``) views that see most of it, best first, none below ``min_share``."""
    neighbours = []
    for row in shares:
        order = np.argsort(-row, kind="stable")[:count]
        neighbours.append(order[row[order] >= min_share].astype(np.int64))
    return neighbours
