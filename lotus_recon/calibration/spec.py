"""Stage ``calibrate`` of a single photo: its camera, and depth that can be unprojected with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lotus_recon.calibration.config import CameraConfig, OutputConfig
from lotus_recon.models.photo_spec import PHOTO_PREDICTION
from lotus_recon.stages import Context, Cost, StageSpec, options_of
from lotus_recon.workspace import file_fingerprint

if TYPE_CHECKING:
    from lotus_recon.calibration.stage import Calibrated
    from lotus_recon.photo_job import PhotoJob


def _run(context: Context[PhotoJob], out_dir: Path) -> Calibrated:
    from lotus_recon.calibration import stage

    inputs = stage.Inputs(context.job.photo.name, context.job.info, context[PHOTO_PREDICTION])
    options = context.options(CameraConfig), context.options(OutputConfig)
    calibrated = stage.run(inputs, *options, out_dir)
    context.keep(CALIBRATION, calibrated)
    return calibrated


def _load(folder: Path) -> Calibrated:
    from lotus_recon.calibration.stage import Calibrated

    return Calibrated.load(folder)


def _inputs(job: PhotoJob) -> dict[str, str]:
    intrinsics = options_of(job.config, CameraConfig).intrinsics
    return {"intrinsics": file_fingerprint(intrinsics)} if intrinsics else {}


CALIBRATION: StageSpec[PhotoJob, Calibrated] = StageSpec(
    name="calibrate",
    summary="the camera, and the depth at the shift and without the smooth error that the normals show",
    run=_run,
    load=_load,
    options=lambda job: [options_of(job.config, CameraConfig), options_of(job.config, OutputConfig).depth_range_ratio],
    reads=(PHOTO_PREDICTION,),
    inputs=_inputs,
    folder=lambda job: job.photo.stem,
    adds_to_folder=True,
    cost=lambda job: Cost(0.0, 1.7, 0.4, disk_mb_per_megapixel=4.5),
)
