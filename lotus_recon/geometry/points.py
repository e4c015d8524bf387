"""Points in the world beside the depth maps of views."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lotus_recon.geometry.camera import pixel_index, project
from lotus_recon.geometry.pose import transform
from lotus_recon.types import BoolArray, FloatArray, Scene, View

MAD_TO_SIGMA = 1.4826  # standard deviation of normal errors over the median of their absolute values
P90_SIGMAS = 1.645  # a tenth of normal errors are larger than so many standard deviations

PixelIndex = tuple[NDArray[np.int64], NDArray[np.int64]]  # rows and columns


def in_view(points: FloatArray, view: View) -> tuple[NDArray[np.int64], PixelIndex, NDArray[np.float64]]:
    """Which of the points (N, 3) in the world lie in a view: their M indices, the pixels they fall on, and z-depth."""
    in_cam = transform(view.cam_from_world, points)
    xy = project(in_cam, view.camera)
    with np.errstate(invalid="ignore"):  # NaN behind the camera
        inside = np.flatnonzero(((xy >= 0) & (xy < view.camera.size)).all(1))
    return inside, pixel_index(xy[inside], view.camera.height, view.camera.width), in_cam[inside, 2]


def point_errors(
    scene: Scene, index: int, depth: FloatArray, scored: BoolArray
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pixels (N, 2) and |depth of the map / depth of the point - 1| (N,) at the ``scored`` (P,) points of a view.

    ``depth`` (H, W) is 0 where unknown; such pixels are left out.

    The nearest pixel counts.
    """
    xy, z = seen_points(scene, index, scored)
    value = depth[pixel_index(xy, *depth.shape)]
    both = (z > 0) & (value > 0)
    return xy[both], np.abs(value[both] / z[both] - 1)


def seen_points(scene: Scene, index: int, chosen: BoolArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pixels (N, 2) and z-depth (N,), in units of the scene, of the ``chosen`` (P,) points that a view sees."""
    points, view = scene.points, scene.views[index]
    rows = points.rows_of(index)
    rows = rows[chosen[points.obs_point[rows]]]
    return points.obs_xy[rows], transform(view.cam_from_world, points.xyz[points.obs_point[rows]])[:, 2]
