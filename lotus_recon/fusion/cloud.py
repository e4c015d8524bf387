"""The dense cloud: pixels of all depth maps, averaged in voxels, with normals, colours and confidence.

Maps are read one after the other and added to the voxels, so memory follows the number of points, not that of photos.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.fusion.cloud_config import CloudConfig
from lotus_recon.fusion.config import FusionConfig
from lotus_recon.fusion.crop import Box
from lotus_recon.fusion.views import SAMPLE_STRIDE, DepthScan, FusionMap, FusionViews, sample_in_world
from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.geometry.normals import normalized
from lotus_recon.geometry.plane_normals import plane_normals
from lotus_recon.geometry.pose import invert_rigid, transform
from lotus_recon.io.meshes import PointCloud, write_ply
from lotus_recon.types import FloatArray, View
from lotus_recon.workspace import write_json

CLOUD_FILE, FIGURES_FILE = "dense.ply", "dense.json"
_SPARE = 2.5  # voxels that are averaged in at first, per point asked for: their final size is known only at the end
_PIXELS_PER_POINT = 20  # of more the average is no better
_FINEST = 0.5  # smallest voxel, in sides of a pixel on the surface: a finer one would average nothing
_MOST_SAMPLES = 500_000  # pixels that the first size is estimated from
_SAMPLES_PER_VOXEL = 4  # that leave few voxels unseen
_STEPS = 16  # of a bisection: the size is exact to a thousandth
_OFFSET = 1 << 20  # voxel numbers have 21 bits per axis
_XYZ, _NORMAL, _RGB = slice(0, 3), slice(3, 6), slice(6, 9)
_WEIGHT, _CONFIDENCE, _ROWS = 9, 10, 11


@dataclass(frozen=True)
class CloudResult:
    """The cloud, and its figures: ``points``, ``voxel_size`` and ``unit``."""

    path: Path
    figures: dict[str, Any]

    @classmethod
    def load(cls, folder: Path) -> CloudResult:
        """The result of an earlier run. Raises InputError when dense.json is missing or broken."""
        path = folder / FIGURES_FILE
        try:
            return cls(folder / CLOUD_FILE, json.loads(path.read_text()))
        except (OSError, json.JSONDecodeError) as error:
            raise InputError(f"{path} is not a readable result of the cloud stage: {error}") from None


def run(views: FusionViews, metric: bool, config: CloudConfig, fusion: FusionConfig, out_dir: Path) -> CloudResult:
    """Write dense.ply, in the frame of the poses, and dense.json. It leaves out what ``fusion`` leaves out of the mesh.

    Raises FusionError when no pixel is left, InputError for files that cannot be read.
    """
    scan = views.scan(fusion.max_depth_ratio, fusion.crop)
    cloud, size = fused_cloud(views, scan, config.cloud_points)
    write_ply(out_dir / CLOUD_FILE, cloud)
    unit = "metres" if metric else "units of the poses"
    write_json(out_dir / FIGURES_FILE, {"points": len(cloud.points), "voxel_size": size, "unit": unit})
    return CloudResult.load(out_dir)


def fused_cloud(views: FusionViews, scan: DepthScan, most: int) -> tuple[PointCloud, float]:
    """At most ``most`` points, and the side of their voxels in units of the scene."""
    samples = _sampled(scan)
    origin = samples.mean(0)
    voxels = _Voxels(origin, _first_size(samples - origin, most, _FINEST * scan.footprint))
    step = _step(scan, most)
    for view, depth_map, rgb in views.maps(scan.max_depth):
        voxels.add(_inside(_values(view, depth_map, rgb, step), scan.box))
    size = voxels.coarsened(most)
    return voxels.cloud(), size


def _step(scan: DepthScan, most: int) -> int:
    """Every how many rows and columns the maps are read: the average of more pixels per point would be no better."""
    pixels = SAMPLE_STRIDE**2 * sum(map(np.count_nonzero, scan.samples))
    return max(1, int(np.sqrt(pixels / (_PIXELS_PER_POINT * most))))


def _values(view: View, depth_map: FusionMap, rgb: NDArray[np.uint8], step: int) -> NDArray[np.float64]:
    """(11, N) position, normal, colour, weight and confidence of pixels with depth, in world axes."""
    depth, weight = depth_map.depth, depth_map.weight
    used = depth > 0 if weight is None else (depth > 0) & (weight > 0)
    normals, known = plane_normals(depth, used, np.linalg.inv(view.camera.K))
    row, col = (step * index + step // 2 for index in np.nonzero(used[step // 2 :: step, step // 2 :: step]))
    world_from_cam = invert_rigid(view.cam_from_world)
    values = np.empty((_ROWS, len(row)))
    values[_XYZ] = transform(world_from_cam, rays_in_cam(view.camera)[row, col] * depth[row, col, None]).T
    values[_NORMAL] = world_from_cam[:3, :3] @ np.where(known[row, col, None], normals[row, col], 0).T
    values[_RGB] = rgb[row, col].T
    values[_WEIGHT] = values[_CONFIDENCE] = 1 if weight is None else weight[row, col]
    return values


def _inside(values: NDArray[np.float64], box: Box | None) -> NDArray[np.float64]:
    """The columns of ``_values`` whose position lies in a box."""
    return values if box is None else values[:, box.contains(values[_XYZ].T)]


class _Voxels:
    """Sums over the pixels in each voxel; of the confidence, over photos, the mean of the pixels of a photo."""

    def __init__(self, origin: NDArray[np.float64], size: float) -> None:
        self._origin, self._size = origin, size
        self._keys, self._sums = np.zeros(0, np.int64), np.zeros((_ROWS, 0))

    def add(self, values: NDArray[np.float64]) -> None:
        """Add the pixels of one photo, (11, N)."""
        if values.shape[1] == 0:
            return
        keys, voxel = np.unique(_keys(values[_XYZ].T - self._origin, self._size), return_inverse=True)
        values[:_WEIGHT] *= values[_WEIGHT]
        sums = _summed(values, voxel, len(keys))
        sums[_CONFIDENCE] /= np.bincount(voxel)
        self._merge(np.concatenate([self._keys, keys]), np.concatenate([self._sums, sums], axis=1))

    def coarsened(self, most: int) -> float:
        """Enlarge the voxels until at most ``most`` are left, and give their side."""
        if len(self._keys) > most:
            points = self._means() - self._origin
            self._size = _size_for(points, most, self._size)
            self._sums[_CONFIDENCE] *= self._sums[_WEIGHT]
            self._merge(_keys(points, self._size), self._sums)
            self._sums[_CONFIDENCE] /= self._sums[_WEIGHT]  # the photos are the same: a mean, not a sum
        return self._size

    def cloud(self) -> PointCloud:
        """A point per voxel."""
        colors = (self._sums[_RGB] / self._sums[_WEIGHT]).T
        return PointCloud(
            self._means().astype(np.float32),
            colors.round().astype(np.uint8),
            normalized(self._sums[_NORMAL].T).astype(np.float32),
            np.minimum(self._sums[_CONFIDENCE], 1).astype(np.float32),
        )

    def _means(self) -> NDArray[np.float64]:
        means: NDArray[np.float64] = (self._sums[_XYZ] / self._sums[_WEIGHT]).T
        return means

    def _merge(self, keys: NDArray[np.int64], sums: NDArray[np.float64]) -> None:
        self._keys, voxel = np.unique(keys, return_inverse=True)
        self._sums = _summed(sums, voxel, len(self._keys))


def _summed(values: NDArray[np.float64], voxel: NDArray[np.intp], count: int) -> NDArray[np.float64]:
    """(11, V) sums over the columns of each voxel."""
    return np.stack([np.bincount(voxel, row, count) for row in values])


def _keys(points: FloatArray, size: float) -> NDArray[np.int64]:
    """(N,) a number for the voxel of each point (N, 3); voxels at the end of the numbers' range take what is beyond.

    The origin is in the middle of a voxel: a flat scene does not lie on the border of two layers.
    """
    cell = np.clip(np.rint(points / size) + _OFFSET, 0, 2 * _OFFSET - 1).astype(np.int64)
    keys: NDArray[np.int64] = (cell[:, 0] << 42) | (cell[:, 1] << 21) | cell[:, 2]
    return keys


def _size_for(points: FloatArray, most: int, least: float) -> float:
    """The smallest side, at least ``least``, of voxels of which the points (N, 3) fill no more than ``most``."""
    low, high = np.log(least), np.log(max(least, 2.1 * float(np.abs(points).max())))
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if len(np.unique(_keys(points, float(np.exp(middle))))) > most:
            low = middle
        else:
            high = middle
    return float(np.exp(high))


def _first_size(points: FloatArray, most: int, least: float) -> float:
    """A side, at least ``least``, that leaves more than ``most`` points, and not many times more; from samples (N, 3).

    Few samples tell of large voxels only; of a surface, a quarter of the side leaves 16 times as many points.
    """
    wanted = _SPARE * most
    countable = max(1, min(int(wanted), len(points) // _SAMPLES_PER_VOXEL))
    return max(least, _size_for(points, countable, least) * float(np.sqrt(countable / wanted)))


def _sampled(scan: DepthScan) -> NDArray[np.float64]:
    """(N, 3) some of the pixels in world axes."""
    step = sum(map(np.count_nonzero, scan.samples)) // _MOST_SAMPLES + 1
    return np.concatenate(
        [sample_in_world(view, one, step) for view, one in zip(scan.views, scan.samples, strict=True)]
    )
