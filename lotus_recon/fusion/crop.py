"""The part of a scene that is reconstructed: a box, given or where most cameras look."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import FusionError, InputError
from lotus_recon.geometry.camera import project
from lotus_recon.geometry.pose import transform
from lotus_recon.geometry.triangles import without_unused
from lotus_recon.types import BoolArray, FloatArray, Mesh, View

AUTO = "auto"

_MOST_POINTS = 200_000  # of the surface, that --crop auto looks at
_SHARE_OF_CAMERAS = 0.5
_LEAST = 0.05  # share of the surface that most cameras look at; with less, they look every way
_TAILS = (1.0, 99.0)  # percentiles: single points far away are no part of a region
_MARGIN = 0.05  # of the side of the box


@dataclass(frozen=True)
class Box:
    """A box in world axes; ``low`` and ``high`` in units of the scene."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]

    @property
    def numbers(self) -> list[float]:
        """x0, y0, z0, x1, y1, z1."""
        return [*self.low, *self.high]

    def contains(self, points: FloatArray) -> BoolArray:
        """(...) whether points (..., 3) lie in it."""
        return np.asarray(((points >= np.array(self.low)) & (points <= np.array(self.high))).all(-1))


def parse_crop(text: str) -> Box | None:
    """The box that an option names; None for ``auto``. Raises InputError for anything else."""
    if text == AUTO:
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 6 or not all(map(math.isfinite, numbers)):
        raise InputError(
            f"--crop {text}: allowed are six numbers x0,y0,z0,x1,y1,z1, as in --crop=-1,0,0,1,1,2, or auto"
        )
    low, high = numbers[:3], numbers[3:]
    for axis, least, most in zip("xyz", low, high, strict=True):
        if least >= most:
            raise InputError(f"--crop {text}: {axis}1 = {most:g} must be above {axis}0 = {least:g}")
    return Box((low[0], low[1], low[2]), (high[0], high[1], high[2]))


def region_of_most(views: Sequence[View], points: FloatArray) -> Box:
    """The box around the points (N, 3) of the surface that lie in the image of more than half of the cameras.

    Raises FusionError when hardly any do: the cameras look every way.
    """
    some = np.asarray(points, np.float64)[:: len(points) // _MOST_POINTS + 1]
    count = sum(_in_image(view, some).astype(np.int32) for view in views)
    seen = some[count > _SHARE_OF_CAMERAS * len(views)]
    if len(seen) < max(1, _LEAST * len(some)):
        raise FusionError(
            f"--crop auto: no region is in more than half of the {len(views)} photos; give a box x0,y0,z0,x1,y1,z1 "
            "(the clip box of report/view.html has its numbers)"
        )
    low, high = np.percentile(seen, _TAILS, axis=0)
    margin = _MARGIN * (high - low).max()
    return Box(tuple((low - margin).tolist()), tuple((high + margin).tolist()))


def _in_image(view: View, points: FloatArray) -> NDArray[np.bool_]:
    xy = project(transform(view.cam_from_world, points), view.camera)
    with np.errstate(invalid="ignore"):  # NaN behind the camera
        return np.asarray(((xy >= 0) & (xy <= view.camera.size)).all(-1))


def cropped(mesh: Mesh, box: Box | None) -> Mesh:
    """The triangles of a mesh that lie wholly in a box; all of them for None."""
    if box is None:
        return mesh
    inside = box.contains(mesh.vertices)
    return without_unused(replace(mesh, triangles=mesh.triangles[inside[mesh.triangles].all(1)]))
