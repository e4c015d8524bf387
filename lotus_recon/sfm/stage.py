"""Stage ``sfm``: photos in; undistorted pinhole cameras, poses and sparse points out."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap

from lotus_recon.config import Runtime
from lotus_recon.errors import InputError, SfmError
from lotus_recon.io.cameras import (
    PosedPhotos,
    SourceCamera,
    posed_photos,
    read_colmap_scene,
    read_source_cameras,
    write_colmap_scene,
    write_source_cameras,
)
from lotus_recon.io.images import Photo, check_unique_stems
from lotus_recon.io.known_poses import read_known_poses
from lotus_recon.sfm.config import SfmConfig
from lotus_recon.sfm.diagnosis import isolated, some, why_no_model
from lotus_recon.sfm.features import Colors, extract_features, name_images, working_name
from lotus_recon.sfm.mapping import LADDER, Rung, enough, map_photos
from lotus_recon.sfm.matching import MatchStatistics, match, match_statistics
from lotus_recon.sfm.pairs import choose_pairs
from lotus_recon.sfm.refinement import refine
from lotus_recon.sfm.shots import Shot, survey
from lotus_recon.sfm.triangulation import shots_at_given_cameras, triangulate
from lotus_recon.sfm.undistortion import undistorted_scene
from lotus_recon.types import Scene
from lotus_recon.workspace import write_json

log = logging.getLogger(__name__)

_SPARSE = "sparse"
_SOURCES = "distorted.json"
_REPORT = "sfm.json"
_DATABASE = "database.db"
_PEAK_FACTOR = 1 / 3  # contrast of features on the last rung, over the normal one


@dataclass(frozen=True)
class Inputs:
    """Photos of one scene, and the mask files (not black = use) of those that have one, by photo name."""

    photos: Sequence[Photo]
    masks: Mapping[str, Path] = field(default_factory=dict)
    runtime: Runtime = field(default_factory=Runtime)


@dataclass(frozen=True, eq=False)
class SfmResult:
    """``scene`` holds undistorted views and points, ``source_cameras`` the cameras of the photos as given, by name."""

    scene: Scene
    source_cameras: dict[str, SourceCamera]
    report: dict[str, Any]

    @classmethod
    def load(cls, out_dir: Path) -> SfmResult:
        """What ``run`` wrote. Raises InputError when a file is missing or broken."""
        try:
            report = json.loads((out_dir / _REPORT).read_text())
        except (OSError, ValueError) as error:
            raise InputError(f"{out_dir / _REPORT} cannot be read: {error}") from None
        scene = read_colmap_scene(out_dir / _SPARSE, metric=bool(report["metric"]))
        return cls(scene, read_source_cameras(out_dir / _SOURCES), report)


def run(inputs: Inputs, config: SfmConfig, out_dir: Path) -> SfmResult:
    """Write sparse/, distorted.json, sfm.json and, where features were needed, database.db into ``out_dir``.

    Raises InputError for photos, masks, poses or options that cannot be used, and SfmError, which says why and what to
    try, when the photos cannot be placed.
    """
    check_unique_stems(inputs.photos)
    if len(inputs.photos) < 2:
        raise InputError(f"{len(inputs.photos)} photo: multi-view needs 2 or more; for one use pipelines.single_view")
    job = _Job(survey(inputs.photos, config), inputs, config, out_dir / _DATABASE)
    photos, figures = _posed(job) if config.poses is not None else _from_scratch(job)
    scene = undistorted_scene(photos, config.max_size, metric=config.poses is not None and config.pose_unit == "m")
    write_colmap_scene(scene, out_dir / _SPARSE)
    write_source_cameras(photos.cameras, out_dir / _SOURCES)
    write_json(out_dir / _REPORT, {**_figures(scene, photos, inputs.photos), **figures})
    return SfmResult.load(out_dir)


@dataclass(frozen=True)
class _Job:
    shots: list[Shot]
    inputs: Inputs
    config: SfmConfig
    database: Path

    @property
    def names(self) -> list[str]:
        return [shot.name for shot in self.shots]


def _matched(job: _Job, rung: Rung) -> tuple[Colors, str]:
    """Fill the database with features and matches; return the features' colours and the matcher used."""
    runtime = job.inputs.runtime
    factor = _PEAK_FACTOR if rung.more_features else 1.0
    colors = extract_features(job.shots, job.inputs.masks, job.database, job.config, runtime, factor)
    choice = choose_pairs(job.shots, job.database, job.config, runtime.seed)
    match(job.shots, choice.pairs, job.database, runtime, guided=rung.more_features)
    return colors, choice.matcher


def _from_scratch(job: _Job) -> tuple[PosedPhotos, dict[str, Any]]:
    """Climb the ladder, refine the best model, and express it in pixels of the photos as given."""
    climbed = _climb(job)
    model, statistics = climbed.model, climbed.statistics
    registered = 0 if model is None else model.num_reg_images()
    if model is None or registered < max(2, job.config.min_registered):
        raise SfmError(why_no_model(job.names, statistics, registered))
    fixed = {shot.camera_number for shot in job.shots if shot.start.fixed}
    refined = refine(model, fixed, job.config, job.inputs.runtime)
    name_images(job.shots, job.database)
    photos = _in_source_pixels(refined.model, job.shots, climbed.colors)
    _warn_of_unregistered(job, photos, statistics)
    figures = {
        "matcher": climbed.matcher,
        "mapper": job.config.mapper,
        "settings": climbed.rung,
        "freed": {str(camera): what for camera, what in sorted(refined.freedom.items())},
        "median_error_before_refinement_px": refined.error_before_px,
        "median_error_after_refinement_px": refined.error_after_px,
        **_match_figures(job, statistics),
    }
    return photos, figures


