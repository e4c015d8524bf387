"""Stage ``uncertainty`` of a single photo: how far its depth may be off, up to one factor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lotus_recon.calibration.spec import CALIBRATION
from lotus_recon.models.photo_spec import PHOTO_PREDICTION
from lotus_recon.stages import Context, Cost, StageSpec

if TYPE_CHECKING:
    from lotus_recon.photo_job import PhotoJob


def _run(context: Context[PhotoJob], out_dir: Path) -> Path:
    from lotus_recon.uncertainty import photo

    calibrated = context[CALIBRATION]
    if calibrated.depth is not None:
        normals = context[PHOTO_PREDICTION].normals
        photo.run(context.job.photo.name, calibrated.depth, normals, calibrated.camera, out_dir)
    return out_dir


PHOTO_UNCERTAINTY: StageSpec[PhotoJob, Path] = StageSpec(
    name="uncertainty",
    summary="the standard deviation of the depth of every pixel, as learnt on rendered photos",
    run=_run,
    load=lambda folder: folder,
    options=lambda job: None,
    reads=(PHOTO_PREDICTION, CALIBRATION),
    folder=lambda job: job.photo.stem,
    adds_to_folder=True,
    cost=lambda job: Cost(0.0, 0.3, 0.1, disk_mb_per_megapixel=3),
)
