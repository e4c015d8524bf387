"""Runs of the pipelines on real data, as a user would start them, and what they must reach."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lotus_recon.alignment.config import AlignmentConfig
from lotus_recon.alignment.control_points import held_out_points
from lotus_recon.datasets import dtu_omnidata, hololens, seven_scenes
from lotus_recon.datasets.posed import Frame, read_camera_list
from lotus_recon.evaluation.metrics import mesh_metrics, point_to_mesh_distance
from lotus_recon.geometry.pose import fit_similarity
from lotus_recon.io.cameras import read_colmap_scene, read_source_cameras
from lotus_recon.io.images import read_rgb
from lotus_recon.io.maps import load_arrays, load_prediction, save_prediction
from lotus_recon.io.meshes import read_mesh
from lotus_recon.types import DepthKind, DepthMap, Mesh, Prediction, Scene
from tests.acceptance import (
    adaptation_rows,
    batch_rows,
    camera_rows,
    changing_rows,
    export_rows,
    foretold_rows,
    integration_rows,
    mvs_rows,
    nano_rows,
    normal_surface_rows,
    reliability_limits,
    reliability_rows,
    soak_rows,
    tiles_rows,
    uncertainty_rows,
    video_rows,
    worlds_rows,
)
from tests.acceptance.command import ROOT, multi_view
from tests.acceptance.evaluated import evaluate
from tests.acceptance.plain_tsdf import plain_mesh
from tests.acceptance.rows import Row
from tests.acceptance.texture_rows import texture_rows
from tests.acceptance.view_rows import view_rows

FOUNTAIN_SIZE = (1536, 1024)


@dataclass(frozen=True)
class Place:
    """Where a run reads and writes."""

    data: Path  # the data set
    work: Path  # inputs made for the run, and its output

    @property
    def out(self) -> Path:
        """Output folder of the pipeline."""
        return self.work / "out"

    def pipeline(self, photos: Path, *options: str) -> float:
        """Seconds of ``python -m pipelines.multi_view``. Raises CalledProcessError when it fails."""
        return multi_view(photos, self.out, *options)

    def scene(self) -> Scene:
        """The scene that the run found or was given."""
        return read_colmap_scene(self.out / "sfm/sparse")

    def json(self, file: str) -> Any:
        """A JSON file of the output folder."""
        return json.loads((self.out / file).read_text())


def fountain(place: Place) -> list[Row]:
    """From scratch, nothing known of the cameras."""
    seconds = place.pipeline(place.data / "images", "--only", "sfm")
    frames = read_camera_list(place.data / "cameras.json", *FOUNTAIN_SIZE)
    scene = place.scene()
    poses = evaluate("poses", place.work, "--pred", str(place.out), "--reference", str(place.data / "cameras.json"))
    focal = np.mean([c.focal_px for c in read_source_cameras(place.out / "sfm/distorted.json").values()])
    error = abs(float(focal) / frames[0].view.camera.fx - 1)
    rms_mm, turned, auc = poses.score("position_rms") * 1000, poses.score("rotation_median_deg"), poses.score("auc_5")
    return [
        _registered("fountain_p11", scene, 11, seconds),
        Row("fountain_p11", "focal length, relative error", f"{error:.2%}", "<= 0.5 %", error <= 0.005),
        poses.row("fountain_p11", "camera positions, rms", f"{rms_mm:.1f} mm", "<= 5 mm", rms_mm <= 5),
        poses.row("fountain_p11", "rotations, median; AUC of relative poses at 5 deg", f"{turned:.2f} deg; {auc:.3f}"),
    ]


def lund(place: Place) -> list[Row]:
    """From scratch, with EXIF."""
    seconds = place.pipeline(place.data / "images", "--only", "sfm")
    return [_registered("lund_door", place.scene(), 12, seconds)]


def _registered(run: str, scene: Scene, count: int, seconds: float) -> Row:
    found = len(scene.views)
    return Row(run, "registered photos", f"{found} of {count}", f"{count}", found == count, seconds)


def dtu(place: Place) -> list[Row]:
    """From scratch, with the maps of another network for every third photo; held-out points are never used."""
    predictions = place.work / "predictions"
    dtu_omnidata.write_predictions(place.data, predictions)
    stored = ["--model", "precomputed", "--predictions", str(predictions), "--holdout-strict"]
    seconds = place.pipeline(place.data / "images", *stored)
    scene = place.scene()
    views = [view for view in place.json("alignment/alignment.json")["views"] if view["status"] != "no_prediction"]
    aligned = [view for view in views if view["status"] != "rejected"]
    before, after = (np.median([view[key] for view in aligned]) for key in ("median_before", "median_after"))
    distance_mm = _unseen_to_mesh_mm(place, scene, {view["name"] for view in aligned}, dtu_omnidata.frames(place.data))
    median, p90 = np.percentile(distance_mm, [50, 90])
    run, what = "dtu_scan24_omnidata", f"{len(distance_mm)} unseen points to mesh"
    return [
        _registered(run, scene, 49, seconds),
        Row(run, "aligned views", f"{len(aligned)} of {len(views)}", "17", len(aligned) == 17),
        Row(run, "held-out error, global fit", f"{before:.2%}", "<= 1.1 %", bool(before <= 0.011)),
        Row(run, "held-out error, local correction", f"{after:.2%}", "<= 0.3 %", bool(after <= 0.003)),
        Row(run, f"{what}, median", f"{median:.2f} mm", "<= 0.9 mm", bool(median <= 0.9)),
        Row(run, f"{what}, p90", f"{p90:.2f} mm", "<= 2.7 mm", bool(p90 <= 2.7)),
        _surface_to_triangulated(place),
    ]


def _surface_to_triangulated(place: Place) -> Row:
    """The mesh against the points triangulated at the given poses, all of them. They are sparse: one way only."""
    surface = evaluate(
        "reconstruction", place.work,
        "--pred", str(place.out / "mesh/mesh.ply"), "--pred-poses", str(place.out),
        "--reference", str(place.data / "colmap_gt"), "--reference-poses", str(place.data / "cameras.json"),
        "--align", "cameras", "--thresholds", "1", "2", "5", "--spacing", "1",
    )  # fmt: skip
    near, median = surface.tolerance(2.0)["recall"], surface.score("completeness_median")
    figure = "triangulated points to mesh: median; share within 2 mm"
    return surface.row("dtu_scan24_omnidata", figure, f"{median:.2f} mm; {near:.1%}")


def _unseen_to_mesh_mm(place: Place, scene: Scene, views: set[str], truth: list[Frame]) -> np.ndarray:
    """Distance, in the unit of the truth, of held-out points that two or more of ``views`` see to the fused mesh."""
    unseen = held_out_points(scene, AlignmentConfig().holdout, seed=0)
    among = np.isin(scene.points.obs_view, [scene.index[name] for name in views])
    seen = np.bincount(scene.points.obs_point[among], minlength=len(unseen))
    given = {frame.view.name: frame.view.center_in_world for frame in truth}
    found = {view.name: view.center_in_world for view in scene.views}
    names = sorted(found)
    scale = fit_similarity(np.stack([found[n] for n in names]), np.stack([given[n] for n in names])).scale
    mesh = read_mesh(place.out / "mesh/mesh.ply")
    return point_to_mesh_distance(scene.points.xyz[unseen & (seen >= 2)], mesh) * scale


def hololens_a(place: Place) -> list[Row]:
    """Given poses; sensor depth as affine disparity of unknown scale and shift in every view."""
    predictions, poses = place.work / "predictions", place.work / "transforms.json"
    hololens.write_predictions(place.data, predictions)
    hololens.write_poses(place.data, poses)
    stored = ["--model", "precomputed", "--predictions", str(predictions)]
    seconds = place.pipeline(place.data / "images", *stored, "--poses", str(poses), "--voxel-size", "0.02")
    errors = [_depth_error(place, frame) for frame in hololens.frames(place.data)]
    known = [error for error in errors if error is not None]
    median = float(np.median(known))
    score = mesh_metrics(read_mesh(place.out / "mesh/mesh.ply"), _sensor_mesh(place), 0.05)
    figures = f"{score['fscore']:.3f} (precision {score['precision']:.3f}, recall {score['recall']:.3f})"
    return [
        Row("hololens_a", "aligned views", f"{len(known)} of {len(errors)}", "", None, seconds),
        Row("hololens_a", "relative depth error, median of views", f"{median:.2%}", "<= 1 %", median <= 0.01),
        Row("hololens_a", "F-score at 5 cm", figures, ">= 0.90", score["fscore"] >= 0.90),
        _surface_to_sensor(place, poses),
    ]


def _surface_to_sensor(place: Place, poses: Path) -> Row:
    """The mesh against the raw sensor depth, where the sensor saw."""
    for frame in hololens.frames(place.data):
        depth, seen = hololens.sensor_depth(place.data, frame.view.name)
        sensor = DepthMap(depth, seen, DepthKind.METRIC)
        save_prediction(place.work / f"sensor/{frame.view.stem}.npz", Prediction(sensor, None, {}))
    surface = evaluate(
        "reconstruction", place.work,
        "--pred", str(place.out / "mesh/mesh.ply"),
        "--reference", str(place.work / "sensor"), "--reference-poses", str(poses), "--seen-only",
        "--thresholds", "0.02", "0.05", "0.1", "--spacing", "0.02",
    )  # fmt: skip
    scores = [surface.tolerance(threshold)["fscore"] for threshold in (0.02, 0.05, 0.1)]
    chamfer = 100 * surface.score("chamfer")
    measured = f"{' / '.join(f'{score:.3f}' for score in scores)}; {chamfer:.1f} cm"
    return surface.row("hololens_a", "mesh against sensor depth: F-score at 2 / 5 / 10 cm; chamfer", measured)


def _depth_error(place: Place, frame: Frame) -> float | None:
    """Median relative error of the aligned depth of a view; None when it was rejected."""
    path = place.out / f"alignment/{frame.view.stem}.npz"
    if not path.exists():
        return None
    aligned = load_prediction(path).depth
    assert aligned is not None
    depth, seen = hololens.sensor_depth(place.data, frame.view.name)
    both = seen & aligned.valid
    return float(np.median(np.abs(aligned.values[both] / depth[both] - 1)))


def _sensor_mesh(place: Place) -> Mesh:
    """The plain TSDF mesh of all of the raw sensor depth (it ends at 7.2 m), 2 cm voxels."""
    maps = []
    for frame in hololens.frames(place.data):
        depth, seen = hololens.sensor_depth(place.data, frame.view.name)
        maps.append((frame.view, np.where(seen, depth, 0), read_rgb(frame.photo)))
    return plain_mesh(maps, voxel_size=0.02, max_depth=10.0)


def redkitchen(place: Place) -> list[Row]:
    """Sensor depth as it is, through the whole pipeline, beside a plain loop over the same maps."""
    from tests.acceptance.fusion_rows import VOXEL_SIZE, redkitchen_rows

    photos, predictions, poses = (place.work / name for name in ("photos", "predictions", "transforms.json"))
    seven_scenes.write_photos(place.data, photos)
    seven_scenes.write_predictions(place.data, predictions)
    seven_scenes.write_poses(place.data, poses, photos)
    stored = ["--model", "precomputed", "--predictions", str(predictions), "--align", "none"]
    posed = ["--poses", str(poses), "--pose-unit", "m", "--no-triangulate", "--voxel-size", str(VOXEL_SIZE)]
    seconds = place.pipeline(photos, *stored, *posed)
    maps = []
    for frame in seven_scenes.frames(place.data, photos):
        depth, seen = seven_scenes.sensor_depth(place.data, frame.view.stem)
        maps.append((frame.view, np.where(seen, depth, 0), read_rgb(frame.photo)))
    plain = plain_mesh(maps, VOXEL_SIZE, max_depth=10.0)
    score = mesh_metrics(read_mesh(place.out / "mesh/mesh.ply"), plain, VOXEL_SIZE)["fscore"]
    what = "F-score at 1 cm, whole pipeline"
    pipeline = Row("redkitchen_7scenes", what, f"{score:.4f}", ">= 0.99", score >= 0.99, seconds)
    return [pipeline, *redkitchen_rows(place.data.parents[1])]


def parity(place: Place) -> list[Row]:
    """The single step beside what the official code computed with the same tiny checkpoints."""
    from lotus_recon.models.lotus import LotusModel

    rows = []
    for name, case in (("tiny-lotus-depth-g", "depth-g"), ("tiny-lotus-normal-d", "normal-d")):
        model = LotusModel.from_pretrained(place.data / name, task=case.split("-")[0], device="cpu")
        worst = 0.0
        for path in sorted((place.data / "official").glob(f"{case}-*.npz")):
            official = load_arrays(path)
            noise = official["latents"] if case.endswith("g") else None
            resolution = int(official["processing_res"])
            raw = model.raw(official["rgb"], processing_res=resolution, noise=noise, resize_back=False)
            worst = max(worst, float(np.abs(raw - official["output_processing_res"]).max()))
        rows.append(Row("parity", f"{name}, largest difference", f"{worst:.1e}", "<= 1e-4", worst <= 1e-4))
    return rows


def nano(place: Place) -> list[Row]:
    """The model that ships with the package."""
    return nano_rows.nano(place.data, place.work.parent)


# They make their input.
WITHOUT_DATA = {**reliability_rows.RUNS, **reliability_limits.RUNS, **soak_rows.RUNS, **tiles_rows.RUNS}
RUNS: Mapping[str, tuple[str, Callable[[Place], list[Row]]]] = {
    "parity": ("../parity", parity),
    "fountain": ("fountain_p11", fountain),
    "lund": ("lund_door", lund),
    "photos": ("fountain_p11", lambda place: changing_rows.photos_come_and_go(place.data, place.work)),
    "dtu": ("dtu_scan24_omnidata", dtu),
    "hololens": ("hololens_a", hololens_a),
    "redkitchen": ("redkitchen_7scenes", redkitchen),
    "nano": (".", nano),
    "video": (".", lambda place: video_rows.video(place.data, place.work)),
    "worlds": (".", lambda place: worlds_rows.worlds(place.work)),
    "camera": (".", lambda place: camera_rows.camera(place.data, place.work.parent)),
    "foretold": (".", lambda place: foretold_rows.foretold_rows(place.data, place.work)),
    "batch": (".", lambda place: batch_rows.batch_of_real_sets(place.data, place.work)),
    "dtu-normals": ("dtu_scan24_omnidata", lambda place: normal_surface_rows.dtu_normals(place.data, place.work)),
    "rooms-normals": (".", lambda place: normal_surface_rows.rooms_normals(place.work)),
    "texture": ("..", lambda place: texture_rows(place.data, place.work)),
    "view": (".", lambda place: view_rows(ROOT / "data/sample", place.work)),
    "normals": ("normals_diligent", lambda place: integration_rows.objects(place.data)),
    **{
        name: (folder, lambda place, run=run: run(place.data, place.work))  # type: ignore[misc]
        for name, (folder, run) in {
            **mvs_rows.RUNS,
            **adaptation_rows.RUNS,
            **export_rows.RUNS,
            **uncertainty_rows.RUNS,
            **WITHOUT_DATA,
        }.items()
    },
}


def rows_of(name: str, shared: Path, work: Path) -> list[Row]:
    """The rows of one run, from an empty work folder."""
    folder, run = RUNS[name]
    place = Place(shared / "data" / folder, work / name)
    shutil.rmtree(place.work, ignore_errors=True)
    place.work.mkdir(parents=True)
    own = f"python -m tests.acceptance {name}"
    return [replace(row, command=row.command or own) for row in run(place)]
