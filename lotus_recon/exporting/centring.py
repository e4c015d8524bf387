"""Photos cropped until the principal point is in the middle: readers that keep only the field of view assume so."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from lotus_recon.types import Camera, Scene, SparsePoints, View

_NEAR_PX = 0.5  # a principal point that is as near to the middle stays


@dataclass(frozen=True)
class Crop:
    """What is kept of an image: so many columns and rows from this corner."""

    left: int
    top: int
    width: int
    height: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def of_camera(self, camera: Camera) -> Camera:
        """The camera of the cropped image."""
        cx, cy = camera.cx - self.left, camera.cy - self.top
        return Camera(self.width, self.height, camera.fx, camera.fy, cx, cy)


def centring_crop(camera: Camera) -> Crop:
    """The largest crop with the principal point within half a pixel of its middle."""
    left, width = _centred(camera.cx, camera.width)
    top, height = _centred(camera.cy, camera.height)
    return Crop(left, top, width, height)


def _centred(centre: float, size: int) -> tuple[int, int]:
    """First and number of the pixels kept along one axis."""
    off = centre - size / 2
    if abs(off) <= _NEAR_PX:
        return 0, size
    cut = round(2 * abs(off))
    return (cut, size - cut) if off > 0 else (0, size - cut)


def centred_scene(scene: Scene) -> Scene:
    """The scene of the cropped photos; points keep the observations that the crops leave them, of two or more views."""
    crops = [centring_crop(view.camera) for view in scene.views]
    views = tuple(_cropped(view, crop) for view, crop in zip(scene.views, crops, strict=True))
    points = scene.points
    corners = np.array([(crop.left, crop.top) for crop in crops], np.float64).reshape(-1, 2)
    sizes = np.array([view.camera.size for view in views], np.float64).reshape(-1, 2)
    xy = points.obs_xy - corners[points.obs_view]
    inside = np.all((xy >= 0) & (xy < sizes[points.obs_view]), axis=1)
    return replace(scene, views=views, points=_kept(replace(points, obs_xy=xy), np.asarray(inside)))


def _cropped(view: View, crop: Crop) -> View:
    if (crop.width, crop.height) == view.camera.size:
        return view
    name = str(PurePosixPath(view.name).with_suffix(".png"))  # a cropped photo is stored anew, without loss
    return replace(view, name=name, camera=crop.of_camera(view.camera))


def _kept(points: SparsePoints, rows: NDArray[np.bool_]) -> SparsePoints:
    visible = replace(
        points, obs_point=points.obs_point[rows], obs_view=points.obs_view[rows], obs_xy=points.obs_xy[rows]
    )
    return visible.where(visible.track_length >= 2)
