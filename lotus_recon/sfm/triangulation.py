"""Sparse points at given poses: features are matched as always, poses and cameras stay exactly as given."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import PIL.Image  # noqa: F401  must come before pycolmap
import pycolmap

from lotus_recon.config import Runtime
from lotus_recon.io.cameras import PosedPhotos, SourceCamera, rigid3d
from lotus_recon.sfm.features import thread_count, working_name
from lotus_recon.sfm.shots import Shot, StartCamera


def shots_at_given_cameras(shots: Sequence[Shot], known: PosedPhotos) -> list[Shot]:
    """The shots that have a pose, each with its given camera at the working size; equal cameras are shared."""
    numbers: dict[SourceCamera, int] = {}
    posed: list[Shot] = []
    for shot in shots:
        if shot.name in known.cameras:
            camera = known.cameras[shot.name].resized(*shot.working_size)
            number = numbers.setdefault(camera, len(numbers) + 1)
            start = StartCamera(camera, has_prior=True, fixed=True)
            posed.append(replace(shot, number=len(posed) + 1, camera_number=number, start=start))
    return posed


def triangulate(
    shots: Sequence[Shot], known: PosedPhotos, database_path: Path, runtime: Runtime
) -> pycolmap.Reconstruction:
    """Points from the matches in the database at the poses of ``known``; the poses of the result are those poses."""
    model = pycolmap.Reconstruction()
    for shot in {shot.camera_number: shot for shot in shots}.values():
        model.add_camera_with_trivial_rig(shot.start.camera.to_colmap(shot.camera_number))
    for shot in shots:
        image = pycolmap.Image(image_id=shot.number, camera_id=shot.camera_number, name=working_name(shot))
        model.add_image_with_trivial_frame(image, rigid3d(known.cam_from_world[shot.name]))
    options = pycolmap.IncrementalPipelineOptions()
    options.num_threads = thread_count(runtime)
    options.extract_colors = False
    options.random_seed = options.mapper.random_seed = options.triangulation.random_seed = runtime.seed
    pycolmap.set_random_seed(runtime.seed)
    with tempfile.TemporaryDirectory(dir=database_path.parent, prefix=".models-") as folder:
        return pycolmap.triangulate_points(
            model, str(database_path), ".", folder, options=options, refine_intrinsics=False
        )
