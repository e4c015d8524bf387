"""Stage ``sfm``: photos in; undistorted pinhole cameras, poses and sparse points out."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lotus_recon.config import Runtime
from lotus_recon.errors import InputError
from lotus_recon.io.cameras import (
    PosedPhotos,
    SourceCamera,
    read_colmap_scene,
    read_source_cameras,
    write_colmap_scene,
    write_source_cameras,
)
from lotus_recon.io.images import Photo, check_unique_stems
from lotus_recon.sfm.config import SfmConfig
from lotus_recon.sfm.from_scratch import solve_from_scratch
from lotus_recon.sfm.growth import CannotAddError, Finished, solve_from_finished
from lotus_recon.sfm.images import images_with_priors
from lotus_recon.sfm.job import Job, Solution
from lotus_recon.sfm.triangulation import solve_at_poses
from lotus_recon.sfm.undistortion import undistorted_scene
from lotus_recon.types import Scene
from lotus_recon.workspace import file_fingerprint, fingerprint, to_plain, write_json

log = logging.getLogger(__name__)

MAPPED = ".mapped"  # hidden: sparse/, in the world frame, is the model that everything else reads
SOURCES = "distorted.json"
REPORT = "sfm.json"
_DATABASE = "database.db"
_CONTENTS = ".photos.json"  # what the model was made from, for runs that add to it
_WORKING = ".working"  # what a killed run is resumed with; gone when the stage is done


@dataclass(frozen=True)
class Inputs:
    """Photos of one scene, and the mask files (not black = use) of those that have one, by photo name."""

    photos: Sequence[Photo]
    masks: Mapping[str, Path] = field(default_factory=dict)
    runtime: Runtime = field(default_factory=Runtime)
    kept: Path | None = None  # folder of what runs with other photos left, and find; None: nothing
    finished: Path | None = None  # folder of a finished model that new photos are added to


@dataclass(frozen=True, eq=False)
class SfmResult:
    """``scene`` holds undistorted views and points, ``source_cameras`` the cameras of the photos as given, by name."""

    scene: Scene
    source_cameras: dict[str, SourceCamera]
    report: dict[str, Any]

    @classmethod
    def load(cls, out_dir: Path) -> SfmResult:
        """What ``run`` wrote. Raises InputError when a file is missing or broken."""
        try:
            report = json.loads((out_dir / REPORT).read_text())
        except (OSError, ValueError) as error:
            raise InputError(f"{out_dir / REPORT} cannot be read: {error}") from None
        scene = read_colmap_scene(out_dir / MAPPED, metric=bool(report["metric"]))
        return cls(scene, read_source_cameras(out_dir / SOURCES), report)


def run(inputs: Inputs, config: SfmConfig, out_dir: Path) -> SfmResult:
    """Write .mapped/, distorted.json, sfm.json and, where features were needed, database.db into ``out_dir``.

    .mapped/ is a COLMAP model in the frame of the given poses or, without any, in one that SfM chose. Raises InputError
    for photos, masks, poses or options that cannot be used, and SfmError, which says why and what to try, when the
    photos cannot be registered. What a killed run left in ``out_dir`` must come from the same photos and options.
    """
    check_unique_stems(inputs.photos)
    if len(inputs.photos) < 2:
        raise InputError(f"{len(inputs.photos)} photo: multi-view needs 2 or more; for one use pipelines.single_view")
    images = images_with_priors(inputs.photos, config)
    job = Job(images, inputs.masks, config, inputs.runtime, out_dir / _WORKING, inputs.kept)
    is_given = config.poses is not None
    solution = _added(job, inputs, out_dir) if config.poses is None else solve_at_poses(job, config.poses)
    photos = solution.photos
    scene = undistorted_scene(photos, config.max_size, metric=is_given and config.pose_unit == "m")
    write_colmap_scene(scene, out_dir / MAPPED)
    write_source_cameras(photos.cameras, out_dir / SOURCES)
    write_json(
        out_dir / REPORT, {**_figures(scene, photos, inputs.photos), "poses_given": is_given, **solution.figures}
    )
    if solution.features is not None:
        solution.features.hand_over(out_dir / _DATABASE)
    shutil.rmtree(out_dir / _WORKING, ignore_errors=True)
    return SfmResult.load(out_dir)


def _added(job: Job, inputs: Inputs, out_dir: Path) -> Solution:
    """The photos of a job, added to a finished model where one is given and they fit it."""
    contents = {photo.name: file_fingerprint(photo.path) for photo in inputs.photos}
    options = fingerprint(to_plain([job.config, job.runtime.seed], paths=False))
    write_json(out_dir / _CONTENTS, {"photos": contents, "options": options})
    if inputs.finished is not None:
        try:
            return solve_from_finished(job, _finished(inputs.finished), contents, options)
        except CannotAddError as error:
            log.warning("nothing is added to the finished model, reconstruction starts anew: %s", error)
    return solve_from_scratch(job)


def _finished(folder: Path) -> Finished:
    """The model of an earlier run. Raises CannotAddError where there is none."""
    try:
        result, made_from = SfmResult.load(folder), json.loads((folder / _CONTENTS).read_text())
        poses = {view.name: view.cam_from_world for view in result.scene.views}
        contents, options = dict(made_from["photos"]), str(made_from["options"])
    except (OSError, ValueError, KeyError, TypeError, InputError):
        raise CannotAddError("there is none of photos without given poses") from None
    return Finished(result.source_cameras, poses, contents, options)


def _figures(scene: Scene, photos: PosedPhotos, given: Sequence[Photo]) -> dict[str, Any]:
    """What the report says of any model: sizes, errors (pixels of the undistorted photos), focal lengths."""
    points = scene.points
    error = float(np.average(points.error_px, weights=points.track_length)) if len(points.xyz) else None
    return {
        "photos": len(given),
        "registered": len(scene.views),
        "unregistered": sorted(photo.name for photo in given if photo.name not in scene.index),
        "metric": scene.metric,
        "points": len(points.xyz),
        "observations": len(points.obs_view),
        "mean_track_length": float(points.track_length.mean()) if len(points.xyz) else None,
        "mean_reprojection_error_px": error,
        "focal_px": sorted({tuple(round(f, 3) for f in camera.focal_px) for camera in photos.cameras.values()}),
    }
