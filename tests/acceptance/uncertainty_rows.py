"""Acceptance of error bars: do they hold nine errors of ten where nothing calibrated them, and rank errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from lotus_recon.calibration.config import OutputConfig
from lotus_recon.calibration.stage import depth_as_written
from lotus_recon.config import load_config
from lotus_recon.datasets import hololens, seven_scenes, single_images
from lotus_recon.evaluation.config import UncertaintyConfig
from lotus_recon.evaluation.metrics import mesh_metrics, point_to_mesh_distance
from lotus_recon.evaluation.sparsification import sparsification
from lotus_recon.evaluation.uncertainty_job import Compared, check_job, compared, scores_of
from lotus_recon.fusion import stage as fusion
from lotus_recon.fusion.config import FusionConfig
from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.geometry.consistency import grid_samples
from lotus_recon.geometry.points import P90_SIGMAS
from lotus_recon.io.cameras import write_colmap_scene
from lotus_recon.io.images import read_rgb
from lotus_recon.io.intrinsics import DEFAULT_FOV_DEG
from lotus_recon.io.maps import load_arrays, save_maps
from lotus_recon.io.meshes import read_mesh
from lotus_recon.io.scene_maps import POSED_DEPTH, SceneMaps
from lotus_recon.meshing.ray_casting import hit_distances
from lotus_recon.models import load_model
from lotus_recon.recipes.multi_view import scene_job
from lotus_recon.recipes.table import MULTI_VIEW, multi_view_config
from lotus_recon.stages import Context, stages_of
from lotus_recon.types import Camera, DepthKind, DepthMap, Mesh
from lotus_recon.uncertainty import photo
from lotus_recon.uncertainty.spec import inputs_of
from lotus_recon.uncertainty.stage import predictors_of
from lotus_recon.workspace import Workspace
from tests.acceptance.command import ROOT
from tests.acceptance.kinect import write_registered_depth
from tests.acceptance.mesh_runs import Run, reconstructed
from tests.acceptance.mvs_rows import dtu_photos, given_points
from tests.acceptance.plain_tsdf import plain_mesh
from tests.acceptance.rows import Row
from tests.acceptance.walks import write_walk

ROOMS = 20
COVERED = (0.85, 0.95)  # of intervals at 90 %
DISTANCES = 200
PIXELS = 400  # of each photo: of the sample, those that ends of distances are drawn from

Floats = NDArray[np.float64]


def rows_of(name: str, runs: list[tuple[Run, Path]]) -> list[Row]:
    """Coverage, ranking, and that of each predictor alone, of all runs of a set together."""
    jobs = [check_job(UncertaintyConfig(scene=run.out, reference=truth)) for run, truth in runs]
    parts = [compared(job) for job in jobs]
    half = float(np.mean([job.result.calibration.half_sigmas for job in jobs]))
    found = scores_of(Compared.joined(parts), half)
    ratio = found["ause_abs_rel"] / found["ause_random_abs_rel"]
    alone = _predictors_alone(runs)
    better = [other for other, ause in alone.items() if ause < found["ause_abs_rel"]]
    held, width = found["coverage_90"], found["mean_width_90"]
    listed = ", ".join(f"{other} {ause:.2f}" for other, ause in sorted(alone.items(), key=lambda item: item[1]))
    pixels = sum(len(part.depth) for part in parts)
    return [
        Row(
            name,
            f"errors within the 90 % interval, {pixels} pixels (mean width {width:.1%})",
            f"{held:.3f}",
            f"{COVERED[0]:g} to {COVERED[1]:g}",
            COVERED[0] <= held <= COVERED[1],
            sum(run.seconds for run, _ in runs),
        ),
        Row(name, "errors within the 50 % interval", f"{found['coverage_50']:.3f}", "", None),
        Row(name, "AUSE of AbsRel, of that of a random order", f"{ratio:.2f}", "<= 0.5", ratio <= 0.5),
        Row(name, "AURG: AbsRel; RMSE", f"{found['aurg_abs_rel']:.2f}; {found['aurg_rmse']:.2f}", "", None),
        Row(
            name,
            f"AUSE {found['ause_abs_rel']:.2f}; of each predictor alone: {listed}",
            f"{len(better)} better",
            "0 on most sets",
            not better,
        ),
    ]


def _predictors_alone(runs: list[tuple[Run, Path]]) -> dict[str, float]:
    """AUSE of AbsRel in the order of each predictor, by its name."""
    parts: dict[str, list[Compared]] = {}
    for run, truth in runs:
        config = load_config(multi_view_config(), run.out / "config.yaml")
        job = scene_job(run.out / "images", config, run.out)
        inputs = inputs_of(Context(Workspace(run.out), job, stages_of(MULTI_VIEW, job)))
        checked = SceneMaps(inputs.checked_dir, ("depth", "confidence"), POSED_DEPTH)
        names: set[str] = set()
        for view in filter(checked.has, inputs.scene.views):
            for name, values in predictors_of(inputs, view, checked.load(view)).items():
                SceneMaps(run.out.parent / "alone" / name).save(view, sigma=np.exp(values))
                names.add(name)
        scored = check_job(UncertaintyConfig(scene=run.out, reference=truth))
        for name in names:
            folder = run.out.parent / "alone" / name
            parts.setdefault(name, []).append(compared(replace(scored, result=replace(scored.result, folder=folder))))
    joined = {name: Compared.joined(of_name) for name, of_name in parts.items()}
    return {name: sparsification(np.abs(one.depth / one.truth - 1), one.sigma).ause for name, one in joined.items()}


def hololens_bars(data: Path, work: Path) -> list[Row]:
    """nano, against the sensor's depth; and the mesh with and without bars."""
    poses = work / "transforms.json"
    hololens.write_poses(data, poses)
    for frame in hololens.frames(data):
        depth, seen = hololens.sensor_depth(data, frame.view.name)
        save_maps(work / f"truth/{frame.view.stem}.npz", DepthMap(depth, seen, DepthKind.METRIC))
    run = reconstructed("hololens_a", data / "images", work, "--poses", str(poses), "--pose-unit", "m")
    return [*rows_of("error bars, hololens_a", [(run, work / "truth")]), *_fused(run, _sensor_score(data))]


