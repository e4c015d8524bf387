"""Stage ``mesh`` of a single photo: its points and the mesh of its depth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lotus_recon.calibration.spec import CALIBRATION
from lotus_recon.errors import InputError
from lotus_recon.meshing.config import SurfaceConfig
from lotus_recon.models.config import PredictionConfig
from lotus_recon.models.photo_spec import PHOTO_PREDICTION
from lotus_recon.normal_integration.config import NormalIntegrationConfig
from lotus_recon.stages import Context, Cost, StageSpec, options_of

if TYPE_CHECKING:
    from lotus_recon.photo_job import PhotoJob


def _run(context: Context[PhotoJob], out_dir: Path) -> Path:
    from lotus_recon.meshing import photo_stage

    inputs = photo_stage.Inputs(
        context.job.photo.name,
        context.job.rgb,
        context[PHOTO_PREDICTION].normals,
        context[CALIBRATION],
        context.runtime,
    )
    photo_stage.run(inputs, context.options(SurfaceConfig), context.options(NormalIntegrationConfig), out_dir)
    return out_dir


def _check(job: PhotoJob) -> None:
    from lotus_recon.models.registry import check_model, maker_of
    from lotus_recon.models.registry import options_of as model_options

    prediction = options_of(job.config, PredictionConfig)
    tasks = check_model(prediction.model, options=model_options(prediction)).tasks
    if options_of(job.config, SurfaceConfig).surface == "integrated" and "normal" not in tasks:
        raise InputError(
            f"--surface integrated: {maker_of(prediction)} no normals; name a model that predicts them, "
            "DEPTH,NORMAL, or --predictions with the array normals"
        )


def _options(job: PhotoJob) -> list[object]:
    surface = options_of(job.config, SurfaceConfig)
    integration = options_of(job.config, NormalIntegrationConfig) if surface.surface == "integrated" else None
    return [surface, integration]


PHOTO_MESH: StageSpec[PhotoJob, Path] = StageSpec(
    name="mesh",
    summary="point cloud and mesh, in the axes of the camera",
    run=_run,
    load=lambda folder: folder,
    options=_options,
    reads=(PHOTO_PREDICTION, CALIBRATION),
    check=_check,
    folder=lambda job: job.photo.stem,
    adds_to_folder=True,
    cost=lambda job: Cost(0.0, seconds_per_megapixel=1.6, disk_mb_per_megapixel=135),
    libraries=("numba",),
)