@dataclass
class _Climbed:
    model: pycolmap.Reconstruction | None
    rung: str
    matcher: str
    colors: Colors
    statistics: MatchStatistics


def _climb(job: _Job) -> _Climbed:
    """The best model over the rungs of the ladder, climbed while photos are missing."""
    colors, matcher = _matched(job, LADDER[0])
    best = _Climbed(None, "", matcher, colors, match_statistics(job.shots, job.database))
    for rung in LADDER:
        if rung.more_features:
            colors, matcher = _matched(job, rung)
        model = map_photos(job.shots, job.database, rung, job.config, job.inputs.runtime)
        registered = 0 if model is None else model.num_reg_images()
        log.info("settings %r: %d of %d photos placed", rung.name, registered, len(job.shots))
        if model is not None and (best.model is None or registered > best.model.num_reg_images()):
            best = _Climbed(model, rung.name, matcher, colors, match_statistics(job.shots, job.database))
        if enough(registered, len(job.shots)):
            break
    return best


def _posed(job: _Job) -> tuple[PosedPhotos, dict[str, Any]]:
    """The given poses, with the points that came with them or with points triangulated here."""
    assert job.config.poses is not None  # by run
    known = read_known_poses(job.config.poses, job.inputs.photos)
    if len(known.names) < 2:
        raise InputError(f"{job.config.poses} has poses of {len(known.names)} photos; needed: 2 or more")
    if len(known.points.obs_view) or not job.config.triangulate:
        return known, {"points_from": "given" if len(known.points.obs_view) else "none"}
    job = replace(job, shots=shots_at_given_cameras(job.shots, known))
    colors, matcher = _matched(job, LADDER[0])
    statistics = match_statistics(job.shots, job.database)
    model = triangulate(job.shots, known, job.database, job.inputs.runtime)
    name_images(job.shots, job.database)
    found = _in_source_pixels(model, job.shots, colors)
    if len(found.points.xyz) == 0:
        log.warning("no points could be triangulated at the given poses: %d matched pairs", len(statistics.inliers))
    photos = PosedPhotos(known.cameras, known.cam_from_world, found.points)
    return photos, {"points_from": "triangulation", "matcher": matcher, **_match_figures(job, statistics)}


def _in_source_pixels(model: pycolmap.Reconstruction, shots: Sequence[Shot], colors: Colors) -> PosedPhotos:
    """The model with the names, sizes and colours of the photos as given."""
    by_name = {working_name(shot): shot for shot in shots}
    working = posed_photos(model)
    placed = [by_name[name] for name in working.names]  # in the order of names: shots are numbered in that order
    cameras = {s.name: working.cameras[working_name(s)].resized(s.width, s.height) for s in placed}
    poses = {s.name: working.cam_from_world[working_name(s)] for s in placed}
    factor = np.array([(s.width / s.working_size[0], s.height / s.working_size[1]) for s in placed]).reshape(-1, 2)
    points = working.points
    scaled = replace(points, obs_xy=points.obs_xy * factor[points.obs_view], rgb=_point_colors(model, colors))
    return PosedPhotos(cameras, poses, scaled)


def _point_colors(model: pycolmap.Reconstruction, colors: Colors) -> np.ndarray:
    """(P, 3) mean colour of the features of each point, in the order of point ids."""
    means = [
        np.mean([colors[e.image_id][e.point2D_idx] for e in point.track.elements], axis=0)
        for _, point in sorted(model.points3D.items())
    ]
    return np.round(np.array(means).reshape(-1, 3)).astype(np.uint8)


def _warn_of_unregistered(job: _Job, photos: PosedPhotos, statistics: MatchStatistics) -> None:
    missing = [name for name in job.names if name not in photos.cameras]
    if missing:
        alone = set(isolated(job.names, statistics)) & set(missing)
        why = f"; {len(alone)} of them match none of the others" if alone else ""
        log.warning("%d of %d photos could not be placed: %s%s", len(missing), len(job.names), some(missing), why)


def _match_figures(job: _Job, statistics: MatchStatistics) -> dict[str, Any]:
    return {
        "features_median": float(np.median(statistics.features)),
        "features_fewest": min(statistics.features),
        "matched_pairs": len(statistics.inliers),
        "isolated": isolated(job.names, statistics),
    }


def _figures(scene: Scene, photos: PosedPhotos, given: Sequence[Photo]) -> dict[str, Any]:
    """What the report says of any model: sizes, errors (pixels of the undistorted photos), focal lengths."""
    points = scene.points
    error = float(np.average(points.error_px, weights=points.track_length)) if len(points.xyz) else None
    return {
        "photos": len(given),
        "registered": len(scene.views),
        "unregistered": sorted(photo.name for photo in given if photo.name not in scene.index),
        "metric": scene.metric,
        "points": len(points.xyz),
        "observations": len(points.obs_view),
        "mean_track_length": float(points.track_length.mean()) if len(points.xyz) else None,
        "mean_reprojection_error_px": error,
        "focal_px": sorted({tuple(round(f, 3) for f in camera.focal_px) for camera in photos.cameras.values()}),
    }
