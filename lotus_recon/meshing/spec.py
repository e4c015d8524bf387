"""Stage ``mesh``: the fused surface, cleaned, simplified and refined by normals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lotus_recon.consistency.spec import CONSISTENCY
from lotus_recon.fusion.spec import FUSION
from lotus_recon.meshing.config import MeshConfig
from lotus_recon.models.spec import PREDICTION
from lotus_recon.normal_integration.spec import INTEGRATION
from lotus_recon.sfm.spec import FRAME
from lotus_recon.stages import Context, Cost, Needs, StageSpec, options_of
from lotus_recon.uncertainty.spec import UNCERTAINTY

if TYPE_CHECKING:
    from lotus_recon.meshing.stage import MeshResult, NormalGuide
    from lotus_recon.scene_job import SceneJob


def _run(context: Context[SceneJob], out_dir: Path) -> MeshResult:
    from lotus_recon.meshing import stage

    fused = context[FUSION]
    inputs = stage.Inputs(
        scene=context[FRAME].scene,
        fused=fused.mesh_path,
        depth_dir=context.folder(CONSISTENCY),
        guide=_guide(context) if context.has(INTEGRATION) else None,
        sigma_dir=context.folder(UNCERTAINTY),
        truncation=float(fused.figures.get("truncation", 2 * fused.pixel_footprint)),
    )
    return stage.run(inputs, context.options(MeshConfig), out_dir)


def _guide(context: Context[SceneJob]) -> NormalGuide:
    """Where normals were integrated, the mesh follows them up to the same scale."""
    import numpy as np

    from lotus_recon.meshing.stage import NormalGuide

    longer_side_px = float(np.median([max(view.camera.size) for view in context[FRAME].scene.views]))
    scale = context[INTEGRATION].integration_scale * longer_side_px * context[FUSION].pixel_footprint
    return NormalGuide(context.folder(PREDICTION), context.folder(CONSISTENCY), scale)


def _load(folder: Path) -> MeshResult:
    from lotus_recon.meshing.stage import MeshResult

    return MeshResult.load(folder)


MESH: StageSpec[SceneJob, MeshResult] = StageSpec(
    name="mesh",
    summary="the mesh without small islands, simplified, and refined by the normals where they were integrated",
    run=_run,
    load=_load,
    options=lambda job: options_of(job.config, MeshConfig),
    reads=(FRAME, PREDICTION, INTEGRATION, CONSISTENCY, UNCERTAINTY, FUSION),
    needs=Needs(memory_mb=2000),
    cost=lambda job: Cost(1.0, seconds_per_megapixel=1.0, disk_mb_per_megapixel=6.5),
    libraries=("open3d",),
)
