"""Sparse points at given poses: features are matched as always, poses and cameras stay exactly as given."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lotus_recon.colmap import pycolmap
from lotus_recon.config import Runtime
from lotus_recon.durable import full_disk_named
from lotus_recon.errors import InputError
from lotus_recon.io.cameras import PosedPhotos, SourceCamera, rigid3d
from lotus_recon.io.known_poses import read_known_poses
from lotus_recon.sfm.database import TEMPORARY, working_name
from lotus_recon.sfm.diagnosis import describe
from lotus_recon.sfm.features import thread_count
from lotus_recon.sfm.images import CameraPrior, SfmImage
from lotus_recon.sfm.job import Job, Matched, Solution, fill_database, in_source_pixels
from lotus_recon.types import SparsePoints

log = logging.getLogger(__name__)

# Where views see fewer points than this in the median, features of less contrast are matched along epipolar lines too:
# the given poses tell which of them are right.
_FEW_OBSERVATIONS = 300


def solve_at_poses(job: Job, poses: Path) -> Solution:
    """The given poses and cameras, with the points that came with them or points triangulated here; and figures.

    Raises InputError when the poses cannot be used (see io.known_poses) or are of fewer than two photos.
    """
    known = read_known_poses(poses, [image.photo for image in job.images])
    if len(known.names) < 2:
        raise InputError(f"{poses} has poses of {len(known.names)} photos; needed: 2 or more")
    if len(known.points.obs_view) or not job.config.triangulate:
        return Solution(known, {"points_from": "given" if len(known.points.obs_view) else "none"}, None)
    job = replace(job, images=images_at_given_cameras(job.images, known))
    matched, points = _matched_and_triangulated(job, known)
    if _observations_per_view(points, len(job.images)) < _FEW_OBSERVATIONS:
        again = _matched_and_triangulated(job, known, more_features=True)
        matched, points = max((matched, points), again, key=lambda found: len(found[1].obs_view))
    if len(points.xyz) == 0:
        log.warning("no points at the given poses: %s", describe(job.names, matched.statistics))
    figures = {"points_from": "triangulation", **matched.figures(job)}
    return Solution(PosedPhotos(known.cameras, known.cam_from_world, points), figures, matched.folder)


def _matched_and_triangulated(
    job: Job, known: PosedPhotos, more_features: bool = False
) -> tuple[Matched, SparsePoints]:
    """The points, with observations in pixels of the photos as given."""
    matched = fill_database(job, more_features)
    model = triangulate(job.images, known, matched.folder.database, job.runtime)
    return matched, in_source_pixels(model, job.images, matched.colors).points


def _observations_per_view(points: SparsePoints, views: int) -> float:
    return float(np.median(np.bincount(points.obs_view, minlength=views)))


def images_at_given_cameras(images: Sequence[SfmImage], known: PosedPhotos) -> list[SfmImage]:
    """The images that have a pose, each with its given camera at the working size; equal cameras are shared."""
    numbers: dict[SourceCamera, int] = {}
    posed: list[SfmImage] = []
    for image in images:
        if image.name in known.cameras:
            camera = known.cameras[image.name].resized(*image.working_size)
            number = numbers.setdefault(camera, len(numbers) + 1)
            prior = CameraPrior(camera, has_prior=True, fixed=True)
            posed.append(replace(image, number=len(posed) + 1, camera_number=number, prior=prior))
    return posed


def triangulate(
    images: Sequence[SfmImage], known: PosedPhotos, database_path: Path, runtime: Runtime
) -> pycolmap.Reconstruction:
    """Points from the matches in the database at the poses of ``known``; the poses of the result are those poses."""
    model = pycolmap.Reconstruction()
    for image in {image.camera_number: image for image in images}.values():
        model.add_camera_with_trivial_rig(image.prior.camera.to_colmap(image.camera_number))
    for image in images:
        entry = pycolmap.Image(image_id=image.number, camera_id=image.camera_number, name=working_name(image))
        model.add_image_with_trivial_frame(entry, rigid3d(known.cam_from_world[image.name]))
    options = pycolmap.IncrementalPipelineOptions()
    options.num_threads = thread_count(runtime)
    options.extract_colors = False
    options.random_seed = options.mapper.random_seed = options.triangulation.random_seed = runtime.seed
    pycolmap.set_random_seed(runtime.seed)
    parent = database_path.parent
    with tempfile.TemporaryDirectory(dir=parent, prefix=TEMPORARY) as folder, full_disk_named(parent):
        return pycolmap.triangulate_points(
            model, str(database_path), ".", folder, options=options, refine_intrinsics=False
        )
