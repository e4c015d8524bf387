"""Stages ``maps``: depth and normals of a scene or of a photo as 16-bit PNG and OpenEXR."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lotus_recon.calibration.spec import CALIBRATION
from lotus_recon.exporting.map_formats import NPZ, check_formats, extra_formats
from lotus_recon.exporting.maps_config import MapFilesConfig
from lotus_recon.exporting.spec import EXPORTED, export_folders
from lotus_recon.models.photo_spec import PHOTO_PREDICTION
from lotus_recon.sfm.spec import FRAME
from lotus_recon.stages import Context, Cost, StageSpec, options_of

if TYPE_CHECKING:
    from lotus_recon.photo_job import PhotoJob
    from lotus_recon.scene_job import SceneJob

FOLDER = "maps"


def _text(job: Any) -> str:
    return options_of(job.config, MapFilesConfig).maps


def _is_wanted(job: Any) -> bool:
    return _text(job).strip() != NPZ


def _run_scene(context: Context[SceneJob], out_dir: Path) -> Path:
    from lotus_recon.exporting.map_files import write_map_files
    from lotus_recon.exporting.scene import ExportViews
    from lotus_recon.types import DepthKind, DepthMap

    scene = ExportViews(context[FRAME].scene, export_folders(context))
    formats = extra_formats(_text(context.job))
    kind = DepthKind.METRIC if scene.scene.metric else DepthKind.SCENE
    for original, view in zip(scene.names, scene.views(), strict=True):
        depth = DepthMap(view.depth, view.depth > 0, kind)
        folder = out_dir / Path(original).with_suffix("")
        write_map_files(folder, depth if view.has_depth else None, view.normals, scene.unit, formats)
    return out_dir


def _run_photo(context: Context[PhotoJob], out_dir: Path) -> Path:
    from lotus_recon.exporting.map_files import write_map_files
    from lotus_recon.types import DepthKind

    depth, normals = context[CALIBRATION].depth, context[PHOTO_PREDICTION].normals
    unit = "metres" if depth is not None and depth.kind is DepthKind.METRIC else "unknown"
    write_map_files(out_dir / FOLDER, depth, normals, unit, extra_formats(_text(context.job)))
    return out_dir


def _load(folder: Path) -> Path:
    return folder


def _check(job: Any) -> None:
    check_formats(_text(job))


MAPS: StageSpec[SceneJob, Path] = StageSpec(
    name=FOLDER,
    summary="depth and normals as 16-bit PNG and OpenEXR",
    run=_run_scene,
    load=_load,
    options=lambda job: extra_formats(_text(job)),
    reads=EXPORTED,
    wanted=_is_wanted,
    wanted_with="--maps",
    check=_check,
    cost=lambda job: Cost(0.5, seconds_per_megapixel=0.5, disk_mb_per_megapixel=8),
)
PHOTO_MAPS: StageSpec[PhotoJob, Path] = StageSpec(
    name=FOLDER,
    summary="depth and normals as 16-bit PNG and OpenEXR",
    run=_run_photo,
    load=_load,
    options=lambda job: extra_formats(_text(job)),
    reads=(PHOTO_PREDICTION, CALIBRATION),
    wanted=_is_wanted,
    wanted_with="--maps",
    check=_check,
    folder=lambda job: job.photo.stem,
    adds_to_folder=True,
    cost=lambda job: Cost(0.0, seconds_per_megapixel=0.3, disk_mb_per_megapixel=20),
)