def kitchen_bars(data: Path, work: Path) -> list[Row]:
    """nano, against a Kinect; at poses by SfM, which is better than the given ones."""
    photos = work / "photos"
    seven_scenes.write_photos(data, photos)
    run = reconstructed("redkitchen", photos, work)
    near = write_registered_depth(data, run.scene, work / "truth")
    figure = "sparse points within 5 % of the sensor's depth, as it is registered"
    name = "error bars, redkitchen"
    return [Row(name, figure, f"{near:.3f}", "", None), *rows_of(name, [(run, work / "truth")])]


def _sensor_score(data: Path) -> Callable[[Mesh], float]:
    maps = []
    for frame in hololens.frames(data):
        depth, seen = hololens.sensor_depth(data, frame.view.name)
        maps.append((frame.view, np.where(seen, depth, 0), read_rgb(frame.photo)))
    truth = plain_mesh(maps, voxel_size=0.02, max_depth=10.0)
    return lambda mesh: mesh_metrics(mesh, truth, 0.05)["fscore"]


def _fused(run: Run, score: Callable[[Mesh], float], figure: str = "F-score at 5 cm", lower: bool = False) -> list[Row]:
    """A figure of the fused mesh, weighed by bars and without."""
    scores = []
    for name, sigma_dir in (("weighed", run.out / "uncertainty"), ("plain", None)):
        out = run.out.parent / name
        out.mkdir(exist_ok=True)
        inputs = fusion.Inputs(run.scene, run.out / "consistency", run.out / "images", sigma_dir=sigma_dir)
        scores.append(score(read_mesh(fusion.run(inputs, FusionConfig(), out).mesh_path)))
    weighed, plain = scores
    ok = weighed <= plain if lower else weighed >= plain
    what = f"{figure}, fused with weights of 1 / sigma^2 (without {plain:.3f})"
    return [Row(f"error bars, {run.name}", what, f"{weighed:.3f}", "not worse", ok)]


def points_bars(name: str, data: Path, work: Path, photos: Path, names: list[str] | None) -> tuple[Run, list[Row]]:
    """nano at given poses, against a fifth of the points that no stage saw."""
    scene, held, given = given_points(data / "colmap_gt", names, work)
    write_colmap_scene(replace(scene, points=scene.points.where(held)), work / "unseen")
    run = reconstructed(name, photos, work, "--poses", str(given))
    return run, rows_of(f"error bars, {name}", [(run, work / "unseen")])


def dtu_bars(data: Path, work: Path) -> list[Row]:
    """17 photos of which each sees the next from 15 degrees aside; and the mesh with and without bars."""
    names = dtu_photos(data, work)
    run, rows = points_bars("dtu24", data, work, work / "photos", names)
    scene, held, _ = given_points(data / "colmap_gt", names, work)
    unseen = scene.points.xyz[held]

    def median_mm(mesh: Mesh) -> float:
        return float(np.median(point_to_mesh_distance(unseen, mesh)))

    return [*rows, *_fused(run, median_mm, "unseen points to mesh, median, mm", lower=True)]


def fountain_bars(data: Path, work: Path) -> list[Row]:
    """nano, which never saw such a place."""
    return points_bars("fountain", data, work, data / "images", None)[1]


