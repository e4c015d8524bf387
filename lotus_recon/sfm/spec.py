"""Stages ``sfm`` (cameras and sparse points), ``frame`` (the world frame) and ``images`` (undistorted photos)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lotus_recon.errors import InputError
from lotus_recon.frames.spec import FRAMES
from lotus_recon.sfm.config import FrameConfig, SfmConfig, UndistortConfig
from lotus_recon.stages import Context, Cost, Needs, StageSpec, options_of
from lotus_recon.workspace import file_fingerprint, files_fingerprint

if TYPE_CHECKING:
    from lotus_recon.io.images import Photo
    from lotus_recon.scene_job import SceneJob
    from lotus_recon.sfm.images_stage import ImagesResult
    from lotus_recon.sfm.stage import SfmResult


def _sfm_options(job: SceneJob) -> SfmConfig:
    """The options of SfM; frames of a video are in order. How a result came about is none of them (``add``)."""
    config = options_of(job.config, SfmConfig)
    return replace(config, ordered=config.ordered or job.is_video, add=False)


def _run_sfm(context: Context[SceneJob], out_dir: Path) -> SfmResult:
    from lotus_recon.sfm import stage

    job = context.job
    finished = context.folder(SFM) if context.options(SfmConfig).add else None
    inputs = stage.Inputs(job.photos, job.masks, context.runtime, context.kept(SFM), finished)
    return stage.run(inputs, _sfm_options(job), out_dir)


def _load_sfm(folder: Path) -> SfmResult:
    from lotus_recon.sfm.stage import SfmResult

    return SfmResult.load(folder)


def _sfm_inputs(job: SceneJob) -> dict[str, str]:
    config = options_of(job.config, SfmConfig)
    named = {"poses": config.poses, "intrinsics": config.intrinsics, "pairs": config.pairs}
    return job.photo_files() | job.mask_files() | _fingerprints(named)


def _fingerprints(named: Mapping[str, Path | None]) -> dict[str, str]:
    """Of the files, or the files in the folders, that options name: when one is edited, the stage runs again."""
    contents = {}
    for option, path in named.items():
        if path is not None and path.is_dir():
            contents[option] = files_fingerprint({p.name: p for p in sorted(path.iterdir()) if p.is_file()})
        elif path is not None and path.is_file():
            contents[option] = file_fingerprint(path)
    return contents


def _sfm_runtime(job: SceneJob) -> tuple[str, ...]:
    """Features and mapping differ a little from run to run, unless they are told not to."""
    config = options_of(job.config, SfmConfig)
    return ("seed", "deterministic") if config.poses is None or config.triangulate else ()


def _check_sfm(job: SceneJob) -> None:
    """Read every file that the options name, so that it is not found broken an hour later."""
    if not job.has_photos:
        return
    from lotus_recon.io.known_poses import read_known_poses
    from lotus_recon.sfm.images import images_with_priors
    from lotus_recon.sfm.pairs import matcher_for, read_pairs

    config, photos = _sfm_options(job), job.photos
    if len(photos) < 2:
        what = f"video {job.source} gave one frame" if job.is_video else f"{job.root} holds one photo"
        raise InputError(f"{what}, and several are needed; for one photo use pipelines.single_view")
    _ = job.masks  # raises for those that cannot be used
    images_with_priors(photos, config)
    wanted = config.advanced.min_registered
    if wanted > len(photos):
        raise InputError(f"sfm.advanced.min_registered {wanted}: there are only {len(photos)} photos")
    matcher_for(len(photos), config)
    _check_component(config, photos)
    if options_of(job.config, SfmConfig).add and config.poses is not None:
        raise InputError("--add registers photos into a finished model; with --poses all poses are given")
    if config.pairs is not None:
        read_pairs(config.pairs, [photo.name for photo in photos])
    if config.poses is not None:
        read_known_poses(config.poses, photos)


def _check_component(config: SfmConfig, photos: Sequence[Photo]) -> None:
    if config.component is None:
        return
    from lotus_recon.sfm.judgement import fits

    if config.poses is not None:
        raise InputError("--component chooses among photos without poses; it cannot be used with --poses")
    if not any(fits(photo.name, config.component) for photo in photos):
        raise InputError(f"--component {config.component!r} fits the name of no photo (such as {photos[0].name!r})")


def _sfm_cost(job: SceneJob) -> Cost:
    """Given poses spare the mapping, and half of the rest."""
    per_megapixel = 5.0 if options_of(job.config, SfmConfig).poses is None else 2.0
    return Cost(2.0, seconds_per_megapixel=per_megapixel, disk_mb_per_megapixel=4)


SFM: StageSpec[SceneJob, SfmResult] = StageSpec(
    name="sfm",
    summary="cameras, poses and sparse points from COLMAP, or sparse points at given poses",
    run=_run_sfm,
    load=_load_sfm,
    options=_sfm_options,
    reads=(FRAMES,),
    inputs=_sfm_inputs,
    check=_check_sfm,
    runtime=_sfm_runtime,
    needs=Needs(memory_mb=1500),
    cost=_sfm_cost,
    libraries=("pycolmap",),
    resumable=True,
)


def _run_frame(context: Context[SceneJob], out_dir: Path) -> SfmResult:
    from lotus_recon.sfm import frame

    return frame.run(frame.Inputs(context[SFM]), context.options(FrameConfig), out_dir)


def _load_frame(folder: Path) -> SfmResult:
    from lotus_recon.sfm import frame

    return frame.load(folder)


def _frame_inputs(job: SceneJob) -> dict[str, str]:
    scale_from = options_of(job.config, FrameConfig).scale_from
    return _fingerprints({"marks": Path(scale_from) if scale_from else None})


def _check_frame(job: SceneJob) -> None:
    from lotus_recon.sfm import frame

    poses_given = options_of(job.config, SfmConfig).poses is not None
    names = {photo.name for photo in job.photos} if job.has_photos else None
    frame.check(options_of(job.config, FrameConfig), poses_given, names)


FRAME: StageSpec[SceneJob, SfmResult] = StageSpec(
    name="frame",
    summary="the world frame: scale from a known distance, z up from the cameras",
    run=_run_frame,
    load=_load_frame,
    options=lambda job: options_of(job.config, FrameConfig),
    reads=(SFM,),
    inputs=_frame_inputs,
    check=_check_frame,
    folder=lambda job: SFM.name,
    adds_to_folder=True,
    completes=SFM,
    needs=Needs(memory_mb=500),
)


def _run_images(context: Context[SceneJob], out_dir: Path) -> ImagesResult:
    from lotus_recon.sfm import images_stage

    found = context[SFM]  # cameras are the same in every world frame
    inputs = images_stage.Inputs(context.job.photos, found.scene, found.source_cameras, context.job.masks)
    return images_stage.run(inputs, context.options(UndistortConfig), out_dir)


def _load_images(folder: Path) -> ImagesResult:
    from lotus_recon.sfm.images_stage import ImagesResult

    return ImagesResult.load(folder)


IMAGES: StageSpec[SceneJob, ImagesResult] = StageSpec(
    name="images",
    summary="undistorted photos and masks",
    run=_run_images,
    load=_load_images,
    options=lambda job: options_of(job.config, UndistortConfig),
    reads=(SFM,),
    needs=Needs(memory_mb=500),
    resumable=True,
)
