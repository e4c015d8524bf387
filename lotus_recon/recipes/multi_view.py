"""A folder of photos in; poses, depth per view and one mesh out. One stage after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lotus_recon.alignment import stage as alignment
from lotus_recon.alignment.anchors import held_out_points
from lotus_recon.alignment.results import AlignmentResult
from lotus_recon.consistency import stage as consistency
from lotus_recon.errors import InputError
from lotus_recon.fusion import stage as fusion
from lotus_recon.io.images import MASKS_FOLDER, Photo, list_photos
from lotus_recon.io.known_poses import read_known_poses
from lotus_recon.models import stage as prediction
from lotus_recon.models.base import resolve_device
from lotus_recon.models.precomputed import STORED_KINDS, check_predictions
from lotus_recon.models.registry import check_model, fetch_model, maker_of, model_fingerprint
from lotus_recon.normal_integration import stage as normal_integration
from lotus_recon.recipes.config import MultiViewConfig
from lotus_recon.recipes.engine import Results, Stage
from lotus_recon.recipes.output_folder import OWN_FILES, check_apart
from lotus_recon.recipes.photos import mask_files, refuse_broken
from lotus_recon.refinement import stage as refinement
from lotus_recon.refinement.results import RefinementResult
from lotus_recon.reporting import stage as report
from lotus_recon.sfm import frame, images_stage
from lotus_recon.sfm import stage as sfm
from lotus_recon.sfm.config import FrameConfig, SfmConfig
from lotus_recon.sfm.pairs import matcher_for, read_pairs
from lotus_recon.sfm.shots import survey
from lotus_recon.types import BoolArray, DepthKind, Scene
from lotus_recon.workspace import file_fingerprint, files_fingerprint, to_plain

RunStage = Callable[[Results, Path], Any]

# On the command line, in order.
STAGES = ("sfm", "images", "prediction", "alignment", "refinement", "integration", "consistency", "fusion", "report")
WITHOUT_MODEL = ("sfm", "images")


@dataclass(frozen=True)
class Job:
    """One scene, checked."""

    root: Path
    photos: tuple[Photo, ...]
    masks: Mapping[str, Path]  # by name of the photo
    config: MultiViewConfig
    model_name: str  # file-safe; empty when no stage of this run needs a model


def check_job(
    root: Path, config: MultiViewConfig, out: Path, only: str | None = None, decode_photos: bool = True
) -> Job:
    """The job of a command line. Raises InputError for everything that can be found before any long work.

    ``decode_photos`` looks for broken photos, which takes time: a caller that has just done it may leave it out.
    """
    written = [*STAGES, *OWN_FILES]
    check_apart(out, written, _paths(root, config))
    masks_folder = config.scene.masks or (root / MASKS_FOLDER if (root / MASKS_FOLDER).is_dir() else None)
    photos = tuple(list_photos(root, exclude=[masks_folder] if masks_folder else []))
    if len(photos) < 2:
        raise InputError(f"{root} holds one photo, and several are needed; for one photo use pipelines.single_view")
    if decode_photos:
        refuse_broken(photos)
    masks = mask_files(photos, masks_folder)
    names = {photo.name for photo in photos}
    frame.check(_frame_config(config), config.sfm.poses is not None, names)
    resolve_device(config.runtime.device)
    _check_sfm(config, photos)
    alignment.check_config(config.alignment)
    refinement.check_config(config.refinement)
    normal_integration.check_config(config.integration)
    fusion.check_config(config.fusion)
    if config.alignment.align == "none" and not (config.sfm.pose_unit == "m" or config.scene.scale_from):
        raise InputError("--align none passes metric depth through: the poses must be metric too (--pose-unit m)")
    model_name = "" if only in WITHOUT_MODEL else _check_model(config, photos)
    return Job(root, photos, masks, config, model_name)


def _paths(root: Path, config: MultiViewConfig) -> dict[str, Path | None]:
    """Every path that the options name, by what it is."""
    return {
        "photo folder": root,
        "--predictions": config.prediction.predictions,
        "--masks": config.scene.masks,
        "--poses": config.sfm.poses,
        "--pairs": config.sfm.pairs,
        "--intrinsics": config.sfm.intrinsics,
    }


def _check_sfm(config: MultiViewConfig, photos: tuple[Photo, ...]) -> None:
    """Read every file that the options name, so that it is not found broken an hour later."""
    survey(photos, config.sfm)
    if config.sfm.min_registered > len(photos):
        raise InputError(f"--min-registered {config.sfm.min_registered}: there are only {len(photos)} photos")
    matcher_for(len(photos), config.sfm)
    if config.sfm.pairs is not None:
        read_pairs(config.sfm.pairs, [photo.name for photo in photos])
    if config.sfm.poses is not None:
        read_known_poses(config.sfm.poses, photos)


def _check_model(config: MultiViewConfig, photos: tuple[Photo, ...]) -> str:
    options = prediction.options_of(config.prediction)
    runtime = config.runtime
    info = check_model(config.prediction.model, runtime.device, runtime.dtype, options=options)
    if "depth" not in info.tasks:
        raise InputError(f"--model {config.prediction.model} predicts no depth; name one that does, or DEPTH,NORMAL")
    if config.fusion.fusion == "normal" and "normal" not in info.tasks:
        raise InputError(
            f"--fusion normal: {maker_of(config.prediction)} no normals; name a model that predicts them, "
            "DEPTH,NORMAL, or --predictions with the array normals"
        )
    if config.prediction.predictions is not None:
        as_it_is = config.alignment.align == "none"
        check_predictions(config.prediction.predictions, photos, {DepthKind.METRIC} if as_it_is else STORED_KINDS)
    fetch_model(config.prediction.model, options)
    return info.name


def stages(job: Job) -> list[Stage]:
    """The recipe: every stage, what it reads and what changes it."""
    config = job.config
    photos = {"photos": files_fingerprint({photo.name: photo.path for photo in job.photos})}
    masks = {"masks": files_fingerprint(job.masks)}
    given = photos | masks | _given_files(config)
    repeat = {"seed": config.runtime.seed, "deterministic": config.runtime.deterministic}

    def stage(name: str, options: Any, run: RunStage, result: Any, after: str = "", **more: Any) -> Stage:
        folder = more.pop("folder", name)
        return Stage(name, folder, {"options": options, **repeat}, run, result.load, tuple(after.split()), **more)

    depth, checked = depth_stage(config), checked_stage(config)
    recipe = [
        stage(
            "sfm", [_without_paths(config.sfm), config.scene.gravity], _sfm(job), frame, inputs=given, resumable=True
        ),
        stage("images", config.undistort, _images(job), images_stage.ImagesResult, "sfm"),
        stage(
            "prediction",
            [replace(config.prediction, predictions=None), config.runtime.dtype],
            _prediction(job),
            prediction.PredictionResult,
            "sfm images",
            folder=f"prediction/{job.model_name}",
            inputs=masks | _model_files(job),
            resumable=True,
        ),
        stage("alignment", config.alignment, _alignment(job), AlignmentResult, "sfm prediction"),
        stage(
            "refinement",
            [config.refinement, config.alignment.holdout],
            _refinement(job),
            RefinementResult,
            "sfm images prediction alignment",
        ),
        stage(
            "integration",
            [config.integration, config.alignment.holdout],
            _integration(job),
            normal_integration.IntegratedViews,
            f"sfm prediction {depth}",
        ),
        stage("consistency", config.consistency, _consistency(job), consistency.ConsistencyResult, f"sfm {checked}"),
        stage(
            "fusion",
            [config.fusion, config.mesh],
            _fusion(job),
            fusion.FusionResult,
            f"sfm images consistency{' prediction integration' if checked == 'integration' else ''}",
            folder=f"fusion/{config.fusion.fusion}",
        ),
    ]
    unused = {"refinement", "integration"} - {depth, checked}
    recipe = [one for one in recipe if one.name not in unused]
    after = " ".join(one.name for one in recipe)
    return [*recipe, stage("report", config.report, _report(job), report.ReportResult, after)]


def depth_stage(config: MultiViewConfig) -> str:
    """The stage that places the depth. Metric depth that is passed through stays as it is."""
    return "refinement" if config.refinement.refine and config.alignment.align != "none" else "alignment"


def checked_stage(config: MultiViewConfig) -> str:
    """The stage whose depth the other views check."""
    return "integration" if config.fusion.fusion == "normal" else depth_stage(config)


def _without_paths(config: SfmConfig) -> SfmConfig:
    """The options without the files they name, whose contents count and not where they are."""
    return replace(config, poses=None, intrinsics=None, pairs=None)


def _given_files(config: MultiViewConfig) -> dict[str, str]:
    """Fingerprints of the files that options name: when one is edited, the stage runs again."""
    marks = Path(config.scene.scale_from) if config.scene.scale_from else None
    named = {"poses": config.sfm.poses, "intrinsics": config.sfm.intrinsics, "pairs": config.sfm.pairs, "marks": marks}
    found = {}
    for option, path in named.items():
        if path is not None and path.is_dir():
            found[option] = files_fingerprint({p.name: p for p in sorted(path.iterdir()) if p.is_file()})
        elif path is not None and path.is_file():
            found[option] = file_fingerprint(path)
    if config.scene.scale_from and "marks" not in found:
        found["distance"] = config.scene.scale_from
    return found


def _frame_config(config: MultiViewConfig) -> FrameConfig:
    return FrameConfig(config.scene.scale_from, config.scene.gravity)


def _model_files(job: Job) -> dict[str, str]:
    if not job.model_name:
        return {}
    return {"model": model_fingerprint(job.config.prediction.model, prediction.options_of(job.config.prediction))}


def _sfm(job: Job) -> RunStage:
    def run(results: Results, out_dir: Path) -> sfm.SfmResult:
        found = sfm.run(sfm.Inputs(job.photos, job.masks, job.config.runtime), job.config.sfm, out_dir)
        return frame.run(frame.Inputs(found), _frame_config(job.config), out_dir)

    return run


def _images(job: Job) -> RunStage:
    def run(results: Results, out_dir: Path) -> images_stage.ImagesResult:
        placed: sfm.SfmResult = results["sfm"]
        inputs = images_stage.Inputs(job.photos, placed.scene, placed.source_cameras)
        return images_stage.run(inputs, job.config.undistort, out_dir)

    return run


def _prediction(job: Job) -> RunStage:
    def run(results: Results, out_dir: Path) -> prediction.PredictionResult:
        placed: sfm.SfmResult = results["sfm"]
        inputs = prediction.Inputs(
            placed.scene, results.folder("images"), job.root, placed.source_cameras, job.masks, job.config.runtime
        )
        return prediction.run(inputs, job.config.prediction, out_dir)

    return run


def _alignment(job: Job) -> RunStage:
    def run(results: Results, out_dir: Path) -> AlignmentResult:
        inputs = alignment.Inputs(results["sfm"].scene, results.folder("prediction"), job.config.runtime)
        return alignment.run(inputs, job.config.alignment, out_dir)

    return run


def _refinement(job: Job) -> RunStage:
    def run(results: Results, out_dir: Path) -> RefinementResult:
        scene, aligned, config = results["sfm"].scene, results["alignment"], job.config.alignment
        inputs = refinement.Inputs(
            scene=scene,
            images_dir=results.folder("images"),
            depth_dir=aligned.folder,
            relative_error=aligned.own_errors,
            scored_points=_scored_points(job, scene),
            held_out=config.holdout_strict,
            runtime=job.config.runtime,
            prediction_dir=results.folder("prediction"),
        )
        return refinement.run(inputs, job.config.refinement, out_dir)

    return run


def _scored_points(job: Job, scene: Scene) -> BoolArray:
    """(P,) the points that the alignment held out; the others where it held out none."""
    held = held_out_points(scene, job.config.alignment.holdout, job.config.runtime.seed)
    return held if held.any() else ~held


def _integration(job: Job) -> RunStage:
    def run(results: Results, out_dir: Path) -> normal_integration.IntegratedViews:
        scene = results["sfm"].scene
        depth_dir, prediction_dir = results.folder(depth_stage(job.config)), results.folder("prediction")
        inputs = normal_integration.Inputs(
            scene, depth_dir, prediction_dir, _scored_points(job, scene), job.config.runtime
        )
        return normal_integration.run(inputs, job.config.integration, out_dir)

    return run


def _consistency(job: Job) -> RunStage:
    def run(results: Results, out_dir: Path) -> consistency.ConsistencyResult:
        depth_dir = results.folder(checked_stage(job.config))
        inputs = consistency.Inputs(results["sfm"].scene, depth_dir, job.config.runtime)
        return consistency.run(inputs, job.config.consistency, out_dir)

    return run


def _fusion(job: Job) -> RunStage:
    def run(results: Results, out_dir: Path) -> fusion.FusionResult:
        bending = None
        if job.config.fusion.fusion == "normal":
            bending = fusion.Bending(results.folder("prediction"), results["integration"].integration_scale)
        inputs = fusion.Inputs(
            results["sfm"].scene,
            results.folder("consistency"),
            results.folder("images"),
            job.config.runtime,
            bending,
            job.config.mesh,
        )
        return fusion.run(inputs, job.config.fusion, out_dir)

    return run


def _report(job: Job) -> RunStage:
    def run(results: Results, out_dir: Path) -> report.ReportResult:
        placed: sfm.SfmResult = results["sfm"]
        fused: fusion.FusionResult = results["fusion"]
        refined = depth_stage(job.config) == "refinement"
        files = {"mesh.ply": fused.mesh_path, "mesh.glb": fused.glb_path, "options": results.workspace.config_file}
        inputs = report.Inputs(
            scene=placed.scene,
            images_dir=results.folder("images"),
            photos=tuple(photo.name for photo in job.photos),
            prediction_dir=results.folder("prediction"),
            alignment_dir=results.folder("alignment"),
            refinement_dir=results.folder("refinement") if refined else None,
            scored_points=_scored_points(job, placed.scene),
            consistency_dir=results.folder("consistency"),
            mesh=fused.mesh_path,
            stages=results.infos(),
            figures=_figures(results, job.config),
            links={text: f"../{path.relative_to(results.workspace.root).as_posix()}" for text, path in files.items()},
            title=f"Reconstruction of {_scene_name(job.root.resolve())}",
        )
        return report.run(inputs, job.config.report, out_dir)

    return run


def _scene_name(root: Path) -> str:
    """The folder's name, or that of the folder around it where the photos lie in ``images``."""
    return root.parent.name if root.name.lower() in ("images", "photos", "rgb", "color") else root.name


def _figures(results: Results, config: MultiViewConfig) -> dict[str, Any]:
    """What the stages measured, by heading of the report."""
    ran = {depth_stage(config), checked_stage(config)}
    aligned: AlignmentResult = results["alignment"]
    checked: consistency.ConsistencyResult = results["consistency"]
    return {
        "cameras": results["sfm"].report,
        "alignment": {"local correction": aligned.local_strength, **to_plain(aligned.medians)},
        "alignment of each view": [to_plain(view) for view in aligned.views],
        **{
            f"{stage} of each view": [to_plain(view) for view in results[stage].views]
            for stage in ("refinement", "integration")
            if stage in ran
        },
        "consistency of each view": [to_plain(view) for view in checked.views],
        "fusion": results["fusion"].figures,
    }
