"""Acceptance of multi-view stereo: is the surface where photos show it? Unseen points and exact surfaces."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lotus_recon.alignment.control_points import held_out_points
from lotus_recon.config import Runtime
from lotus_recon.datasets import hololens
from lotus_recon.evaluation.metrics import mesh_metrics, point_to_mesh_distance
from lotus_recon.evaluation.rays import VisiblePoints, depth_points, hit_ratios, ray_shares
from lotus_recon.geometry.points import point_errors
from lotus_recon.geometry.pose import transform
from lotus_recon.io.cameras import read_colmap_scene, write_colmap_scene
from lotus_recon.io.images import read_rgb
from lotus_recon.io.maps import load_arrays
from lotus_recon.io.meshes import read_mesh
from lotus_recon.io.scene_maps import SceneMaps
from lotus_recon.mvs import stage as mvs
from lotus_recon.mvs.config import MvsConfig
from lotus_recon.types import BoolArray, DepthKind, DepthMap, Scene, View
from tests.acceptance.command import ROOT, multi_view
from tests.acceptance.mesh_runs import (
    HELD_OUT_SHARE,
    SAMPLES,
    TOLERANCE,
    point_rows,
    ray_rows,
    rays_to_points,
    rays_to_surface,
    reconstructed,
)
from tests.acceptance.plain_tsdf import plain_mesh
from tests.acceptance.rendered_rows import rendered
from tests.acceptance.rows import Row
from tests.acceptance.walks import write_walk

ROOMS = 20
ASKED_ROOMS_MM = 98.6  # a fifth less than before multi-view stereo (123.3)


def given_points(model: Path, names: Sequence[str] | None, work: Path) -> tuple[Scene, BoolArray, Path]:
    """A posed scene of some views, which of its points are held out, and a COLMAP model without them."""
    scene = _of_views(read_colmap_scene(model), names)
    held = held_out_points(scene, HELD_OUT_SHARE, seed=0)
    write_colmap_scene(replace(scene, points=scene.points.where(~held)), work / "given")
    return scene, held, work / "given"


def _of_views(scene: Scene, names: Sequence[str] | None) -> Scene:
    """The scene of these views, with the points that two of them see."""
    if names is None:
        return scene
    points = scene.points
    kept = [index for index, view in enumerate(scene.views) if view.name in names]
    number = np.full(len(scene.views), -1)
    number[kept] = np.arange(len(kept))
    rows = number[points.obs_view] >= 0
    points = replace(
        points,
        obs_point=points.obs_point[rows],
        obs_view=number[points.obs_view[rows]],
        obs_xy=points.obs_xy[rows],
    )
    return Scene(tuple(scene.views[i] for i in kept), points.where(points.track_length >= 2))


def dtu_photos(data: Path, work: Path) -> list[str]:
    """Names of the 17 photos, which are put into ``work``/photos."""
    names = sorted(f"{path.stem}.png" for path in (data / "cues").glob("*.npz"))
    (work / "photos").mkdir()
    for name in names:
        (work / "photos" / name).symlink_to(data / "images" / name)
    return names


def dtu_mvs(data: Path, work: Path) -> list[Row]:
    """nano at given poses, 17 photos of which each sees the next from 15 degrees aside."""
    names, photos = dtu_photos(data, work), work / "photos"
    scene, held, given = given_points(data / "colmap_gt", names, work)
    run = reconstructed("dtu24, 17 photos", photos, work, "--poses", str(given))
    return [
        *ray_rows(run.name, rays_to_points(run, scene, held), 0.955, 0.01, seconds=run.seconds),
        *point_rows(run, scene, held, (0.42, 1.3), 1.0, "mm"),
        run.rejected(),
    ]


def fountain_mvs(data: Path, work: Path) -> list[Row]:
    """nano, which never saw such a place, at given poses."""
    scene, held, given = given_points(data / "colmap_gt", None, work)
    run = reconstructed("fountain, dense", data / "images", work, "--poses", str(given))
    return [
        *ray_rows(run.name, rays_to_points(run, scene, held), 0.985, 0.005, seconds=run.seconds),
        *point_rows(run, scene, held, (3.2, 9.5), 1000.0, "mm"),
        run.rejected(),
    ]


def fountain_large(data: Path, work: Path) -> list[Row]:
    """Time and memory of a whole run at the size of the photos."""
    run = reconstructed("fountain, 1536x1024", data / "images", work, "--max-size", "1536")
    stages = [json.loads(path.read_text()) for path in sorted(run.out.rglob("*stage.json"))]
    peak = max(stage["peak_memory_mb"] for stage in stages) / 1000
    return [
        Row(run.name, "whole run, minutes", f"{run.seconds / 60:.1f}", "<= 15", run.seconds <= 900, run.seconds),
        Row(run.name, "peak memory of the process", f"{peak:.1f} GB", "<= 2 GB", peak <= 2),
    ]


def lund_mvs(data: Path, work: Path) -> list[Row]:
    """From scratch; distances in pixel footprints, because the unit of the scene is nobody's."""
    run = reconstructed("lund, dense", data / "images", work)
    scene, held = run.scene, run.held_out()
    distance = point_to_mesh_distance(scene.points.xyz[held], run.mesh) / footprints(scene)[held]
    p90 = float(np.percentile(distance, 90))
    figure = f"{int(held.sum())} unseen points to mesh, p90"
    return [Row(run.name, figure, f"{p90:.2f} px", "<= 2 px", p90 <= 2, run.seconds), run.rejected()]


