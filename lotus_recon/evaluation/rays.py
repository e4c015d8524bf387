"""Does a mesh lie where cameras saw something? Rays from cameras to points that are visible from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from lotus_recon.errors import InputError
from lotus_recon.geometry.camera import pixel_index, rays_in_cam
from lotus_recon.geometry.consistency import grid_samples
from lotus_recon.geometry.pose import invert_rigid, transform
from lotus_recon.meshing.ray_casting import hit_distances
from lotus_recon.types import BoolArray, DepthMap, FloatArray, Mesh, Scene, View

TEXTURES = ("none", "weak", "strong", "unknown")  # names of texture classes, in the order of their numbers
# Standard deviation of grey values (0 to 255) within about 3 pixels, up to which there is no texture, and weak texture.
_NO_TEXTURE, _WEAK_TEXTURE, _WINDOW_SIGMA_PX = 2.0, 8.0, 3.0


@dataclass(frozen=True, eq=False)
class VisiblePoints:
    """N points, each with a view that sees it."""

    centers: NDArray[np.float64]  # (N, 3) camera centres in the world
    points: NDArray[np.float64]  # (N, 3) in the world
    view: NDArray[np.int64]  # (N,) index of the view
    texture: NDArray[np.int64]  # (N,) index in TEXTURES

    def __len__(self) -> int:
        return len(self.points)

    @classmethod
    def joined(cls, parts: Sequence[VisiblePoints]) -> VisiblePoints:
        """The points of all views. Raises InputError when there are none."""
        if not any(len(part) for part in parts):
            raise InputError("no view sees a point to compare with")
        return cls(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(cls)))


def texture_classes(gray: FloatArray) -> NDArray[np.int64]:
    """(H, W) index in TEXTURES of every pixel of a photo, grey values 0 to 255."""
    values = np.asarray(gray, np.float64)
    mean = gaussian_filter(values, _WINDOW_SIGMA_PX)
    variance = np.maximum(gaussian_filter(values**2, _WINDOW_SIGMA_PX) - mean**2, 0)
    return np.digitize(np.sqrt(variance), [_NO_TEXTURE, _WEAK_TEXTURE]).astype(np.int64)


def observed_points(scene: Scene, index: int, chosen: BoolArray, texture: NDArray[np.int64] | None) -> VisiblePoints:
    """The ``chosen`` (P,) sparse points that a view observes. ``texture`` (H, W): classes of its photo, if known."""
    points, view = scene.points, scene.views[index]
    rows = np.flatnonzero((points.obs_view == index) & chosen[points.obs_point])
    pixels = pixel_index(points.obs_xy[rows], view.camera.height, view.camera.width)
    return _visible(view, index, points.xyz[points.obs_point[rows]], pixels, texture)


def depth_points(
    view: View, index: int, depth: DepthMap, count: int, texture: NDArray[np.int64] | None
) -> VisiblePoints:
    """At most about ``count`` pixels of a reference depth map (H, W), on a regular grid; ``texture`` (H, W) of each."""
    pixels = grid_samples(depth.valid, count)
    in_cam = rays_in_cam(view.camera)[pixels] * depth.values[pixels][:, None].astype(np.float64)
    return _visible(view, index, transform(invert_rigid(view.cam_from_world), in_cam), pixels, texture)


def _visible(
    view: View,
    index: int,
    points: NDArray[np.float64],
    pixels: tuple[NDArray[np.int64], NDArray[np.int64]],
    texture: NDArray[np.int64] | None,
) -> VisiblePoints:
    N = len(points)
    classes = np.full(N, len(TEXTURES) - 1) if texture is None else texture[pixels]
    return VisiblePoints(np.tile(view.center_in_world, (N, 1)), points, np.full(N, index), classes)


def hit_ratios(mesh: Mesh, visible: VisiblePoints) -> NDArray[np.float64]:
    """(N,) distance from the camera to the mesh, along the ray to the point, / distance to the point; inf: no hit."""
    return hit_distances(mesh, visible.centers, visible.points - visible.centers)


@dataclass(frozen=True)
class RayShares:
    """What rays meet, as shares of them."""

    met: float  # the mesh within the tolerance of the point
    blocked: float  # the mesh before it
    behind: float  # the mesh behind it only
    none: float  # no mesh
    rays: int


def ray_shares(ratios: FloatArray, tolerance: float) -> RayShares:
    """Shares of rays by their ``hit_ratios`` (N,); ``tolerance`` is relative to the distance of the point.

    Raises InputError without rays, or for a tolerance that is not between 0 and 1.
    """
    if len(ratios) == 0:
        raise InputError("no rays to score")
    if not 0 < tolerance < 1:
        raise InputError(f"tolerance {tolerance}: must be above 0 and below 1")
    none = np.isinf(ratios)
    blocked, behind = ratios < 1 - tolerance, (ratios > 1 + tolerance) & ~none
    met = ~(none | blocked | behind)
    return RayShares(
        float(met.mean()), float(blocked.mean()), float(behind.mean()), float(none.mean()), rays=len(ratios)
    )
