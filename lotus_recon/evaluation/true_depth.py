"""True depth of the views of a run: a sensor's or a renderer's, of photos as they are given or undistorted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from lotus_recon.errors import InputError
from lotus_recon.evaluation.pose_files import match_names
from lotus_recon.geometry.resampling import Sampling, sample_depth
from lotus_recon.io.maps import load_prediction
from lotus_recon.io.scene_maps import POSED_DEPTH
from lotus_recon.sfm.stage import SfmResult
from lotus_recon.types import DepthKind, DepthMap, View


def files_of_views(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """The depth maps ``<view>.npz`` of a folder by the names of their views. Raises InputError when none match."""
    files = {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.npz"))}
    if not files:
        raise InputError(f"{folder} holds no depth maps (<view>.npz)")
    by_stem = {str(PurePosixPath(name).with_suffix("")): name for name in names}
    return {by_stem[stem]: files[name] for stem, name in sorted(match_names(list(by_stem), list(files)).items())}


def read_true_depth(path: Path, view: View, found: SfmResult, metres_per_unit: float | None) -> DepthMap:
    """The map of a file, SCENE depth (H, W) at the pixels of an undistorted ``view`` of the reconstruction ``found``.

    A map of another size must have the proportions of the photo as given, and is undistorted like it; one of the size
    of the view is taken as it is. Raises InputError for other sizes, for depth that is neither METRIC nor SCENE, and
    for METRIC depth where nobody said how long a unit of the scene is.
    """
    depth = load_prediction(path).depth
    if depth is None or depth.kind not in POSED_DEPTH:
        raise InputError(f"{path} has no METRIC or SCENE depth")
    unit = metres_per_unit or (1.0 if found.scene.metric or depth.kind is DepthKind.SCENE else None)
    if unit is None:
        raise InputError(
            f"{path} is in metres, and the scene is not: give --metres-per-unit, or reconstruct with --scale-from"
        )
    (height, width), source = depth.shape, found.source_cameras[view.name]
    if (width, height) != view.camera.size:
        if abs(width / height * source.height - source.width) > 1:
            raise InputError(
                f"{path} is {width}x{height}; allowed are {view.camera.width}x{view.camera.height}, the undistorted "
                f"photo in images/, and the proportions of the photo as given, {source.width}x{source.height}"
            )
        scale = np.array([width / source.width, height / source.height])
        depth = sample_depth(depth, Sampling(source.xy_of(view.camera) * scale, depth.shape))
    return replace(depth, values=depth.values / np.float32(unit), kind=DepthKind.SCENE)
