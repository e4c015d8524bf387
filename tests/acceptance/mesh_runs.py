"""One reconstruction of an acceptance run, and rows on where its mesh is: rays and points that no stage used."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lotus_recon.alignment.control_points import held_out_points
from lotus_recon.alignment.results import AlignmentResult
from lotus_recon.evaluation.metrics import point_to_mesh_distance
from lotus_recon.evaluation.rays import RayShares, VisiblePoints, depth_points, hit_ratios, observed_points, ray_shares
from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.io.cameras import read_colmap_scene
from lotus_recon.io.meshes import read_mesh
from lotus_recon.meshing.ray_casting import hit_distances
from lotus_recon.types import BoolArray, DepthKind, DepthMap, Mesh, Scene, View
from tests.acceptance.command import multi_view
from tests.acceptance.rows import Row

MESH = "mesh/mesh.ply"
HELD_OUT_SHARE = 0.2
TOLERANCE = 0.01
OFTEN_SEEN = 5  # photos
SAMPLES = 10_000  # rays of a view to an exact surface


@dataclass(frozen=True)
class Run:
    """A reconstruction and what no stage of it used."""

    name: str
    out: Path
    seconds: float

    @property
    def scene(self) -> Scene:
        """Cameras and sparse points, held-out ones and others."""
        return read_colmap_scene(self.out / "sfm/sparse")

    @property
    def mesh(self) -> Mesh:
        """The final mesh."""
        return read_mesh(self.out / MESH)

    def rejected(self) -> Row:
        """Views that the alignment or the stereo left out."""
        aligned = sum(not view.usable for view in AlignmentResult.load(self.out / "alignment").views)
        stereo = json.loads((self.out / "mvs/mvs.json").read_text())["views"]
        excluded = sum(view["status"] == "excluded" for view in stereo)
        return Row(self.name, "views rejected", str(aligned + excluded), "0", aligned + excluded == 0)

    def held_out(self) -> BoolArray:
        """(P,) the points that no stage used."""
        return held_out_points(self.scene, HELD_OUT_SHARE, seed=0)


def reconstructed(name: str, photos: Path, work: Path, *options: str) -> Run:
    """Run the pipeline on photos; the held-out points take no part."""
    out = work / "out"
    return Run(name, out, multi_view(photos, out, "--holdout-strict", *options))


def ray_rows(
    name: str, shares: RayShares, met: float, blocked: float, none: float | None = None, seconds: float | None = None
) -> list[Row]:
    """Shares of rays against what is asked of them."""
    rows = [
        Row(name, f"met, of {shares.rays} rays", f"{shares.met:.3f}", f">= {met:g}", shares.met >= met, seconds),
        Row(name, "blocked", f"{shares.blocked:.4f}", f"<= {blocked:g}", shares.blocked <= blocked),
    ]
    wanted = "" if none is None else f"<= {none:g}"
    return [*rows, Row(name, "none", f"{shares.none:.4f}", wanted, None if none is None else shares.none <= none)]


def point_rows(
    run: Run, scene: Scene, unseen: BoolArray, asked: tuple[float, float], scale: float, unit: str
) -> list[Row]:
    """Distances from the unseen points of a scene to the mesh, times ``scale``.

    Points have errors of their own, largest along the rays of few photos: those of more are a row for themselves.
    """
    distance = scale * point_to_mesh_distance(scene.points.xyz[unseen], run.mesh)
    rows = []
    for what, percentile, limit in (("median", 50, asked[0]), ("p90", 90, asked[1])):
        value = float(np.percentile(distance, percentile))
        figure = f"{len(distance)} unseen points to mesh, {what}"
        rows.append(Row(run.name, figure, f"{value:.2f} {unit}", f"<= {limit:g} {unit}", value <= limit))
    often = distance[scene.points.track_length[unseen] >= OFTEN_SEEN]
    figure = f"of those, {len(often)} that {OFTEN_SEEN} or more photos show, p90"
    return [*rows, Row(run.name, figure, f"{float(np.percentile(often, 90)):.2f} {unit}", "", None)]


def rays_to_points(run: Run, scene: Scene, chosen: BoolArray) -> RayShares:
    """Rays from every view to the chosen (P,) points that it sees."""
    parts = [observed_points(scene, index, chosen, None) for index in range(len(scene.views))]
    return ray_shares(hit_ratios(run.mesh, VisiblePoints.joined(parts)), TOLERANCE)


def rays_to_surface(run: Run, truth: Mesh, tolerance: float) -> RayShares:
    """Every n-th pixel of all photos, against the exact surface."""
    parts = []
    for index, view in enumerate(run.scene.views):
        parts.append(depth_points(view, index, exact_depth(view, truth), SAMPLES, None))
    return ray_shares(hit_ratios(run.mesh, VisiblePoints.joined(parts)), tolerance)


def exact_depth(view: View, mesh: Mesh) -> DepthMap:
    """What a view sees of a surface."""
    rays = rays_in_cam(view.camera).reshape(-1, 3) @ view.cam_from_world[:3, :3]
    depth = hit_distances(mesh, np.broadcast_to(view.center_in_world, rays.shape), rays)
    depth = depth.reshape(view.camera.height, view.camera.width)
    return DepthMap(np.where(np.isfinite(depth), depth, 0).astype(np.float32), np.isfinite(depth), DepthKind.SCENE)
