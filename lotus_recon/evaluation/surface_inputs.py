"""Surfaces from files: meshes, clouds, points of a COLMAP model, depth maps with poses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lotus_recon.errors import InputError
from lotus_recon.evaluation.pose_files import read_views
from lotus_recon.evaluation.surfaces import Points, Surface, subsampled
from lotus_recon.evaluation.true_depth import files_of_views
from lotus_recon.geometry.camera import unproject
from lotus_recon.geometry.pose import invert_rigid, transform
from lotus_recon.io.cameras import is_colmap_model, read_colmap_model
from lotus_recon.io.maps import load_prediction
from lotus_recon.io.meshes import read_mesh, read_points
from lotus_recon.io.scene_maps import POSED_DEPTH
from lotus_recon.types import DepthMap, View

PosedMap = tuple[View, DepthMap]


def read_surface(path: Path) -> Surface:
    """A mesh where the file has triangles, otherwise its points; or the points of a COLMAP model.

    Raises InputError when the file is missing or holds neither.
    """
    if path.is_dir():
        if not is_colmap_model(path):
            raise InputError(f"{path} is a folder without a COLMAP model; give a mesh or a point cloud (PLY)")
        points = read_colmap_model(path).points.xyz
        if len(points) == 0:
            raise InputError(f"the COLMAP model {path} has no points")
        return points
    try:
        return read_mesh(path)
    except InputError:
        if path.suffix.lower() != ".ply" or not path.is_file():
            raise
        return np.asarray(read_points(path).points, np.float64)


def read_posed_maps(folder: Path, poses: Path) -> list[PosedMap]:
    """Depth maps ``<view>.npz`` of a folder with the cameras of ``poses``, matched by name.

    Raises InputError when a map is not METRIC or SCENE, differs in size from its camera, or none has a camera.
    """
    views = {view.name: view for view in read_views(poses)}
    maps = []
    for name, path in files_of_views(folder, list(views)).items():
        depth, view = load_prediction(path).depth, views[name]
        if depth is None or depth.kind not in POSED_DEPTH:
            raise InputError(f"{path} has no METRIC or SCENE depth")
        if depth.shape != (view.camera.height, view.camera.width):
            raise InputError(f"{path} is {depth.shape}, its camera {view.camera.size}: they must agree")
        maps.append((view, depth))
    return maps


def points_of_maps(maps: Sequence[PosedMap], spacing: float) -> Points:
    """(N, 3) world points of all valid pixels, subsampled map by map to limit memory."""
    parts = []
    for view, depth in maps:
        in_cam = unproject(np.where(depth.valid, depth.values, 1.0), view.camera)[depth.valid]
        if len(in_cam):
            parts.append(subsampled(transform(invert_rigid(view.cam_from_world), in_cam), spacing))
    if not parts:
        raise InputError("the reference depth maps have no valid pixel")
    return subsampled(np.concatenate(parts), spacing)
