"""Which points of a surface a benchmark judges: boxes, crop polygons, DTU's observed volume, what cameras saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.geometry.points import in_view
from lotus_recon.outside import matrix, member, number, read_json
from lotus_recon.sandbox import arrays_in_child
from lotus_recon.types import BoolArray, DepthMap, FloatArray, View

_AXES = {"X": 0, "Y": 1, "Z": 2}
_DTU_MARGIN_MM = 60.0


def inside_box(points: FloatArray, box: Sequence[float]) -> BoolArray:
    """(N,) whether points (N, 3) lie in x0, y0, z0, x1, y1, z1. Raises InputError for another number, or no volume."""
    if len(box) != 6 or not all(low < high for low, high in zip(box[:3], box[3:], strict=True)):
        raise InputError(f"box {list(box)}: needed are x0, y0, z0, x1, y1, z1, the first three below the last")
    return np.asarray(((points >= np.array(box[:3])) & (points <= np.array(box[3:]))).all(1))


@dataclass(frozen=True, eq=False)
class CropVolume:
    """A prism over a polygon, as Tanks and Temples and Open3D describe it (SelectionPolygonVolume)."""

    axis: int  # along which the prism extends
    low: float
    high: float
    polygon: NDArray[np.float64]  # (M, 2) in the other two axes, in their order

    def contains(self, points: FloatArray) -> BoolArray:
        """(N,) whether points (N, 3) are inside; the polygon by the even-odd rule."""
        across = np.delete(np.asarray(points, np.float64), self.axis, axis=1)
        along = np.asarray(points)[:, self.axis]
        odd = np.zeros(len(across), bool)
        for (ax, ay), (bx, by) in zip(self.polygon, np.roll(self.polygon, -1, axis=0), strict=True):
            if ay == by:
                continue
            crosses = (ay > across[:, 1]) != (by > across[:, 1])
            odd ^= crosses & (across[:, 0] < (bx - ax) * (across[:, 1] - ay) / (by - ay) + ax)
        return odd & (along >= self.low) & (along <= self.high)


def read_crop(path: Path) -> CropVolume:
    """The volume of a crop file. Raises InputError when it is not one."""
    try:
        stored = read_json(path, "crop volume")
        axis = _AXES.get(str(member(stored, "orthogonal_axis", "crop volume")).upper())
        if axis is None:
            raise InputError("orthogonal_axis must be X, Y or Z")
        polygon = member(stored, "bounding_polygon", "crop volume")
        corners = matrix(polygon, (len(polygon) if isinstance(polygon, list) else 3, 3), "bounding_polygon")
        low, high = (number(member(stored, key, "crop volume"), key) for key in ("axis_min", "axis_max"))
    except InputError as error:
        raise InputError(
            f"{path} is no crop volume with orthogonal_axis, axis_min, axis_max and bounding_polygon: {error}"
        ) from None
    if len(corners) < 3 or not low < high:
        raise InputError(f"{path}: {len(corners)} corners between {low} and {high}; needed are 3 or more, low < high")
    return CropVolume(axis, low, high, np.delete(corners, axis, axis=1))


@dataclass(frozen=True, eq=False)
class ObservedVolume:
    """DTU's observability mask: a grid of voxels that enough cameras saw (Aanaes et al., IJCV 2016)."""

    seen: BoolArray  # (X, Y, Z)
    origin: NDArray[np.float64]  # (3,) centre of the first voxel
    far: NDArray[np.float64]  # (3,) the other corner of the box
    size: float  # of a voxel

    def surrounds(self, points: FloatArray) -> BoolArray:
        """(N,) whether points (N, 3) lie in the box of the volume, with the margins of DTU's evaluation."""
        far = self.far + 2 * _DTU_MARGIN_MM
        return np.asarray(((points >= self.origin - _DTU_MARGIN_MM) & (points < far)).all(1))

    def contains(self, points: FloatArray) -> BoolArray:
        """(N,) whether points (N, 3) fall into a voxel that was seen; by the nearest voxel centre."""
        cell = np.floor((np.asarray(points, np.float64) - self.origin) / self.size + 0.5).astype(np.int64)
        inside = ((cell >= 0) & (cell < np.array(self.seen.shape))).all(1)
        found = np.zeros(len(cell), bool)
        found[inside] = self.seen[tuple(cell[inside].T)]
        return found


def read_dtu_mask(path: Path) -> ObservedVolume:
    """The volume of an ``ObsMask<scan>_10.mat``: ObsMask, BB (2, 3) and Res. Raises InputError when it is not one."""
    stored = _read_mat(path, ("ObsMask", "BB", "Res"))
    box = np.asarray(stored["BB"], np.float64)
    if box.shape != (2, 3) or np.ndim(stored["ObsMask"]) != 3:
        raise InputError(f"{path}: BB has shape {box.shape}, ObsMask {np.shape(stored['ObsMask'])}; needed (2, 3), 3D")
    size = float(np.ravel(stored["Res"])[0]) if np.size(stored["Res"]) else 0.0
    if not (np.isfinite(box).all() and np.isfinite(size) and size > 0):
        raise InputError(f"{path}: BB {box.tolist()} and Res {size}; needed: finite numbers, Res above 0")
    return ObservedVolume(np.asarray(stored["ObsMask"]) > 0, box[0], box[1], size)


def read_dtu_plane(path: Path) -> NDArray[np.float64]:
    """(4,) the plane P of a ``Plane<scan>.mat``; points with P . (x, 1) > 0 are above the table."""
    plane = np.ravel(np.asarray(_read_mat(path, ("P",))["P"], np.float64))
    if plane.shape != (4,) or not np.isfinite(plane).all():
        raise InputError(f"{path}: P has {plane.size} numbers; needed: 4, finite")
    return plane


def above_plane(points: FloatArray, plane: FloatArray) -> BoolArray:
    """(N,) whether points (N, 3) lie on the positive side of ``plane`` (4,)."""
    return np.asarray(np.asarray(points, np.float64) @ plane[:3] + plane[3] > 0)


def _read_mat(path: Path, names: Sequence[str]) -> dict[str, Any]:
    stored = arrays_in_child(mat_arrays, path, "a MATLAB file")
    if missing := [name for name in names if name not in stored]:
        raise InputError(f"{path} has no {', '.join(missing)}; it has {', '.join(stored)}")
    return stored


def mat_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of numbers, of any shape, in a MATLAB file. May crash on a broken one."""
    from scipy.io import loadmat

    stored = {name: np.asarray(value) for name, value in loadmat(path).items() if name[0] != "_"}
    return {name: value for name, value in stored.items() if value.dtype.kind in "biuf"}


def seen_by(points: FloatArray, maps: Sequence[tuple[View, DepthMap]], tolerance: float) -> BoolArray:
    """(N,) whether points (N, 3) lie in the space that some depth map observed.

    A point counts when it projects onto a valid pixel and is at most ``tolerance`` behind the depth there: before the
    surface the camera looked through free space, so a point there is a mistake that can be judged; behind it nobody
    looked (the observed space of ETH3D, Schoeps et al., CVPR 2017, section 5).
    """
    seen = np.zeros(len(points), bool)
    for view, depth in maps:
        rest = np.flatnonzero(~seen)
        inside, at, z = in_view(points[rest], view)
        known = depth.valid[at] & (z <= depth.values[at] + tolerance)
        seen[rest[inside[known]]] = True
    return seen
