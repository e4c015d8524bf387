"""The task alignment: aligned depth of a reconstruction against held-out sparse points or a sensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from lotus_recon import __version__
from lotus_recon.errors import InputError
from lotus_recon.evaluation.config import AlignmentEvalConfig
from lotus_recon.evaluation.holdout import HeldOut, read_holdout
from lotus_recon.evaluation.pose_files import match_names
from lotus_recon.evaluation.run_folder import check_is_run, check_is_wanted
from lotus_recon.evaluation.tables import markdown
from lotus_recon.geometry.camera import pixel_index
from lotus_recon.geometry.pose import transform
from lotus_recon.io.cameras import read_colmap_scene
from lotus_recon.io.maps import load_prediction
from lotus_recon.progress import track
from lotus_recon.recipes.table import DEPTH_STAGES
from lotus_recon.types import BoolArray, DepthKind, DepthMap, Scene
from lotus_recon.workspace import write_atomically, write_json

LIMITS = (0.01, 0.02, 0.05)  # relative errors whose shares are reported


@dataclass(frozen=True, eq=False)
class AlignmentJob:
    """What a run compares."""

    config: AlignmentEvalConfig
    scene: Scene
    maps: Mapping[str, Path]  # aligned depth by name of the view
    sensor: Mapping[str, Path]  # sensor depth by name of the view
    held_out: BoolArray  # (P,)
    strict: bool  # whether the alignment itself did not use the held-out points


def check_job(config: AlignmentEvalConfig, held_out: HeldOut) -> AlignmentJob:
    """Collect the maps to compare. Raises InputError for a folder without a finished run or without held-out points."""
    if config.scene is None:
        raise InputError("alignment needs --scene, an output folder of multi_view")
    if config.stage not in DEPTH_STAGES:
        raise InputError(f"--stage {config.stage}: allowed are {', '.join(DEPTH_STAGES)}")
    check_is_run(config.scene)
    check_is_wanted(config.scene, config.stage)
    scene = read_colmap_scene(config.scene / "sfm/sparse")
    files = {view.name: config.scene / config.stage / f"{view.stem}.npz" for view in scene.views}
    maps = {name: path for name, path in files.items() if path.is_file()}
    if not maps:
        raise InputError(f"{config.scene / config.stage} holds no depth for any of the {len(files)} views")
    if config.sensor is not None:
        return AlignmentJob(config, scene, maps, _sensor_files(config.sensor, list(maps)), np.zeros(0, bool), False)
    share, seed, strict = read_holdout(config.scene)
    held = held_out(scene, share, seed)
    if not held.any():
        raise InputError(f"no point of {config.scene} was held out (holdout {share} of {len(held)} points)")
    return AlignmentJob(config, scene, maps, {}, held, strict)


def _sensor_files(folder: Path, names: list[str]) -> dict[str, Path]:
    files = {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.npz"))}
    if not files:
        raise InputError(f"{folder} holds no sensor depth (<view>.npz)")
    by_stem = {str(PurePosixPath(name).with_suffix("")): name for name in names}
    return {by_stem[stem]: files[name] for stem, name in match_names(list(by_stem), list(files)).items()}


def run_job(job: AlignmentJob, out: Path) -> dict[str, float]:
    """Score every view, and write ``views.json``, ``summary.json`` and ``table.md``."""
    per_view: dict[str, NDArray[np.float64]] = {}
    names = list(job.sensor or job.maps)
    for name in track(names, "scoring views", len(names)):
        depth = _depth(job.maps[name])
        errors = _against_sensor(job, name, depth) if job.sensor else at_points(job.scene, name, depth, job.held_out)
        if len(errors):
            per_view[name] = errors
    if not per_view:
        raise InputError("no view has valid depth at a held-out point or sensor pixel")
    scores = summarized(per_view)
    what = "sensor depth" if job.sensor else f"held-out points ({'strict' if job.strict else 'used by later stages'})"
    views = {name: {"median": float(np.median(e)), "p90": float(np.percentile(e, 90)), "count": len(e)}
             for name, e in per_view.items()}  # fmt: skip
    write_json(out / "views.json", views)
    meta = {"task": "alignment", "stage": job.config.stage, "against": what, "views": len(per_view)}
    units = {name: "relative error, abs(d / g - 1)" if "share" not in name else "share" for name in scores}
    shown = {name: {"value": value, "unit": units[name]} for name, value in scores.items()}
    write_json(out / "summary.json", {**meta, "scores": shown, "version": __version__})
    rows = [[name, units[name], f"{value:.4%}"] for name, value in scores.items()]
    lines = [*markdown([f"{job.config.stage} against {what}, {len(per_view)} views", "unit", "value"], rows), ""]
    write_atomically(out / "table.md", lambda part: part.write_text("\n".join(lines), encoding="utf-8"))
    return scores


def summarized(per_view: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
    """Medians over the views of the median and p90 of errors (N,), and the shares of all errors below ``LIMITS``."""
    everything = np.concatenate(list(per_view.values()))
    scores = {
        "median": float(np.median([np.median(errors) for errors in per_view.values()])),
        "p90": float(np.median([np.percentile(errors, 90) for errors in per_view.values()])),
    }
    return scores | {f"share_below_{100 * limit:g}%": float((everything < limit).mean()) for limit in LIMITS}


def at_points(scene: Scene, name: str, depth: DepthMap, scored: BoolArray) -> NDArray[np.float64]:
    """(N,) |depth of the map / depth of the point - 1| at the ``scored`` (P,) points that the view observes."""
    view, points = scene.views[scene.index[name]], scene.points
    rows = np.flatnonzero((points.obs_view == scene.index[name]) & scored[points.obs_point])
    z = transform(view.cam_from_world, points.xyz[points.obs_point[rows]])[:, 2]
    row, column = pixel_index(points.obs_xy[rows], *depth.shape)
    usable = depth.valid[row, column] & (z > 0)
    return np.asarray(np.abs(depth.values[row, column][usable].astype(np.float64) / z[usable] - 1))


def _against_sensor(job: AlignmentJob, name: str, depth: DepthMap) -> NDArray[np.float64]:
    sensor = _depth(job.sensor[name])
    if sensor.kind is not DepthKind.METRIC:
        raise InputError(f"{job.sensor[name]} is {sensor.kind.value}; sensor depth must be METRIC")
    if sensor.shape != depth.shape:
        raise InputError(f"{job.sensor[name]} is {sensor.shape}, the depth of the view {depth.shape}: must agree")
    both = sensor.valid & depth.valid
    metres = depth.values[both].astype(np.float64) * job.config.metres_per_unit
    return np.asarray(np.abs(metres / sensor.values[both] - 1))


def _depth(path: Path) -> DepthMap:
    depth = load_prediction(path).depth
    if depth is None:
        raise InputError(f"{path} has no depth")
    return depth
