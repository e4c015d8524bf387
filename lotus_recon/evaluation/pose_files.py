"""Poses from files of several kinds, matched by the names of their photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.io.cameras import SourceCamera, is_colmap_model, read_colmap_model
from lotus_recon.io.transforms import read_transforms
from lotus_recon.outside import matrix, read_json, text
from lotus_recon.types import Camera, View, check_rigid

Poses = Mapping[str, NDArray[np.float64]]  # cam_from_world (4, 4) by path of the photo without suffix

_SPARSE = "sfm/sparse"  # of a multi_view output folder


def read_poses(path: Path) -> Poses:
    """Poses of a COLMAP model, a multi_view output folder, a transforms.json, or a cameras.json (file, K, w2c).

    Raises InputError when there is none of them, or it is broken.
    """
    if path.is_dir():
        return {_stem(name): pose for name, pose in read_colmap_model(_model(path)).cam_from_world.items()}
    stored = read_json(path, "poses")
    if _is_camera_list(stored):
        return {_stem(text(entry["file"], f"{path}: file")): _w2c(entry, path) for entry in stored["frames"]}
    return {_stem(frame.path.as_posix()): frame.cam_from_world for frame in read_transforms(path)}


def read_views(path: Path) -> list[View]:
    """Views with pinhole cameras of a COLMAP model, a multi_view output folder or a transforms.json.

    Raises InputError as ``read_poses`` does, and for cameras with distortion.
    """
    if path.is_dir():
        photos = read_colmap_model(_model(path))
        return [_view(name, photos.cameras[name], pose, path) for name, pose in photos.cam_from_world.items()]
    return [
        _view(frame.path.as_posix(), frame.camera((0, 0)), frame.cam_from_world, path)
        for frame in read_transforms(path)
    ]


def _view(name: str, camera: SourceCamera, pose: NDArray[np.float64], path: Path) -> View:
    if not camera.is_pinhole:
        raise InputError(f"{path}: the camera of {name!r} has distortion; depth maps need undistorted views")
    return View(name, Camera(camera.width, camera.height, *camera.with_two_focals().params[:4]), pose)


def _model(folder: Path) -> Path:
    model = folder if is_colmap_model(folder) else folder / _SPARSE
    if not is_colmap_model(model):
        raise InputError(f"{folder} holds no COLMAP model, nor does {_SPARSE} in it")
    return model


def _is_camera_list(stored: Any) -> bool:
    frames = stored.get("frames") if isinstance(stored, dict) else None
    return (
        isinstance(frames, list)
        and len(frames) > 0
        and all(isinstance(f, dict) and {"file", "w2c"} <= f.keys() for f in frames)
    )


def _w2c(entry: Mapping[str, Any], path: Path) -> NDArray[np.float64]:
    pose = matrix(entry["w2c"], (4, 4), f"{path}: w2c of {entry['file']!r}")
    check_rigid(pose, f"{path}: w2c of {entry['file']!r}")
    return pose


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def match_names(ours: Sequence[str], theirs: Sequence[str]) -> dict[str, str]:
    """Which of ``theirs`` (paths without suffix) each of ``ours`` is, by as few last parts of the paths as will do.

    Raises InputError when none match, or two photos cannot be told apart.
    """
    for parts in range(1, 5):
        short, other = ({_last(name, parts): name for name in names} for names in (ours, theirs))
        if len(short) == len(ours) and len(other) == len(theirs):
            found = {short[key]: other[key] for key in short.keys() & other.keys()}
            if not found:
                break
            return found
    raise InputError(
        f"the photos of both sides do not match by name: {_some(ours)} on one side, {_some(theirs)} on the other"
    )


def _last(name: str, parts: int) -> str:
    return "/".join(PurePosixPath(name).parts[-parts:])


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