def footprints(scene: Scene) -> NDArray[np.float64]:
    """(P,) side of a pixel at each point, mean over the views that see it, unit of the scene."""
    points = scene.points
    side = np.zeros(len(points.obs_point))
    for index, view in enumerate(scene.views):
        rows = points.rows_of(index)
        side[rows] = transform(view.cam_from_world, points.xyz[points.obs_point[rows]])[:, 2] / view.camera.fx
    return np.bincount(points.obs_point, side, len(points.xyz)) / np.maximum(points.track_length, 1)


def from_scratch(name: str, data: Path, work: Path) -> list[Row]:
    """Photos that nothing was tuned on."""
    run = reconstructed(name, data / "images", work)
    scene, count = run.scene, len(list((data / "images").iterdir()))
    registered, asked = len(scene.views), {"tree_p24": 23}.get(name, count)
    return [
        Row(name, "registered photos", f"{registered} of {count}", f">= {asked}", registered >= asked, run.seconds),
        *ray_rows(name, rays_to_points(run, scene, run.held_out()), 0.95, 0.02),
        run.rejected(),
    ]


def sample_mvs(sample: Path, work: Path) -> list[Row]:
    """Every pixel of the sample's photos against its exact surface."""
    run = reconstructed("sample, dense", sample / "images", work, "--poses", str(sample / "truth/transforms.json"))
    truth = read_mesh(sample / "truth/mesh.ply")
    fine = rays_to_surface(run, truth, 0.002).met
    precision = float((point_to_mesh_distance(run.mesh.vertices, truth) <= 0.01).mean())
    return [
        *ray_rows(run.name, rays_to_surface(run, truth, TOLERANCE), 0.975, 0.005, 0.01, run.seconds),
        Row(run.name, "met at 0.2 %", f"{fine:.3f}", ">= 0.93", fine >= 0.93),
        Row(run.name, "precision of the mesh at 1 cm", f"{precision:.3f}", ">= 0.92", precision >= 0.92),
        run.rejected(),
    ]


def starts(data: Path, work: Path) -> list[Row]:
    """The fountain from three starts: the aligned maps of nano, none (sparse points alone), and a constant depth."""
    scene, held, given = given_points(data / "colmap_gt", None, work)
    for stage in ("sfm", "frame", "images", "prediction", "alignment"):
        multi_view(data / "images", work / "out", "--holdout-strict", "--poses", str(given), "--only", stage)
    posed = read_colmap_scene(work / "out/sfm/sparse")
    for view in posed.views:
        depth = np.full((view.camera.height, view.camera.width), _median_depth(posed, view), np.float32)
        SceneMaps(work / "constant").save(view, DepthMap(depth, depth > 0, DepthKind.SCENE))
    (work / "none").mkdir()
    shares = {
        name: _within(scene, held, _searched(posed, work, folder, name))
        for name, folder in (
            ("nano", work / "out/alignment"),
            ("points", work / "none"),
            ("constant", work / "constant"),
        )
    }
    spread = max(shares.values()) - min(shares.values())
    measured = ", ".join(f"{name} {share:.3f}" for name, share in shares.items())
    figure = "matched depth within 1 % at held-out points, by start"
    return [Row("start of the search", figure, measured, "differ by <= 0.01", spread <= 0.01)]


def _median_depth(scene: Scene, view: View) -> float:
    depth = transform(view.cam_from_world, scene.points.xyz)[:, 2]
    return float(np.median(depth[depth > 0]))


