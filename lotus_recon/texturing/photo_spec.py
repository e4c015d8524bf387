"""Stage ``texture`` of a single photo: its mesh with the photo on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lotus_recon.calibration.spec import CALIBRATION
from lotus_recon.meshing.photo_spec import PHOTO_MESH
from lotus_recon.stages import Context, Cost, StageSpec, options_of
from lotus_recon.texturing.config import PhotoTextureConfig

if TYPE_CHECKING:
    from lotus_recon.photo_job import PhotoJob


def _config(job: PhotoJob) -> PhotoTextureConfig:
    return options_of(job.config, PhotoTextureConfig)


def _run(context: Context[PhotoJob], out_dir: Path) -> Path:
    from lotus_recon.texturing import photo_stage

    inputs = photo_stage.Inputs(context.job.photo.path, context[PHOTO_MESH] / "mesh.ply", context[CALIBRATION].camera)
    photo_stage.run(inputs, _config(context.job), out_dir)
    return out_dir


PHOTO_TEXTURE: StageSpec[PhotoJob, Path] = StageSpec(
    name="texture",
    summary="the mesh with few triangles and the photo on it: GLB and OBJ",
    run=_run,
    load=lambda folder: folder,
    options=_config,
    reads=(CALIBRATION, PHOTO_MESH),
    wanted=lambda job: _config(job).texture,
    wanted_with="--texture",
    folder=lambda job: job.photo.stem,
    adds_to_folder=True,
    cost=lambda job: Cost(0.0, 3.5, disk_mb_per_megapixel=140),
    libraries=("open3d",),
)
