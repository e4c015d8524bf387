"""Stage ``report``: a page about all stages of a reconstruction."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lotus_recon.adaptation.spec import ADAPTATION
from lotus_recon.alignment.config import AlignmentConfig
from lotus_recon.alignment.spec import ALIGNMENT, scored_points
from lotus_recon.consistency.spec import CONSISTENCY, DEPTH
from lotus_recon.fusion.cloud_spec import CLOUD
from lotus_recon.fusion.spec import FUSION
from lotus_recon.meshing.spec import MESH
from lotus_recon.models.spec import PREDICTION
from lotus_recon.mvs.spec import MVS
from lotus_recon.normal_integration.spec import INTEGRATION
from lotus_recon.reporting.config import ReportConfig
from lotus_recon.sfm.spec import FRAME, IMAGES
from lotus_recon.stages import Context, Cost, Needs, StageSpec, options_of
from lotus_recon.texturing.spec import TEXTURE
from lotus_recon.uncertainty.spec import UNCERTAINTY
from lotus_recon.viewing.config import ViewConfig
from lotus_recon.workspace import to_plain

if TYPE_CHECKING:
    from lotus_recon.reporting.stage import ReportResult
    from lotus_recon.scene_job import SceneJob
    from lotus_recon.viewing.scene import Files


def _run(context: Context[SceneJob], out_dir: Path) -> ReportResult:
    from lotus_recon.reporting import stage

    job, workspace, mesh = context.job, context.workspace, context[MESH]
    title = f"Reconstruction of {_scene_name(job)}"
    textured = {"textured mesh.glb": context[TEXTURE].glb_path} if context.has(TEXTURE) else {}
    files = {
        **textured,
        "mesh.ply": mesh.mesh_path,
        "mesh.glb": mesh.glb_path,
        "dense.ply": context[CLOUD].path,
        "options": workspace.config_file,
    }
    inputs = stage.Inputs(
        scene=context[FRAME].scene,
        images_dir=context.folder(IMAGES),
        photos=tuple(photo.name for photo in job.photos),
        prediction_dir=context.folder(PREDICTION),
        alignment_dir=context.folder(ALIGNMENT),
        mvs_dir=context.folder(MVS) if context.has(MVS) else None,
        adapted_dir=_adapted_dir(context),
        scored_points=scored_points(context),
        consistency_dir=context.folder(CONSISTENCY),
        uncertainty_dir=context.folder(UNCERTAINTY),
        mesh=mesh.mesh_path,
        textured_mesh=context[TEXTURE].glb_path if context.has(TEXTURE) else None,
        stages=context.finished(),
        figures=_figures(context),
        links={text: f"../{path.relative_to(workspace.root).as_posix()}" for text, path in files.items()},
        title=title,
        page=_page(context, title) if context.options(ViewConfig).view else None,
    )
    return stage.run(inputs, context.options(ReportConfig), out_dir)


def _page(context: Context[SceneJob], title: str) -> Files:
    """What the 3D page shows."""
    from lotus_recon.viewing.scene import Files, facts_of

    depth = [stage for stage in (CONSISTENCY, *DEPTH) if context.has(stage)]
    stereo = to_plain(context[MVS].views) if context.has(MVS) else []
    return Files(
        title=title,
        scene=context[FRAME].scene,
        images_dir=context.folder(IMAGES),
        prediction_dir=context.folder(PREDICTION),
        depth_dirs=[context.folder(stage) for stage in depth],
        mesh=context[MESH].mesh_path,
        textured=context[TEXTURE].glb_path if context.has(TEXTURE) else None,
        cloud=context[CLOUD].path,
        facts=facts_of(to_plain(context[ALIGNMENT].views), stereo),
        poses_given=bool(context[FRAME].report["poses_given"]),
        size=context.options(ViewConfig).view_size,
    )


def _adapted_dir(context: Context[SceneJob]) -> Path | None:
    """Aligned depth of the adapted network; None where there is none, or it was refused."""
    return context[ADAPTATION].aligned_dir if context.has(ADAPTATION) and context[ADAPTATION].adapted else None


def _scene_name(job: SceneJob) -> str:
    """The name of the video or the folder; that of the folder around it where the photos lie in ``images``."""
    source = job.source.resolve()
    if job.is_video:
        return source.stem
    return source.parent.name if source.name.lower() in ("images", "photos", "rgb", "color") else source.name


def _figures(context: Context[SceneJob]) -> dict[str, Any]:
    """What the stages measured, by heading of the report."""
    from lotus_recon.reporting.uncertainty import uncertainty_figures

    aligned = context[ALIGNMENT]
    return {
        "cameras": context[FRAME].report,
        "alignment": {"local correction": aligned.local_strength, **to_plain(aligned.medians)},
        "alignment of each view": [to_plain(view) for view in aligned.views],
        **({"stereo of each view": to_plain(context[MVS].views)} if context.has(MVS) else {}),
        **({"adaptation": context[ADAPTATION].figures} if context.has(ADAPTATION) else {}),
        **({"integration of each view": to_plain(context[INTEGRATION].views)} if context.has(INTEGRATION) else {}),
        "consistency of each view": [to_plain(view) for view in context[CONSISTENCY].views],
        "uncertainty": uncertainty_figures(context[UNCERTAINTY], context[FRAME].scene.views),
        "fusion": context[FUSION].figures,
        "cloud": context[CLOUD].figures,
        "mesh": context[MESH].figures,
        **({"texture": context[TEXTURE].figures} if context.has(TEXTURE) else {}),
    }


def _load(folder: Path) -> ReportResult:
    from lotus_recon.reporting.stage import ReportResult

    return ReportResult.load(folder)


REPORT: StageSpec[SceneJob, ReportResult] = StageSpec(
    name="report",
    summary="a page with images, figures and warnings of all stages",
    run=_run,
    load=_load,
    options=lambda job: [
        options_of(job.config, ReportConfig),
        options_of(job.config, ViewConfig),
        options_of(job.config, AlignmentConfig).holdout,
    ],
    reads=None,
    runtime=lambda job: ("seed",),
    needs=Needs(memory_mb=1500),
    cost=lambda job: Cost(8.0, seconds_per_megapixel=0.5, disk_mb_per_megapixel=3),
    libraries=("open3d",),
)