def _searched(scene: Scene, work: Path, depth_dir: Path, name: str) -> Path:
    """Folder of the maps that multi-view stereo finds from the aligned depth in a folder."""
    out = work / f"mvs from {name}"
    out.mkdir()
    nothing = np.zeros(len(scene.points.xyz), bool)
    inputs = mvs.Inputs(scene, work / "out/images", depth_dir, nothing, False, Runtime(device="cpu"))
    mvs.run(inputs, MvsConfig(), out)
    return out


def _within(scene: Scene, held: BoolArray, folder: Path) -> float:
    """Share of the observations of held-out points whose matched depth is within 1 %."""
    right, count = 0, 0
    for index, view in enumerate(scene.views):
        small = load_arrays(folder / f"{view.stem}.npz")
        height, width = small["depth"].shape
        resized = replace(view, camera=view.camera.resized(width, height))
        xy = scene.points.obs_xy * (width / view.camera.width)
        views = tuple(resized if i == index else other for i, other in enumerate(scene.views))
        posed = Scene(views, replace(scene.points, obs_xy=xy))
        _, error = point_errors(posed, index, small["depth"], held)
        right += int((error < TOLERANCE).sum())
        count += int(held[scene.points.obs_point[scene.points.rows_of(index)]].sum())
    return right / count


def rooms_mvs(work: Path) -> list[Row]:
    """nano on short walks through rooms with exact truth, at given poses; beside the run without stereo."""
    pairs = [_walk(number, work / f"room_{number:02d}") for number in range(ROOMS)]
    with_mvs, without = (float(np.mean([pair[i] for pair in pairs])) for i in (0, 1))
    figure = f"mesh to true surface, mean of {ROOMS} (without stereo {without:.1f} mm)"
    return [Row("rooms, dense", figure, f"{with_mvs:.1f} mm", f"<= {ASKED_ROOMS_MM:g} mm", with_mvs <= ASKED_ROOMS_MM)]


def _walk(number: int, work: Path) -> tuple[float, float]:
    """Mean distance of the mesh to the true surface in millimetres, with stereo and without."""
    write_walk(number, work)
    options = ("--poses", str(work / "transforms.json"), "--pose-unit", "m")
    truth = read_mesh(work / "mesh.ply")
    distances = []
    for more in ((), ("--no-mvs",)):
        run = reconstructed("rooms", work / "images", work, *options, *more)
        distances.append(1000 * float(np.mean(point_to_mesh_distance(run.mesh.vertices, truth))))
    return distances[0], distances[1]


def hololens_mvs(data: Path, work: Path) -> list[Row]:
    """nano, not the sensor: weak texture indoors; against the sensor's depth."""
    poses = work / "transforms.json"
    hololens.write_poses(data, poses)
    run = reconstructed("hololens_a, nano", data / "images", work, "--poses", str(poses), "--pose-unit", "m")
    parts, maps = [], []
    for index, frame in enumerate(hololens.frames(data)):
        depth, seen = hololens.sensor_depth(data, frame.view.name)
        parts.append(depth_points(frame.view, index, DepthMap(depth, seen, DepthKind.METRIC), SAMPLES, None))
        maps.append((frame.view, np.where(seen, depth, 0), read_rgb(frame.photo)))
    score = mesh_metrics(run.mesh, plain_mesh(maps, voxel_size=0.02, max_depth=10.0), 0.05)["fscore"]
    shares = ray_shares(hit_ratios(run.mesh, VisiblePoints.joined(parts)), 0.05)
    measured = f"{shares.met:.3f} / {shares.blocked:.3f} / {shares.none:.3f}"
    return [
        Row(run.name, "F-score at 5 cm against the sensor", f"{score:.3f}", ">= 0.508", score >= 0.508, run.seconds),
        Row(run.name, "rays to the sensor's depth at 5 %: met / blocked / none", measured, "", None),
    ]


RUNS: Mapping[str, tuple[str, Callable[[Path, Path], list[Row]]]] = {
    "dtu-mvs": ("dtu_scan24_omnidata", dtu_mvs),
    "fountain-mvs": ("fountain_p11", fountain_mvs),
    "fountain-large": ("fountain_p11", fountain_large),
    "lund-mvs": ("lund_door", lund_mvs),
    "castle": ("castle_p11", lambda data, work: from_scratch("castle_p11", data, work)),
    "tree": ("tree_p24", lambda data, work: from_scratch("tree_p24", data, work)),
    "sample-mvs": (".", lambda _, work: sample_mvs(ROOT / "data/sample", work)),
    "rendered-mvs": (".", lambda _, work: rendered(work)),
    "starts": ("fountain_p11", starts),
    "hololens-mvs": ("hololens_a", hololens_mvs),
    "rooms-mvs": (".", lambda _, work: rooms_mvs(work)),
}
