"""Stage ``prediction``: depth and normals of every view."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lotus_recon.alignment.config import AlignmentConfig
from lotus_recon.config import Runtime
from lotus_recon.errors import InputError
from lotus_recon.models.config import PredictionConfig
from lotus_recon.sfm.config import SfmConfig
from lotus_recon.sfm.spec import IMAGES, SFM
from lotus_recon.stages import Context, Cost, Needs, StageSpec, options_of

if TYPE_CHECKING:
    from lotus_recon.models.base import ModelInfo
    from lotus_recon.models.stage import PredictionResult
    from lotus_recon.photo_job import PhotoJob
    from lotus_recon.scene_job import SceneJob


def model_info(job: SceneJob | PhotoJob) -> ModelInfo:
    """Name and tasks of the model that a job predicts with. Raises InputError when it cannot be used."""
    from lotus_recon.models.registry import check_model
    from lotus_recon.models.registry import options_of as model_options

    config, runtime = options_of(job.config, PredictionConfig), options_of(job.config, Runtime)
    return check_model(config.model, runtime.device, runtime.dtype, options=model_options(config))


def _run(context: Context[SceneJob], out_dir: Path) -> PredictionResult:
    from lotus_recon.models import stage

    job, sfm = context.job, context[SFM]  # cameras are the same in every world frame
    images, kept = context.folder(IMAGES), context.kept(PREDICTION)
    inputs = stage.Inputs(sfm.scene, images, job.root, sfm.source_cameras, job.masks, context.runtime, kept)
    return stage.run(inputs, context.options(PredictionConfig), out_dir)


def _load(folder: Path) -> PredictionResult:
    from lotus_recon.models.stage import PredictionResult

    return PredictionResult.load(folder)


def _inputs(job: SceneJob) -> dict[str, str]:
    from lotus_recon.models.registry import model_fingerprint
    from lotus_recon.models.registry import options_of as model_options

    config = options_of(job.config, PredictionConfig)
    return job.mask_files() | {"model": model_fingerprint(config.model, model_options(config))}


def _check(job: SceneJob) -> None:
    from lotus_recon.io.images import read_info
    from lotus_recon.models.base import check_tile_fits
    from lotus_recon.models.precomputed import STORED_KINDS, check_predictions, meaning_of
    from lotus_recon.models.registry import fetch_model
    from lotus_recon.models.registry import options_of as model_options
    from lotus_recon.types import DepthKind

    config = options_of(job.config, PredictionConfig)
    if "depth" not in model_info(job).tasks:
        raise InputError(f"--model {config.model} predicts no depth; choose a model that does, or DEPTH,NORMAL")
    if config.predictions is not None and job.has_photos:
        as_it_is = options_of(job.config, AlignmentConfig).align == "none"
        kinds = {DepthKind.METRIC} if as_it_is else STORED_KINDS
        check_predictions(config.predictions, job.photos, kinds, meaning_of(model_options(config)))
    if config.tiles.isdecimal() and job.has_photos:
        max_size = options_of(job.config, SfmConfig).max_size
        for photo in job.photos:
            check_tile_fits(config.tiles, read_info(photo.path).size, max_size, photo.name)
    fetch_model(config.model, model_options(config))


def _cost(job: SceneJob) -> Cost:
    """nano's, or reading stored maps; full-size networks take minutes a photo without a GPU."""
    from lotus_recon.models.costs import seconds_per_photo

    seconds = seconds_per_photo(options_of(job.config, PredictionConfig), model_info(job), _size(job), small_s=0.15)
    return Cost(0.6, seconds, 0.3, disk_mb_per_megapixel=14)


def _size(job: SceneJob) -> tuple[int, int]:
    """(width, height) in pixels of the maps of the first photo, or of the frames of a video."""
    from lotus_recon.geometry.camera import fit_longer_edge
    from lotus_recon.io.images import read_info

    first = read_info(job.photos[0].path) if job.has_photos else job.video_info
    return fit_longer_edge(first.width, first.height, options_of(job.config, SfmConfig).max_size)


PREDICTION: StageSpec[SceneJob, PredictionResult] = StageSpec(
    name="prediction",
    summary="depth and normals of every photo",
    run=_run,
    load=_load,
    options=lambda job: options_of(job.config, PredictionConfig),
    reads=(SFM, IMAGES),
    inputs=_inputs,
    check=_check,
    folder=lambda job: f"prediction/{model_info(job).name}",
    runtime=lambda job: ("seed", "dtype"),
    needs=Needs(cpus=0.25, memory_mb=500),  # on Ray it waits for the actors that hold the network
    cost=_cost,
    resumable=True,
)
