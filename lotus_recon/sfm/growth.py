"""New photos registered into a finished model (``--add``): its cameras and poses stay exactly as they are.

Points are triangulated again at those poses, from matches that are kept; then COLMAP's incremental mapper goes on with
the photos that have no pose yet. Photos that are gone are taken out.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lotus_recon.colmap import pycolmap
from lotus_recon.errors import ReconError
from lotus_recon.io.cameras import PosedPhotos, SourceCamera
from lotus_recon.sfm.database import TEMPORARY
from lotus_recon.sfm.diagnosis import components, some
from lotus_recon.sfm.images import CameraPrior, SfmImage
from lotus_recon.sfm.job import Job, Solution, fill_database, in_source_pixels
from lotus_recon.sfm.judgement import doubts_of
from lotus_recon.sfm.mapping import go_on, is_sound
from lotus_recon.sfm.triangulation import triangulate
from lotus_recon.types import SparsePoints

log = logging.getLogger(__name__)

_FEWEST = 0.5  # share of the photos of a model that must still be there, and of the new ones that must fit it
_MOVED = 1e-6  # of the extent of the cameras, by which rounding may move a pose


class CannotAddError(ReconError):
    """Why new photos cannot be added to a finished model."""


@dataclass(frozen=True, eq=False)
class Finished:
    """A finished model: its photos with cameras (as given) and poses, the content of all photos it was made from, by
    name, and what its options are.
    """

    cameras: Mapping[str, SourceCamera]
    cam_from_world: Mapping[str, NDArray[np.float64]]
    contents: Mapping[str, str]
    options: str


def solve_from_finished(job: Job, finished: Finished, contents: Mapping[str, str], options: str) -> Solution:
    """The finished model with the photos of ``job`` that it lacks, and figures for the report.

    ``contents`` are those of the job's photos by name. Raises CannotAddError, which says why, where the model cannot be
    grown: other options, too few of its photos left, or new photos that do not fit it.
    """
    if options != finished.options:
        raise CannotAddError("its options of structure from motion were others")
    staying = {n for n in finished.cam_from_world if contents.get(n, "") == finished.contents[n]}
    if len(staying) < max(2, _FEWEST * len(finished.cam_from_world)):
        raise CannotAddError(f"only {len(staying)} of its {len(finished.cam_from_world)} photos are still there")
    matched = fill_database(job)
    images = _at_finished_cameras(job.images, finished, staying)
    model = _grown(job, images, finished, staying, matched.folder.database)
    photos = in_source_pixels(model, images, matched.colors)
    new = sorted(name for name in contents if contents[name] not in set(finished.contents.values()))
    added = [name for name in new if name in photos.cameras]
    if len(added) < _FEWEST * len(new):
        raise CannotAddError(f"only {len(added)} of {len(new)} new photos fit it")
    doubts = [*doubts_of(model, job.images, matched.statistics), *_left_out(job, photos)]
    for doubt in doubts:
        log.warning("%s", doubt)
    log.info(
        "%d of %d new photos were added to the %d of the finished model that are still there, which stay as they are",
        len(added),
        len(new),
        len(staying),
    )
    figures = {
        **matched.figures(job),
        "mapper": "incremental",
        "settings": "added to a finished model",
        "added": added,
        "doubts": doubts,
        "components": components(job.names, matched.statistics),
    }
    return Solution(_with_finished(photos, finished, staying), figures, matched.folder)


def _at_finished_cameras(images: Sequence[SfmImage], finished: Finished, staying: set[str]) -> list[SfmImage]:
    """The images with the cameras of the model, new photos that share one of these included."""
    cameras: dict[int, SourceCamera] = {}
    for image in images:
        if image.name in staying:
            camera = finished.cameras[image.name].resized(*image.working_size)
            if cameras.setdefault(image.camera_number, camera) != camera:
                raise CannotAddError("photos would share other cameras than they did")
    return [
        replace(image, prior=CameraPrior(cameras[image.camera_number], has_prior=True, fixed=True))
        if image.camera_number in cameras
        else image
        for image in images
    ]


def _grown(
    job: Job, images: Sequence[SfmImage], finished: Finished, staying: set[str], database: Path
) -> pycolmap.Reconstruction:
    """The model of the photos that stay, and of those that could be registered beside them."""
    names = sorted(staying)
    poses = {name: finished.cam_from_world[name] for name in names}
    known = PosedPhotos({name: finished.cameras[name] for name in names}, poses, SparsePoints.empty())
    old = [image for image in images if image.name in staying]
    with tempfile.TemporaryDirectory(dir=database.parent, prefix=TEMPORARY) as folder:
        database = _with_cameras(database, images, Path(folder))
        model = triangulate(old, known, database, job.runtime)
        if not is_sound(model):
            raise CannotAddError("the matches of its photos give no points at its poses")
        if len(old) == len(images):
            return model
        grown = go_on(model, images, database, Path(folder), job.runtime)
    if grown is None or not is_sound(grown):
        raise CannotAddError("the new photos do not fit it")
    _check_unmoved(old, model, grown)
    return grown


def _with_cameras(database: Path, images: Sequence[SfmImage], folder: Path) -> Path:
    """A copy of a database with the cameras of the images: COLMAP refuses models of another kind than it has there."""
    copy = folder / database.name
    shutil.copyfile(database, copy)
    with pycolmap.Database.open(str(copy)) as opened:
        for image in {image.camera_number: image for image in images}.values():
            camera = image.prior.camera.to_colmap(image.camera_number)
            camera.has_prior_focal_length = image.prior.has_prior
            opened.update_camera(camera)
    return copy


def _check_unmoved(old: Sequence[SfmImage], before: pycolmap.Reconstruction, after: pycolmap.Reconstruction) -> None:
    """Raise CannotAddError unless the photos of the model are where they were."""
    if not set(before.reg_image_ids()) <= set(after.reg_image_ids()):
        raise CannotAddError("photos of it lost their matches")
    was, now = (np.array([m.image(i.number).projection_center() for i in old]) for m in (before, after))
    if np.abs(was - now).max() > _MOVED * np.ptp(was, axis=0).max():
        raise CannotAddError("its photos would move")


def _with_finished(photos: PosedPhotos, finished: Finished, staying: set[str]) -> PosedPhotos:
    """``photos`` with the very cameras and poses of the finished model, without what rounding does to them."""
    cameras = {n: finished.cameras[n] if n in staying else camera for n, camera in photos.cameras.items()}
    poses = {n: finished.cam_from_world[n] if n in staying else pose for n, pose in photos.cam_from_world.items()}
    return PosedPhotos(cameras, poses, photos.points)


def _left_out(job: Job, photos: PosedPhotos) -> list[str]:
    missing = sorted(name for name in job.names if name not in photos.cameras)
    return [f"{len(missing)} of {len(job.names)} photos could not be registered: {some(missing)}"] if missing else []
