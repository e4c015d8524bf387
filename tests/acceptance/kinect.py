"""Depth of the Kinect of 7-Scenes as its colour camera sees it: the two are not registered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from lotus_recon.datasets import seven_scenes
from lotus_recon.geometry.camera import project, unproject
from lotus_recon.geometry.points import in_view
from lotus_recon.geometry.pose import invert_rigid, transform
from lotus_recon.io.maps import save_maps
from lotus_recon.types import BoolArray, Camera, DepthKind, DepthMap, Scene, View

_LEAST_VIEWS = 3  # that see a point
_LEVEL = 0.05  # of the depth by which the pixels around a point may differ: no edge
_TYPICAL = 0.01  # relative error of a point
_FOUND = 0.05

Floats = NDArray[np.float64]


def write_registered_depth(source: Path, scene: Scene, out: Path) -> float:
    """Write ``out/<view>.npz``, depth in units of ``scene``, and return the share of its points that are within 5 %.

    The size of the scene in metres and the pose of the colour camera in the depth camera are those at which sparse
    points are as deep as the depth camera says, by a robust fit of seven numbers to tens of thousands of observations.
    """
    camera = seven_scenes.frames(source)[0].view.camera
    maps = [_sensor_depth(source, view.stem) for view in scene.views]
    seen = _points(scene)

    def errors(parameters: Floats) -> Floats:
        scale, depth_from_color = _registration(parameters)
        moved = [transform(depth_from_color, scale * points) for points in seen]
        found = [_errors(each, map_, camera) for each, map_ in zip(moved, maps, strict=True)]
        return np.nan_to_num(np.concatenate(found))  # what cannot be compared counts nothing

    start = np.zeros(7)
    ratios = [1 + _errors(points, map_, camera, level=1e9) for points, map_ in zip(seen, maps, strict=True)]
    start[0] = -np.log(np.nanmedian(np.concatenate(ratios)))
    fit = least_squares(errors, start, loss="cauchy", f_scale=_TYPICAL)
    scale, depth_from_color = _registration(fit.x)
    for view, map_ in zip(scene.views, maps, strict=True):
        points = unproject(map_, camera)[map_ > 0]
        depth = _splat(points, View(view.name, view.camera, invert_rigid(depth_from_color))) / np.float32(scale)
        save_maps(out / f"{view.stem}.npz", DepthMap(depth, depth > 0, DepthKind.SCENE))
    found = np.abs(errors(fit.x))
    return float((found[found > 0] < _FOUND).mean())


def _sensor_depth(source: Path, stem: str) -> NDArray[np.float32]:
    depth, seen = seven_scenes.sensor_depth(source, stem)
    return np.where(seen, depth, 0)


def _points(scene: Scene) -> list[Floats]:
    """Per view the points (N, 3) that it and others see, in its axes and units of the scene."""
    points = scene.points.where(scene.points.track_length >= _LEAST_VIEWS)
    seen = [points.xyz[points.obs_point[points.rows_of(number)]] for number in range(len(scene.views))]
    return [transform(view.cam_from_world, xyz) for view, xyz in zip(scene.views, seen, strict=True)]


def _registration(parameters: Floats) -> tuple[float, Floats]:
    """Metres per unit of the scene, and the pose of the depth camera's axes (metres)."""
    depth_from_color = np.eye(4)
    depth_from_color[:3, :3] = Rotation.from_rotvec(parameters[1:4]).as_matrix()
    depth_from_color[:3, 3] = parameters[4:]
    return float(np.exp(parameters[0])), depth_from_color


def _errors(points: Floats, depth: NDArray[np.float32], camera: Camera, level: float = _LEVEL) -> Floats:
    """(N,) by how much points (N, 3) are deeper than the map, relative; NaN where it has nothing or an edge."""
    xy = project(points, camera) - 0.5
    column, row = (np.nan_to_num(np.floor(xy[:, axis]), nan=-1).astype(int) for axis in (0, 1))
    inside = (column >= 0) & (row >= 0) & (column < camera.width - 1) & (row < camera.height - 1)
    column, row = np.where(inside, column, 0), np.where(inside, row, 0)
    around = np.stack([depth[row + down, column + right] for down in (0, 1) for right in (0, 1)])
    read = map_coordinates(depth, np.where(inside, xy.T[::-1], 0), order=1, output=np.float64)
    usable: BoolArray = inside & (around > 0).all(0) & (np.ptp(around, axis=0) <= level * around.min(0))
    return np.where(usable, points[:, 2] / np.where(usable, read, 1) - 1, np.nan)


def _splat(points: Floats, view: View) -> NDArray[np.float32]:
    """Depth (H, W) of the nearest of points (N, 3) in each pixel, 0 where there is none."""
    _, pixels, depth = in_view(points, view)
    nearest = np.full((view.camera.height, view.camera.width), np.inf)
    np.minimum.at(nearest, pixels, depth)
    return np.where(np.isfinite(nearest), nearest, 0).astype(np.float32)
