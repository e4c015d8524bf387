"""The task reconstruction: a surface against a reference, in the reference's frame and unit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lotus_recon import __version__
from lotus_recon.errors import InputError
from lotus_recon.evaluation import surface_masks as masks
from lotus_recon.evaluation.config import SurfaceConfig
from lotus_recon.evaluation.pose_files import read_poses
from lotus_recon.evaluation.registration import after, by_icp, from_cameras, identity, matrix_of
from lotus_recon.evaluation.surface_inputs import PosedMap, points_of_maps, read_posed_maps, read_surface
from lotus_recon.evaluation.surfaces import (
    Points,
    Surface,
    mixed_distances,
    samples_for,
    summary,
    tolerance_table,
    uniform_samples,
)
from lotus_recon.evaluation.tables import markdown
from lotus_recon.geometry.pose import Similarity
from lotus_recon.io.cameras import is_colmap_model
from lotus_recon.types import BoolArray, Mesh
from lotus_recon.workspace import write_atomically, write_json


@dataclass(frozen=True, eq=False)
class SurfaceJob:
    """The two sides of a run, read and checked."""

    config: SurfaceConfig
    pred: Surface
    reference: Surface
    maps: tuple[PosedMap, ...]  # of the reference, where it is depth maps
    spacing: float


@dataclass(frozen=True)
class SurfaceScores:
    """Scores of a surface: distances, a row per threshold, and the alignment."""

    distances: dict[str, float]
    table: list[dict[str, float]]
    alignment: dict[str, Any]
    samples: tuple[int, int]  # of the prediction and of the reference, after masks


def check_job(config: SurfaceConfig) -> SurfaceJob:
    """Read both sides. Raises InputError for options that contradict each other and files that cannot be used."""
    if config.pred is None or config.reference is None:
        raise InputError("reconstruction needs --pred and --reference")
    if not config.thresholds:
        raise InputError("reconstruction needs --thresholds, one or more lengths")
    if config.align == "cameras" and (config.pred_poses is None or config.reference_poses is None):
        raise InputError("--align cameras needs --pred-poses and --reference-poses")
    if config.box:
        masks.inside_box(np.zeros((0, 3)), config.box)
    spacing = config.spacing or min(config.thresholds) / 2
    maps = tuple(_reference_maps(config))
    if config.seen_only and not maps:
        raise InputError("--seen-only needs reference depth maps: --reference FOLDER with --reference-poses")
    reference = points_of_maps(maps, spacing) if maps else read_surface(config.reference)
    pred = read_surface(config.pred)
    is_scaled = config.align == "none"  # otherwise the area depends on the alignment of the cameras
    for path, surface, is_final in ((config.pred, pred, is_scaled), (config.reference, reference, True)):
        if isinstance(surface, Mesh) and is_final:
            samples_for(surface, spacing, str(path))
    return SurfaceJob(config, pred, reference, maps, spacing)


def _reference_maps(config: SurfaceConfig) -> list[PosedMap]:
    assert config.reference is not None  # by check_job
    if not config.reference.is_dir() or is_colmap_model(config.reference):
        return []
    if config.reference_poses is None:
        raise InputError(f"{config.reference} is a folder of depth maps; give their cameras with --reference-poses")
    return read_posed_maps(config.reference, config.reference_poses)


def run_job(job: SurfaceJob, out: Path) -> SurfaceScores:
    """Align, sample, mask and measure; write ``summary.json`` and ``table.md``."""
    scores = score(job)
    write_json(
        out / "summary.json",
        {
            "task": "reconstruction",
            "unit": "unit of the reference; shares in [0, 1]",
            "scores": scores.distances,
            "tolerances": scores.table,
            "alignment": scores.alignment,
            "samples": {"prediction": scores.samples[0], "reference": scores.samples[1]},
            "spacing": job.spacing,
            "protocol": job.config,
            "version": __version__,
        },
    )
    rows = [[name, f"{value:.6g}"] for name, value in scores.distances.items()]
    tolerances = [[f"{value:.4g}" for value in row.values()] for row in scores.table]
    aligned = [[name, f"{value:.6g}"] for name, value in scores.alignment.items() if isinstance(value, float | int)]
    lines = [
        *markdown(["score (unit of the reference)", "value"], rows),
        "",
        *markdown(["threshold", "precision", "recall", "F-score"], tolerances),
        *(["", *markdown(["alignment", "value"], aligned)] if aligned else []),
        "",
    ]
    write_atomically(out / "table.md", lambda part: part.write_text("\n".join(lines), encoding="utf-8"))
    return scores


def score(job: SurfaceJob) -> SurfaceScores:
    """Scores of the prediction in the frame of the reference. Raises InputError when masks exclude all points."""
    config = job.config
    reference = _reference_samples(job)
    similarity, report = _aligned(job, reference)
    moved = _moved(job.pred, similarity)
    pred = _cut(uniform_samples(moved, job.spacing, config.seed), config)
    judged_pred, judged_reference = pred[_judged_pred(pred, job)], reference[_judged_reference(reference, config)]
    for what, points in (("prediction", judged_pred), ("reference", judged_reference)):
        if len(points) == 0:
            raise InputError(f"the masks exclude all points of the {what}; are both sides in the same frame?")
    whole = config.exact and not (config.box or config.crop or config.dtu_mask)  # what is cut has no triangles left
    to_pred = moved if whole and isinstance(moved, Mesh) else pred
    to_reference = job.reference if whole and isinstance(job.reference, Mesh) else reference
    distances = mixed_distances(judged_pred, judged_reference, to_pred, to_reference)
    report["pred_to_reference"] = matrix_of(similarity).tolist()
    table = tolerance_table(distances, config.thresholds)
    counts = (len(judged_pred), len(judged_reference))
    return SurfaceScores(summary(distances, config.max_distance), table, report, counts)


def _reference_samples(job: SurfaceJob) -> Points:
    if isinstance(job.reference, Mesh) or job.config.thin_reference:
        samples = uniform_samples(job.reference, job.spacing, job.config.seed)
    else:
        samples = job.reference
    return _cut(samples, job.config, is_pred=False)


def _aligned(job: SurfaceJob, reference: Points) -> tuple[Similarity, dict[str, Any]]:
    config, similarity = job.config, identity()
    report: dict[str, Any] = {}
    if config.align == "cameras":
        assert config.pred_poses is not None  # by check_job
        assert config.reference_poses is not None
        fitted = from_cameras(read_poses(config.pred_poses), read_poses(config.reference_poses))
        similarity, report = fitted.similarity, dict(fitted.report)
    if config.icp != "none":
        samples = _cut(uniform_samples(_moved(job.pred, similarity), job.spacing, config.seed), config)
        samples, truth = samples[_judged_pred(samples, job)], reference[_judged_reference(reference, config)]
        if len(samples) == 0 or len(truth) == 0:
            raise InputError("the masks exclude all points that ICP could match; are both sides in the same frame?")
        max_distance = config.icp_distance or 10 * max(config.thresholds)
        refined = by_icp(samples, truth, max_distance, config.icp == "similarity", config.seed)
        similarity, report = after(refined.similarity, similarity), report | refined.report
    return similarity, report


def _moved(surface: Surface, similarity: Similarity) -> Surface:
    if isinstance(surface, Mesh):
        return replace(surface, vertices=similarity.apply(surface.vertices).astype(np.float32), normals=None)
    return similarity.apply(surface)


def _cut(points: Points, config: SurfaceConfig, is_pred: bool = True) -> Points:
    """The points of a side that take part in the scores: in the box and the crop, near DTU's volume."""
    kept = np.ones(len(points), bool)
    if config.box:
        kept &= masks.inside_box(points, config.box)
    if config.crop is not None:
        kept &= masks.read_crop(config.crop).contains(points)
    if is_pred and config.dtu_mask is not None:
        kept &= masks.read_dtu_mask(config.dtu_mask).surrounds(points)
    return points[kept]


def _judged_pred(points: Points, job: SurfaceJob) -> BoolArray:
    """(N,) mask of the observable predicted points, whose distances count. All points serve as neighbours."""
    judged = np.ones(len(points), bool)
    if job.config.dtu_mask is not None:
        judged &= masks.read_dtu_mask(job.config.dtu_mask).contains(points)
    if job.config.seen_only:
        judged &= masks.seen_by(points, job.maps, max(job.config.thresholds))
    return judged


def _judged_reference(points: Points, config: SurfaceConfig) -> BoolArray:
    """(N,) mask of the reference points above DTU's table, whose distances count."""
    if config.dtu_plane is None:
        return np.ones(len(points), bool)
    return masks.above_plane(points, masks.read_dtu_plane(config.dtu_plane))
