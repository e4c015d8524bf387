"""Stage ``export``: the scene in the formats of other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lotus_recon.consistency.spec import CONSISTENCY, DEPTH
from lotus_recon.exporting.config import ExportConfig
from lotus_recon.exporting.targets import targets_named
from lotus_recon.fusion.cloud_spec import CLOUD
from lotus_recon.meshing.spec import MESH
from lotus_recon.models.spec import PREDICTION
from lotus_recon.sfm.spec import FRAME, IMAGES
from lotus_recon.stages import Context, Cost, StageSpec, options_of

if TYPE_CHECKING:
    from lotus_recon.exporting.scene import Folders
    from lotus_recon.exporting.stage import ExportResult
    from lotus_recon.scene_job import SceneJob


EXPORTED = (FRAME, IMAGES, PREDICTION, *reversed(DEPTH), CONSISTENCY)  # stages whose photos and maps are exported


def _targets(job: SceneJob) -> tuple[str, ...]:
    return targets_named(options_of(job.config, ExportConfig).export)


def export_folders(context: Context[SceneJob]) -> Folders:
    """Where the stages of a scene left their photos and maps."""
    from lotus_recon.exporting.scene import Folders

    return Folders(
        images=context.folder(IMAGES),
        checked=context.folder(CONSISTENCY),
        depth=context.folder(context.first_of(*DEPTH)),
        prediction=context.folder(PREDICTION),
    )


def _run(context: Context[SceneJob], out_dir: Path) -> ExportResult:
    from lotus_recon.exporting import stage
    from lotus_recon.exporting.scene import ExportScene

    cloud, mesh = context[CLOUD].path, context[MESH].mesh_path
    scene = ExportScene(context[FRAME].scene, export_folders(context), cloud, mesh)
    return stage.run(scene, _targets(context.job), out_dir)


def _load(folder: Path) -> ExportResult:
    from lotus_recon.exporting.stage import ExportResult

    return ExportResult.load(folder)


EXPORT: StageSpec[SceneJob, ExportResult] = StageSpec(
    name="export",
    summary="the scene in the formats of other tools",
    run=_run,
    load=_load,
    options=_targets,
    reads=(*EXPORTED, MESH, CLOUD),
    wanted=lambda job: options_of(job.config, ExportConfig).export is not None,
    wanted_with="--export",
    check=_targets,
    libraries=("pycolmap", "open3d"),
    cost=lambda job: Cost(1.0, seconds_per_megapixel=1.0, disk_mb_per_megapixel=15),
)
