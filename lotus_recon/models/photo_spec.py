"""Stage ``predict`` of a single photo: what the network makes of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lotus_recon.calibration.config import OutputConfig
from lotus_recon.models.config import PredictionConfig
from lotus_recon.models.spec import model_info
from lotus_recon.stages import Context, Cost, StageSpec, options_of
from lotus_recon.workspace import file_fingerprint

if TYPE_CHECKING:
    from lotus_recon.photo_job import PhotoJob
    from lotus_recon.types import Prediction

PREDICTION_FILE = "prediction.npz"


def _run(context: Context[PhotoJob], out_dir: Path) -> Prediction:
    """Write prediction.npz and images of its maps. Raises the errors of the network."""
    from lotus_recon.errors import ReconError
    from lotus_recon.io.images import write_png
    from lotus_recon.io.maps import save_prediction
    from lotus_recon.io.visualization import colorize_depth, colorize_normals

    prediction = context.job.predicted
    assert prediction is not None, "photos are predicted in batches before this stage runs"
    if isinstance(prediction, ReconError):
        raise prediction
    prediction = _masked(prediction, context.job)
    save_prediction(out_dir / PREDICTION_FILE, prediction)
    if prediction.depth is not None:
        write_png(out_dir / "depth.png", colorize_depth(prediction.depth))
    if prediction.normals is not None:
        write_png(out_dir / "normals.png", colorize_normals(prediction.normals))
    context.keep(PHOTO_PREDICTION, prediction)
    return prediction


def _masked(prediction: Prediction, job: PhotoJob) -> Prediction:
    """The maps without the pixels that the mask of the photo leaves out. Raises InputError when that is all of them."""
    from lotus_recon.errors import InputError

    usable = job.usable
    if usable is None:
        return prediction
    depth, normals = prediction.depth, prediction.normals
    depth = depth and replace(depth, valid=depth.valid & usable)
    normals = normals and replace(normals, valid=normals.valid & usable)
    first = depth or normals
    if first is None or not first.valid.any():
        raise InputError(f"the mask of {job.label}, {job.mask}, leaves no pixel that has a value")
    return replace(prediction, depth=depth, normals=normals)


def _load(folder: Path) -> Prediction:
    from lotus_recon.io.maps import load_prediction

    return load_prediction(folder / PREDICTION_FILE)


def _inputs(job: PhotoJob) -> dict[str, str]:
    from lotus_recon.models.registry import model_fingerprint
    from lotus_recon.models.registry import options_of as model_options

    config = options_of(job.config, PredictionConfig)
    model = model_fingerprint(config.model, model_options(config))
    files = {"photo": job.photo.path, "mask": job.mask}
    return {**{name: file_fingerprint(path) for name, path in files.items() if path is not None}, "model": model}


def _cost(job: PhotoJob) -> Cost:
    """nano's, or reading stored maps; full-size networks take minutes a photo without a GPU."""
    from lotus_recon.models.costs import seconds_per_photo
    from lotus_recon.scene_job import is_video

    # Before its frames are taken, a video stands for them: tiles are not counted.
    size = (1, 1) if is_video(job.photo.path) else job.size
    seconds = seconds_per_photo(options_of(job.config, PredictionConfig), model_info(job), size, small_s=0.15)
    return Cost(2.0, seconds, 0.3, disk_mb_per_megapixel=15)


PHOTO_PREDICTION: StageSpec[PhotoJob, Prediction] = StageSpec(
    name="predict",
    summary="depth and normals",
    run=_run,
    load=_load,
    options=lambda job: [options_of(job.config, PredictionConfig), options_of(job.config, OutputConfig).max_size],
    inputs=_inputs,
    folder=lambda job: job.photo.stem,
    runtime=lambda job: ("seed", "dtype"),
    cost=_cost,
)
