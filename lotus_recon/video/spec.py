"""Stages of a video: ``predict`` its frames one by one, and make them ``steady`` over time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lotus_recon.calibration.config import OutputConfig
from lotus_recon.config import Runtime
from lotus_recon.errors import InputError
from lotus_recon.models.config import PredictionConfig
from lotus_recon.models.spec import model_info
from lotus_recon.stages import Context, Cost, Needs, StageSpec, options_of
from lotus_recon.workspace import file_fingerprint

if TYPE_CHECKING:
    from lotus_recon.scene_job import SceneJob
    from lotus_recon.video.prediction import PredictedFrames
    from lotus_recon.video.steady import SteadyVideo


def max_size_of(job: SceneJob) -> int:
    """Longest edge of the maps in pixels (0: any); stored ones are never resized."""
    stored = options_of(job.config, PredictionConfig).predictions is not None
    return 0 if stored else options_of(job.config, OutputConfig).max_size


def _predict(context: Context[SceneJob], out_dir: Path) -> PredictedFrames:
    from lotus_recon.video import prediction

    options = context.options(PredictionConfig), context.runtime, max_size_of(context.job)
    return prediction.run(context.job, *options, out_dir)


def _load_predicted(folder: Path) -> PredictedFrames:
    from lotus_recon.video.prediction import PredictedFrames

    return PredictedFrames.load(folder)


def _inputs(job: SceneJob) -> dict[str, str]:
    from lotus_recon.models.registry import model_fingerprint
    from lotus_recon.models.registry import options_of as model_options

    config = options_of(job.config, PredictionConfig)
    frames = {"video": file_fingerprint(job.source)} if job.is_video else job.photo_files()
    return {**frames, "model": model_fingerprint(config.model, model_options(config))}


def _check(job: SceneJob) -> None:
    from lotus_recon.models.registry import check_model, fetch_model
    from lotus_recon.models.registry import options_of as model_options
    from lotus_recon.video.footage import check_frames

    config, runtime = options_of(job.config, PredictionConfig), options_of(job.config, Runtime)
    model = check_model(config.model, runtime.device, runtime.dtype, options=model_options(config))
    if "depth" not in model.tasks:
        raise InputError(f"--model {config.model} predicts no depth; choose a model that does, or DEPTH,NORMAL")
    check_frames(job)
    fetch_model(config.model, model_options(config))


def _cost(job: SceneJob) -> Cost:
    """nano's, or reading stored maps; full-size networks take minutes a frame without a GPU."""
    from lotus_recon.geometry.camera import fit_longer_edge
    from lotus_recon.models.costs import seconds_per_photo
    from lotus_recon.video.footage import footage_of

    footage = footage_of(job)
    size = fit_longer_edge(footage.width, footage.height, max_size_of(job))
    seconds = seconds_per_photo(options_of(job.config, PredictionConfig), model_info(job), size, small_s=0.2)
    return Cost(2.0, seconds, 0.5, disk_mb_per_megapixel=15)


def _steady(context: Context[SceneJob], out_dir: Path) -> SteadyVideo:
    from lotus_recon.video import steady

    return steady.run(context[FRAME_PREDICTION], out_dir)


def _load_steady(folder: Path) -> SteadyVideo:
    from lotus_recon.video.steady import SteadyVideo

    return SteadyVideo.load(folder)


FRAME_PREDICTION: StageSpec[SceneJob, PredictedFrames] = StageSpec(
    name="predict",
    summary="depth and normals of every frame, all with the same noise, and the points that neighbours share",
    run=_predict,
    load=_load_predicted,
    options=lambda job: [options_of(job.config, PredictionConfig), max_size_of(job)],
    inputs=_inputs,
    check=_check,
    folder=lambda job: "predicted",
    runtime=lambda job: ("seed", "dtype"),
    cost=_cost,
    libraries=("av",),
    resumable=True,
)
STEADY: StageSpec[SceneJob, SteadyVideo] = StageSpec(
    name="steady",
    summary="the depth of all frames at one scale and shift in each scene, as maps and as videos",
    run=_steady,
    load=_load_steady,
    options=lambda job: [],
    reads=(FRAME_PREDICTION,),
    folder=lambda job: "video",
    needs=Needs(memory_mb=500),
    cost=lambda job: Cost(0.5, 0.02, 0.3, disk_mb_per_megapixel=17),
    libraries=("av",),
)
