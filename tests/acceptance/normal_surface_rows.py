"""Acceptance of --fusion normal: real predicted normals, and rooms with exact truth, each beside --fusion tsdf."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import open3d
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, gaussian_filter

from lotus_recon.alignment.config import AlignmentConfig
from lotus_recon.alignment.control_points import held_out_points
from lotus_recon.alignment.results import AlignmentResult
from lotus_recon.datasets import dtu_omnidata
from lotus_recon.evaluation.metrics import point_to_mesh_distance
from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.geometry.depth import depth_edges
from lotus_recon.geometry.normals import angle_deg, normalized
from lotus_recon.io.cameras import read_colmap_scene
from lotus_recon.io.maps import load_arrays, load_prediction, save_prediction
from lotus_recon.io.meshes import read_mesh
from lotus_recon.normal_integration.stage import IntegratedViews
from lotus_recon.types import DepthKind, DepthMap, Mesh, NormalMap, Prediction, Scene, View
from tests.acceptance.command import multi_view
from tests.acceptance.rows import Row
from tests.acceptance.walks import write_walk

core: Any = open3d.core  # its type stubs do not know the constructors used here
ROOMS = 6
DEPTH_ERROR = 0.03  # rms of the low-frequency relative error
DEPTH_ERROR_LENGTH = 1 / 8  # standard deviation of the filter of that error, as a share of the width
NORMALS_ERROR_DEG = 5.0
EDGE_PX, EDGE_JUMP, CREASE_DEG = 4, 0.03, 37.0
_BACKENDS = ("tsdf", "normal")


def _mesh(photos: Path, out: Path, backend: str, *options: str) -> Mesh:
    multi_view(photos, out, "--fusion", backend, *options)
    return read_mesh(out / "fusion" / backend / "mesh.ply")


def dtu_normals(data: Path, work: Path) -> list[Row]:
    """Given poses, the maps of another network; without refinement, then with it."""
    predictions, poses = work / "predictions", work / "transforms.json"
    dtu_omnidata.write_predictions(data, predictions)
    dtu_omnidata.write_poses(data, poses)
    given = ["--model", "precomputed", "--predictions", str(predictions), "--poses", str(poses), "--holdout-strict"]
    rows = []
    for refined in (False, True):
        options = [*given, "--mvs" if refined else "--no-mvs"]
        figures = {}
        for backend in _BACKENDS:
            mesh = _mesh(data / "images", work / "out", backend, *options)
            scene = read_colmap_scene(work / "out/sfm/sparse")
            usable = AlignmentResult.load(work / "out/alignment").usable
            unseen = _unseen(scene, usable)
            distance = point_to_mesh_distance(scene.points.xyz[unseen], mesh)
            angles = [_normals_beside(mesh, scene.views[scene.index[name]], work / "out") for name in usable]
            figures[backend] = (float(np.median(distance)), float(np.percentile(distance, 90)), float(np.mean(angles)))
        (median, p90, angle), (median_tsdf, p90_tsdf, angle_tsdf) = figures["normal"], figures["tsdf"]
        run = "dtu normals, stereo" if refined else "dtu normals"
        asked = not refined
        integrated = IntegratedViews.load(work / "out/integration").views
        before, after = (
            float(np.median([value for view in integrated if (value := getattr(view, key)) is not None]))
            for key in ("median_before", "median_after")
        )
        rows += [
            Row(run, f"held-out points to depth, median of views (as it was {before:.3%})", f"{after:.3%}",
                "not above" if asked else "", after <= before if asked else None),
            Row(run, f"unseen points to mesh, median (tsdf {median_tsdf:.2f} mm)", f"{median:.2f} mm",
                "not above" if asked else "", median <= median_tsdf if asked else None),
            Row(run, f"unseen points to mesh, p90 (tsdf {p90_tsdf:.2f} mm)", f"{p90:.2f} mm", "", None),
            Row(run, f"mesh to predicted normals, mean of medians (tsdf {angle_tsdf:.1f} deg)", f"{angle:.1f} deg",
                "below" if asked else "", angle < angle_tsdf if asked else None),
        ]  # fmt: skip
    return rows


def _unseen(scene: Scene, with_map: tuple[str, ...]) -> NDArray[np.bool_]:
    held = held_out_points(scene, AlignmentConfig().holdout, seed=0)
    among = np.isin(scene.points.obs_view, [scene.index[name] for name in with_map])
    return np.asarray(held & (np.bincount(scene.points.obs_point[among], minlength=len(held)) >= 2))


def _normals_beside(mesh: Mesh, view: View, out: Path) -> float:
    """Median angle between the normals of the mesh, where the view sees it, and those predicted for the view."""
    predicted = load_prediction(out / "prediction/precomputed" / f"{view.stem}.npz").normals
    assert predicted is not None
    return float(np.median(_angles_seen(mesh, view, predicted)))


def _angles_seen(mesh: Mesh, view: View, expected: NormalMap) -> NDArray[np.float64]:
    """(N,) angles in degrees between the normals of the mesh and the ``expected`` ones, where the view sees both."""
    rays = (rays_in_cam(view.camera) @ view.cam_from_world[:3, :3]).reshape(-1, 3)
    origins = np.broadcast_to(view.center_in_world, rays.shape)
    hits = _scene_of(mesh).cast_rays(core.Tensor(np.concatenate([origins, rays], 1).astype(np.float32)))
    seen = np.isfinite(hits["t_hit"].numpy()).reshape(expected.shape) & expected.valid
    normals = (hits["primitive_normals"].numpy() @ view.cam_from_world[:3, :3].T).reshape(*expected.shape, 3)
    away = (normals * rays_in_cam(view.camera)).sum(-1, keepdims=True) > 0
    return np.asarray(angle_deg(np.where(away, -normals, normals)[seen], expected.values[seen]))


def _scene_of(mesh: Mesh) -> Any:
    scene = open3d.t.geometry.RaycastingScene()
    scene.add_triangles(core.Tensor(mesh.vertices.astype(np.float32)), core.Tensor(mesh.triangles.astype(np.uint32)))
    return scene


def rooms_normals(work: Path) -> list[Row]:
    """Rooms with exact truth; predictions are the truth with smooth depth error and noisy normals, not refined."""
    figures: dict[str, list[tuple[float, float, float, float]]] = {backend: [] for backend in _BACKENDS}
    for number in range(ROOMS):
        room = work / f"room_{number:02d}"
        write_walk(number, room, "raycast")
        _write_predictions(room, number)
        truth = read_mesh(room / "mesh.ply")
        options = ["--model", "precomputed", "--predictions", str(room / "predictions"), "--align", "none"]
        options += ["--poses", str(room / "transforms.json"), "--pose-unit", "m"]
        for backend in _BACKENDS:
            mesh = _mesh(room / "images", room / "out", backend, *options, "--check-depth", "on")
            figures[backend].append((*_beside_truth(mesh, truth), *_seen_beside_truth(mesh, room)))
    plain, integrated = (np.mean(figures[backend], axis=0) for backend in _BACKENDS)
    (distance_tsdf, nearest_tsdf, seen_tsdf, flat_tsdf), (distance, nearest, seen, flat) = plain, integrated
    fewer = 1 - integrated / plain
    run = "rooms normals"
    return [
        Row(run, f"mesh to true surface, mean (tsdf {1000 * distance_tsdf:.1f} mm)",
            f"{1000 * distance:.1f} mm, {fewer[0]:.0%} less", ">= 30 % less", bool(fewer[0] >= 0.3)),
        Row(run, f"error of its normals, as the views see them, mean (tsdf {seen_tsdf:.1f} deg)",
            f"{seen:.1f} deg, {fewer[2]:.0%} less", ">= 40 % less", bool(fewer[2] >= 0.4)),
        Row(run, f"the same, farther than {EDGE_PX} px from edges and creases (tsdf {flat_tsdf:.1f} deg)",
            f"{flat:.1f} deg, {fewer[3]:.0%} less", "", None),
        Row(run, f"error of its normals, beside the nearest true face, mean (tsdf {nearest_tsdf:.1f} deg)",
            f"{nearest:.1f} deg, {fewer[1]:.0%} less", "", None),
    ]  # fmt: skip


def _write_predictions(room: Path, seed: int) -> None:
    """``<view>.npz`` with metric depth, 3 % off at low frequencies, and normals with 5 degrees of noise (rms)."""
    rng = np.random.default_rng(seed)
    for path in sorted((room / "truth").glob("*.npz")):
        truth = load_arrays(path)
        smooth = gaussian_filter(
            rng.standard_normal(truth["depth"].shape), DEPTH_ERROR_LENGTH * truth["depth"].shape[1]
        )
        depth = truth["depth"] * np.exp(DEPTH_ERROR * smooth / smooth.std())
        noise = rng.standard_normal(truth["normals"].shape) * np.radians(NORMALS_ERROR_DEG) / np.sqrt(2)
        normals = normalized(truth["normals"] + noise).astype(np.float32)
        prediction = Prediction(
            DepthMap(depth.astype(np.float32), truth["valid"], DepthKind.METRIC),
            NormalMap(normals, truth["normals_valid"] & truth["valid"]),
        )
        save_prediction(room / "predictions" / path.name, prediction)


def _beside_truth(mesh: Mesh, truth: Mesh) -> tuple[float, float]:
    """Mean distance of the vertices to the true surface, and mean angle between both surfaces' normals there."""
    distance = float(np.mean(point_to_mesh_distance(mesh.vertices, truth)))
    nearest = _scene_of(truth).compute_closest_points(core.Tensor(mesh.vertices.astype(np.float32)))
    assert mesh.normals is not None
    cosine = np.abs((nearest["primitive_normals"].numpy() * normalized(mesh.normals)).sum(-1))
    return distance, float(np.mean(np.degrees(np.arccos(np.clip(cosine, 0, 1)))))


def _seen_beside_truth(mesh: Mesh, room: Path) -> tuple[float, float]:
    """Mean angle in degrees between the mesh's normals and the true ones over the pixels of all views; and over those
    farther than ``EDGE_PX`` from edges of the depth and from creases, where a fused mesh cannot be right."""
    angles, flat = [], []
    for view in read_colmap_scene(room / "out/sfm/sparse").views:
        truth = load_arrays(room / "truth" / f"{view.stem}.npz")
        normals = truth["normals"].astype(np.float32)
        crease = np.zeros(normals.shape[:2], bool)
        crease[:, 1:] |= angle_deg(normals[:, 1:], normals[:, :-1]) > CREASE_DEG
        crease[1:] |= angle_deg(normals[1:], normals[:-1]) > CREASE_DEG
        near = binary_dilation(crease | depth_edges(truth["depth"], truth["valid"], EDGE_JUMP), iterations=EDGE_PX)
        known = truth["normals_valid"] & truth["valid"]
        angles.append(_angles_seen(mesh, view, NormalMap(normals, known)))
        flat.append(_angles_seen(mesh, view, NormalMap(normals, known & ~near)))
    return float(np.mean(np.concatenate(angles))), float(np.mean(np.concatenate(flat)))