def rooms_bars(work: Path) -> list[Row]:
    """Short walks through rooms with exact truth."""
    runs = []
    for number in range(ROOMS):
        folder = work / f"room_{number:02d}"
        write_walk(number, folder)
        for path in sorted((folder / "truth").glob("*.npz")):
            true = load_arrays(path)
            save_maps(folder / "depth" / path.name, DepthMap(true["depth"], true["valid"], DepthKind.METRIC))
        options = ("--poses", str(folder / "transforms.json"), "--pose-unit", "m")
        runs.append((reconstructed("rooms", folder / "images", folder, *options), folder / "depth"))
    return rows_of(f"error bars, {ROOMS} rooms", runs)


def sample_bars(sample: Path, work: Path) -> list[Row]:
    """Distances between what two pixels show, as the ruler of the page measures them."""
    run = reconstructed("sample", sample / "images", work, "--poses", str(sample / "truth/transforms.json"))
    truth, mesh = read_mesh(sample / "truth/mesh.ply"), run.mesh
    assert mesh.sigma is not None
    true, found = _seen(run, truth), _seen(run, mesh)
    both = np.isfinite(true).all(1) & np.isfinite(found).all(1)
    true, found = true[both], found[both]
    sigma = mesh.sigma[KDTree(mesh.vertices).query(found)[1]]
    a, b = np.random.default_rng(0).integers(0, len(true), (2, DISTANCES))
    error = np.abs(np.linalg.norm(found[a] - found[b], axis=1) - np.linalg.norm(true[a] - true[b], axis=1))
    inside = float((error <= P90_SIGMAS * np.hypot(sigma[a], sigma[b])).mean())
    figure = f"{DISTANCES} distances between points, within their 90 % bars"
    return [Row("error bars, sample", figure, f"{inside:.3f}", ">= 0.9", inside >= 0.9, run.seconds)]


def photo_bars(data: Path, work: Path) -> list[Row]:
    """Depth of single photos by nano, each up to one factor, which its true depth tells."""
    frames = hololens.frames(data / "hololens_a")
    sensor = [(read_rgb(f.photo), *hololens.sensor_depth(data / "hololens_a", f.view.name)) for f in frames]
    measured = single_images.measured_photos(data / "single_images")
    others = [(each.rgb, each.depth, each.valid) for each in measured]
    model, rows = load_model("nano", device="cpu"), []
    for name, photos in ((f"{len(sensor)} photos of hololens_a", sensor), (f"{len(others)} single photos", others)):
        parts, half = [], 0.0
        for number, (rgb, truth, known) in enumerate(photos):
            prediction = model.predict(rgb)
            depth = depth_as_written(prediction, OutputConfig())
            camera = Camera.from_fov_deg(DEFAULT_FOV_DEG, rgb.shape[1], rgb.shape[0])
            result = photo.run(str(number), depth, prediction.normals, camera, work / str(number))
            half = result.calibration.half_sigmas
            sigma = load_arrays(work / str(number) / photo.FILE)["sigma"]
            at = grid_samples(known & depth.valid, PIXELS)
            factor = np.median(truth[at] / depth.values[at])
            parts.append(Compared(*(each[at].astype(np.float64) for each in (factor * depth.values, truth, sigma))))
        found = scores_of(Compared.joined(parts), half)
        ratio = found["ause_abs_rel"] / found["ause_random_abs_rel"]
        held = f"{found['coverage_90']:.3f}; {found['coverage_50']:.3f}"
        figure = f"{name}, each up to one factor: errors within the 90 % and the 50 % interval"
        rows.append(Row("error bars, photos", figure, held, "", None))
        figure = f"{name}: AUSE of AbsRel, of that of a random order"
        rows.append(Row("error bars, photos", figure, f"{ratio:.2f}", "", None))
    return rows


def _seen(run: Run, mesh: Mesh) -> Floats:
    """(N, 3) what some pixels of all photos show of a surface in the world, NaN where nothing."""
    points = []
    for view in run.scene.views:
        row, col = grid_samples(np.ones((view.camera.height, view.camera.width), bool), PIXELS)
        rays = rays_in_cam(view.camera)[row, col] @ view.cam_from_world[:3, :3]
        depth = hit_distances(mesh, np.broadcast_to(view.center_in_world, rays.shape), rays)
        points.append(view.center_in_world + np.where(np.isfinite(depth), depth, np.nan)[:, None] * rays)
    return np.concatenate(points)


RUNS: Mapping[str, tuple[str, Callable[[Path, Path], list[Row]]]] = {
    "bars-hololens": ("hololens_a", hololens_bars),
    "bars-redkitchen": ("redkitchen_7scenes", kitchen_bars),
    "bars-dtu": ("dtu_scan24_omnidata", dtu_bars),
    "bars-fountain": ("fountain_p11", fountain_bars),
    "bars-rooms": (".", lambda _, work: rooms_bars(work)),
    "bars-photos": (".", photo_bars),
    "bars-sample": (".", lambda _, work: sample_bars(ROOT / "data/sample", work)),
}
