"""Stage ``view`` of a single photo: its page in 3D."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lotus_recon.calibration.spec import CALIBRATION
from lotus_recon.meshing.config import SurfaceConfig
from lotus_recon.meshing.photo_spec import PHOTO_MESH
from lotus_recon.models.photo_spec import PHOTO_PREDICTION
from lotus_recon.stages import Context, Cost, StageSpec, options_of
from lotus_recon.viewing.config import ViewConfig

if TYPE_CHECKING:
    from lotus_recon.photo_job import PhotoJob

PAGE_FILE = "view.html"


def _config(job: PhotoJob) -> ViewConfig:
    return options_of(job.config, ViewConfig)


def _run(context: Context[PhotoJob], out_dir: Path) -> Path:
    from lotus_recon.viewing.page import write_page
    from lotus_recon.viewing.photo import PhotoFiles, shown_photo

    job, calibrated = context.job, context[CALIBRATION]
    files = PhotoFiles(
        name=job.photo.name,
        photo=job.photo.path,
        folder=context[PHOTO_MESH],
        camera=calibrated.camera,
        depth=calibrated.depth,
        normals=context[PHOTO_PREDICTION].normals,
        source=calibrated.source,
        surface=context.options(SurfaceConfig),
        size=_config(job).view_size,
        doubt=calibrated.doubt,
    )
    write_page(shown_photo(files), out_dir / PAGE_FILE)
    return out_dir


PHOTO_VIEW: StageSpec[PhotoJob, Path] = StageSpec(
    name="view",
    summary="a page that shows the photo in 3D, opened from disk",
    run=_run,
    load=lambda folder: folder,
    options=_config,
    reads=(PHOTO_PREDICTION, CALIBRATION, PHOTO_MESH),
    wanted=lambda job: _config(job).view,
    wanted_with="--view",
    folder=lambda job: job.photo.stem,
    adds_to_folder=True,
    cost=lambda job: Cost(0.0, 0.25, 0.45, disk_mb_per_megapixel=8),
)
