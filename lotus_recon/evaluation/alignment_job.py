"""The task alignment: aligned depth of a reconstruction against held-out sparse points or a sensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lotus_recon import __version__
from lotus_recon.errors import InputError
from lotus_recon.evaluation.config import AlignmentEvalConfig
from lotus_recon.evaluation.holdout import HeldOut, read_holdout
from lotus_recon.evaluation.run_folder import check_is_run, check_is_wanted
from lotus_recon.evaluation.tables import markdown
from lotus_recon.evaluation.true_depth import files_of_views, read_true_depth
from lotus_recon.geometry.camera import pixel_index
from lotus_recon.geometry.pose import transform
from lotus_recon.io.maps import load_prediction
from lotus_recon.progress import track
from lotus_recon.recipes.table import DEPTH_STAGES
from lotus_recon.sfm import frame
from lotus_recon.sfm.stage import SfmResult
from lotus_recon.types import BoolArray, DepthMap, Scene
from lotus_recon.workspace import write_atomically, write_json

LIMITS = (0.01, 0.02, 0.05)  # relative errors whose shares are reported


@dataclass(frozen=True, eq=False)
class AlignmentJob:
    """What a run compares."""

    config: AlignmentEvalConfig
    found: SfmResult
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
    found = frame.load(config.scene / "sfm")
    files = {view.name: config.scene / config.stage / f"{view.stem}.npz" for view in found.scene.views}
    maps = {name: path for name, path in files.items() if path.is_file()}
    if not maps:
        raise InputError(f"{config.scene / config.stage} holds no depth for any of the {len(files)} views")
    if config.sensor is not None:
        return AlignmentJob(config, found, maps, files_of_views(config.sensor, list(maps)), np.zeros(0, bool), False)
    share, seed, strict = read_holdout(config.scene)
    held = held_out(found.scene, share, seed)
    if not held.any():
        raise InputError(f"no point of {config.scene} was held out (holdout {share} of {len(held)} points)")
    return AlignmentJob(config, found, maps, {}, held, strict)


def run_job(job: AlignmentJob, out: Path) -> dict[str, float]:
    """Score every view, and write ``views.json``, ``summary.json`` and ``table.md``."""
    per_view: dict[str, NDArray[np.float64]] = {}
    names = list(job.sensor or job.maps)
    for name in track(names, "scoring views", len(names)):
        depth = _depth(job.maps[name])
        errors = (
            _against_sensor(job, name, depth) if job.sensor else at_points(job.found.scene, name, depth, job.held_out)
        )
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
    view = job.found.scene.views[job.found.scene.index[name]]
    sensor = read_true_depth(job.sensor[name], view, job.found, job.config.metres_per_unit)
    both = sensor.valid & depth.valid
    return np.asarray(np.abs(depth.values[both].astype(np.float64) / sensor.values[both] - 1))


def _depth(path: Path) -> DepthMap:
    depth = load_prediction(path).depth
    if depth is None:
        raise InputError(f"{path} has no depth")
    return depth
