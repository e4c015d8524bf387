"""Stage ``texture``: the mesh with the photos on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lotus_recon import native
from lotus_recon.consistency.spec import CONSISTENCY
from lotus_recon.errors import InputError
from lotus_recon.fusion.spec import FUSION
from lotus_recon.meshing.spec import MESH
from lotus_recon.mvs.spec import MVS
from lotus_recon.sfm.spec import FRAME, SFM
from lotus_recon.stages import Context, Cost, Needs, StageSpec, options_of
from lotus_recon.texturing.config import TextureConfig

if TYPE_CHECKING:
    from lotus_recon.scene_job import SceneJob
    from lotus_recon.texturing.stage import TextureResult


def _config(job: SceneJob) -> TextureConfig:
    return options_of(job.config, TextureConfig)


def _run(context: Context[SceneJob], out_dir: Path) -> TextureResult:
    from lotus_recon.texturing import stage
    from lotus_recon.texturing.photos import TexturePhotos

    job, config = context.job, _config(context.job)
    photos = TexturePhotos(
        context[FRAME].scene, job.photos, context[SFM].source_cameras, job.masks, config.advanced.photo_size
    )
    excluded = context[MVS].views if context.has(MVS) else ()
    inputs = stage.Inputs(
        mesh=context[MESH].mesh_path,
        photos=photos,
        depth_dir=context.folder(CONSISTENCY),
        tolerance=_tolerance(context[FUSION].figures),
        outliers=frozenset(view.name for view in excluded if view.status == "excluded"),
    )
    return stage.run(inputs, config, out_dir)


def _tolerance(fusion: dict[str, Any]) -> float:
    """How far fusion may put a surface before or behind its place: a voxel, or two pixels of those that have none."""
    return float(fusion.get("voxel_size", 2 * fusion["pixel_footprint"]))


def _load(folder: Path) -> TextureResult:
    from lotus_recon.texturing.stage import TextureResult

    return TextureResult.load(folder)


def check(job: SceneJob) -> None:
    """Raise InputError for what the photos and libraries do not allow."""
    config = _config(job)
    if config.usdz:
        native.require(["pxr"])
    if job.has_photos and config.holdout_photos >= len(job.photos):
        raise InputError(
            f"--holdout-photos {config.holdout_photos}: there are {len(job.photos)} photos; one must colour"
        )


TEXTURE: StageSpec[SceneJob, TextureResult] = StageSpec(
    name="texture",
    summary="the mesh with the photos on it: charts, one texture, GLB and OBJ",
    run=_run,
    load=_load,
    options=_config,
    reads=(SFM, FRAME, MVS, CONSISTENCY, FUSION, MESH),
    wanted=lambda job: _config(job).texture,
    wanted_with="--texture",
    inputs=lambda job: job.photo_files() | job.mask_files(),
    check=check,
    needs=Needs(memory_mb=2000),
    cost=lambda job: Cost(10.0, seconds_per_megapixel=3.0, disk_mb_per_megapixel=6.5),
    libraries=("numba", "open3d"),
)
