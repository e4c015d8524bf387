"""Acceptance of the exports: what COLMAP, 3D Gaussian splatting and Blender make of real reconstructions."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import PIL.Image  # noqa: F401  must come before pycolmap
import pycolmap
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from lotus_recon.evaluation.metrics import point_to_mesh_distance
from lotus_recon.geometry.camera import pixel_index
from lotus_recon.geometry.normals import angle_deg
from lotus_recon.geometry.points import seen_points
from lotus_recon.io.cameras import read_colmap_scene
from lotus_recon.io.images import read_rgb
from lotus_recon.io.meshes import PointCloud, read_points
from lotus_recon.types import FloatArray
from tests.acceptance.command import ROOT
from tests.acceptance.mesh_runs import Run, reconstructed
from tests.acceptance.mvs_rows import dtu_photos, footprints, given_points
from tests.acceptance.rows import Row
from tests.exporting.blender import RENDER, blender_python, in_blender
from tests.exporting.readers import read_3dgs

NEAR_MM, NEAR_PX = 2.0, 2.0
Picture = NDArray[np.uint8]


def dtu_export(data: Path, work: Path) -> list[Row]:
    """The 17 photos at given poses, as in dtu-mvs: the points that COLMAP fuses from the exported maps."""
    names = dtu_photos(data, work)
    scene, held, given = given_points(data / "colmap_gt", names, work)
    run = reconstructed("dtu24, export", work / "photos", work, "--poses", str(given), "--export", "colmap,3dgs")
    unseen, workspace = scene.points.xyz[held], run.out / "export/colmap"
    mesh_near = float(np.mean(np.asarray(point_to_mesh_distance(unseen, run.mesh)) <= NEAR_MM))
    cloud, plain = (_fused(workspace, work, options) for options in (_documented(), pycolmap.StereoFusionOptions()))
    median, near = _distances(unseen, cloud.points)
    plain_median, plain_near = _distances(unseen, plain.points)
    dense_median, dense_near = _distances(unseen, read_points(run.out / "dense.ply").points)
    angle = _angle_to_mesh(run, cloud)
    points = f"{len(cloud.points)} points fused by COLMAP"
    return [
        Row(
            run.name,
            f"{len(unseen)} unseen points to {points}, median",
            f"{median:.2f} mm",
            "<= 0.45 mm",
            median <= 0.45,
        ),
        Row(run.name, "share of them within 2 mm", f"{near:.3f}", f">= {mesh_near:.3f} (mesh)", near >= mesh_near),
        Row(run.name, "normals of the fused points to those of the mesh", f"{angle:.1f} deg", "<= 10 deg", angle <= 10),
        Row(run.name, "the same with COLMAP's default options", f"{plain_median:.2f} mm; {plain_near:.3f}", "", None),
        Row(run.name, "unseen points to dense.ply", f"{dense_median:.2f} mm; {dense_near:.3f}", "", None),
        _inverse_depth(run),
    ]


def _documented() -> pycolmap.StereoFusionOptions:
    """Those that docs/exports.md names: of checked depth, every pixel that shows a place of its own is a point."""
    options = pycolmap.StereoFusionOptions()
    options.min_num_pixels, options.max_reproj_error = 1, 0.5
    return options


def _fused(workspace: Path, work: Path, options: pycolmap.StereoFusionOptions) -> PointCloud:
    pycolmap.stereo_fusion(work / "fused.ply", workspace, output_type="ply", options=options)
    return read_points(work / "fused.ply")


def _distances(points: FloatArray, cloud: FloatArray) -> tuple[float, float]:
    """Median distance to the nearest point of a cloud, and share within two millimetres."""
    distance, _ = cKDTree(cloud).query(points)
    return float(np.median(distance)), float(np.mean(distance <= NEAR_MM))


def _angle_to_mesh(run: Run, cloud: PointCloud) -> float:
    """Median angle in degrees between the normals of a cloud and those of the mesh at the nearest vertex."""
    mesh = run.mesh
    assert mesh.normals is not None
    assert cloud.normals is not None
    _, nearest = cKDTree(mesh.vertices).query(cloud.points)
    return float(np.median(angle_deg(cloud.normals, mesh.normals[nearest])))


def _inverse_depth(run: Run) -> Row:
    """Inverse depth as 3DGS reads it, at the sparse points of its own model."""
    folder = run.out / "export/3dgs"
    scene, views, errors = read_colmap_scene(folder / "sparse/0"), read_3dgs(folder), []
    for index, view in enumerate(scene.views):
        xy, z = seen_points(scene, index, np.ones(len(scene.points.xyz), bool))
        inverse = 1 / views[view.name].depth[pixel_index(xy, view.camera.height, view.camera.width)]
        errors.append(np.abs(inverse * z - 1)[inverse > 0])
    error = float(np.median(np.concatenate(errors)))
    aligned = json.loads((run.out / "alignment/alignment.json").read_text())["views"]
    limit = float(np.median([view["median_after"] for view in aligned if view["median_after"] is not None]))
    figure = "3DGS: inverse depth at sparse points, median error"
    return Row(run.name, figure, f"{error:.2%}", f"<= {limit:.2%} (alignment)", error <= limit)


def lund_export(data: Path, work: Path) -> list[Row]:
    """A model from scratch: bundle adjustment of the exported model finds it adjusted.

    And a scene on which no option of COLMAP's fusion was chosen; distances in pixel footprints, as in lund-mvs.
    """
    run = reconstructed("lund, export", data / "images", work, "--export", "colmap")
    model = pycolmap.Reconstruction(run.out / "export/colmap/sparse")
    shortest = min(len(point.track.elements) for point in model.points3D.values())
    before = model.compute_mean_reprojection_error()
    pycolmap.bundle_adjustment(model)
    change = abs(model.compute_mean_reprojection_error() - before)
    figure = "bundle adjustment of the export, mean reprojection error changes by"
    return [
        Row(run.name, figure, f"{change:.3f} px", "<= 0.01 px", change <= 0.01, run.seconds),
        Row(run.name, "observations of every point, at least", str(shortest), ">= 2", shortest >= 2),
        *_fused_rows(run, work),
    ]


def _fused_rows(run: Run, work: Path) -> list[Row]:
    """Unseen points to the mesh, and to what COLMAP fuses with the documented options and with its own."""
    held = run.held_out()
    unseen, side = run.scene.points.xyz[held], footprints(run.scene)[held]
    mesh = np.asarray(point_to_mesh_distance(unseen, run.mesh)) / side
    rows = [_footprint_row(run, f"{len(unseen)} unseen points to mesh", mesh)]
    for what, options in (("documented", _documented()), ("COLMAP's default", pycolmap.StereoFusionOptions())):
        cloud = _fused(run.out / "export/colmap", work, options).points
        distance, _ = cKDTree(cloud).query(unseen)
        rows.append(_footprint_row(run, f"to {len(cloud)} points fused with {what} options", distance / side))
    return rows


def _footprint_row(run: Run, figure: str, distance: FloatArray) -> Row:
    measured = f"{float(np.median(distance)):.2f} px; {float(np.mean(distance <= NEAR_PX)):.3f}"
    return Row(run.name, f"{figure}, median; share within {NEAR_PX:g} px", measured, "", None)


def sample_export(sample: Path, work: Path) -> list[Row]:
    """Blender renders the vertex-coloured mesh through the camera of a photo."""
    poses = str(sample / "truth/transforms.json")
    run = reconstructed("sample, export", sample / "images", work, "--poses", poses, "--export", "blender")
    if blender_python() is None:
        return [Row(run.name, "Blender", "no Python with bpy (LOTUS_RECON_BLENDER_PYTHON)", "", None, run.seconds)]
    folder, shifts = run.out / "export/blender", []
    for photo in sorted((folder / "images").iterdir())[::6]:
        in_blender(RENDER, folder / "open_in_blender.py", photo.name, str(work / "render.png"))
        shifts += _shifts(read_rgb(work / "render.png"), read_rgb(photo))
    worst = max(shifts)
    figure = f"edges of Blender's render from those of the photo, worst of {len(shifts)} parts"
    return [Row(run.name, figure, f"{worst:.2f} px", "<= 1 px", worst <= 1, run.seconds)]


def _shifts(render: Picture, photo: Picture) -> list[float]:
    """Pixels by which the edges of each quarter of two pictures (H, W, 3) are apart, by phase correlation."""
    edges = [_edges(picture) for picture in (render, photo)]
    rows, cols = (size // 2 for size in photo.shape[:2])
    shifts = []
    for row in (0, rows):
        for col in (0, cols):
            parts = [np.ascontiguousarray(each[row : row + rows, col : col + cols]) for each in edges]
            (x, y), _ = cv2.phaseCorrelate(*parts)
            shifts.append(float(np.hypot(x, y)))
    return shifts


def _edges(picture: Picture) -> FloatArray:
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.asarray(cv2.magnitude(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)))


RUNS: Mapping[str, tuple[str, Callable[[Path, Path], list[Row]]]] = {
    "dtu-export": ("dtu_scan24_omnidata", dtu_export),
    "lund-export": ("lund_door", lund_export),
    "sample-export": (".", lambda _, work: sample_export(ROOT / "data/sample", work)),
}
