"""Acceptance on rendered scenes that are hard for dense stereo, against their exact surfaces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from lotus_recon.evaluation.rays import RayShares, VisiblePoints, depth_points, hit_ratios, ray_shares
from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.geometry.pose import transform
from lotus_recon.io.images import read_rgb
from lotus_recon.io.maps import load_arrays
from lotus_recon.io.meshes import read_mesh
from lotus_recon.types import BoolArray, DepthKind, DepthMap, Scene, View
from tests.acceptance.dense_scenes import facade, object_before_black, write_scene
from tests.acceptance.mesh_runs import SAMPLES, TOLERANCE, Run, ray_rows, rays_to_surface, reconstructed
from tests.acceptance.rows import Row


def rendered(work: Path) -> list[Row]:
    """An object before black, and a house whose balcony and portico stand out, against their exact surfaces."""
    write_scene(work / "black", object_before_black, black=True)
    write_scene(work / "facade", facade, black=False)
    black, house = (
        reconstructed(name, work / folder / "images", work / folder, "--poses", str(work / folder / "transforms.json"))
        for name, folder in (("object before black", "black"), ("facade", "facade"))
    )
    shares = rays_to_surface(black, read_mesh(work / "black/mesh.ply"), TOLERANCE)
    right = [_textured_right(run, work / folder) for run, folder in ((black, "black"), (house, "facade"))]
    roof = _parts(house, work / "facade", _roof).met
    return [
        *ray_rows(black.name, shares, 0.95, 0.01, 0.03, black.seconds),
        *[
            Row(run.name, "textured pixels within 1 % of true depth", f"{share:.3f}", ">= 0.97", share >= 0.97)
            for run, share in zip((black, house), right, strict=True)
        ],
        *ray_rows(f"{house.name}: balcony, columns", _parts(house, work / "facade", _stands_out), 0.95, 0.02),
        Row(house.name, "portico's roof, nearly black: met", f"{roof:.3f}", "", None),
    ]


def _textured_right(run: Run, folder: Path) -> float:
    """Share of the pixels of all depth maps that three photos see and that have texture, within 1 % of their depth."""
    scene, right, count = run.scene, 0, 0
    truths = {view.name: load_arrays(folder / "truth" / f"{view.stem}.npz") for view in scene.views}
    for view in scene.views:
        true = truths[view.name]
        gray = read_rgb(folder / "images" / view.name).astype(np.float64).mean(-1)
        spread = np.sqrt(np.maximum(gaussian_filter(gray**2, 3) - gaussian_filter(gray, 3) ** 2, 0))
        chosen = true["depth_valid"] & (spread > 2) & (_seen_by(view, true["depth"], scene, truths) >= 3)
        found = load_arrays(run.out / "mvs" / f"{view.stem}.npz")
        ratio = np.where(found["depth_valid"], found["depth"], np.inf)[chosen] / true["depth"][chosen]
        right, count = right + int((np.abs(ratio - 1) < TOLERANCE).sum()), count + int(chosen.sum())
    return right / count


def _seen_by(view: View, depth: NDArray, scene: Scene, truths: dict[str, dict[str, NDArray]]) -> NDArray[np.int64]:
    """(H, W) photos that show the surface of each pixel, this one included."""
    world = (rays_in_cam(view.camera) * depth[..., None] - view.cam_from_world[:3, 3]) @ view.cam_from_world[:3, :3]
    seen = np.ones(depth.shape, np.int64)
    for other in scene.views:
        if other.name == view.name:
            continue
        x, y, z = np.moveaxis(transform(other.cam_from_world, world), -1, 0)
        camera, z = other.camera, np.where(z > 0, z, np.inf)
        col, row = (np.floor(v).astype(int) for v in (camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy))
        inside = np.isfinite(z) & (col >= 0) & (col < camera.width) & (row >= 0) & (row < camera.height)
        there = truths[other.name]["depth"][np.where(inside, row, 0), np.where(inside, col, 0)]
        seen += inside & (np.abs(there / z - 1) < 0.02)
    return seen


def _stands_out(x: NDArray, y: NDArray, z: NDArray) -> BoolArray:
    """What stands out from the wall of the facade: the slab of the balcony and the columns."""
    return ((y < -0.2) & (np.abs(z - 3.07) < 0.1) & (x < -0.8)) | ((y < -1.2) & (z > 0.35) & (z < 2.68) & (x > 0.8))


def _roof(x: NDArray, y: NDArray, z: NDArray) -> BoolArray:
    """The roof of the portico, from all sides."""
    return (y < -0.2) & (np.abs(z - 2.82) < 0.15) & (x > 0.8)


def _parts(run: Run, folder: Path, chosen: Callable[[NDArray, NDArray, NDArray], BoolArray]) -> RayShares:
    """Rays to the part of the true surface that is chosen by place (x, y, z in metres)."""
    parts = []
    for index, view in enumerate(run.scene.views):
        true = load_arrays(folder / "truth" / f"{view.stem}.npz")
        cam = rays_in_cam(view.camera) * true["depth"][..., None]
        world = (cam - view.cam_from_world[:3, 3]) @ view.cam_from_world[:3, :3]
        valid = true["depth_valid"] & chosen(*np.moveaxis(world, -1, 0))
        parts.append(depth_points(view, index, DepthMap(true["depth"], valid, DepthKind.SCENE), SAMPLES, None))
    return ray_shares(hit_ratios(run.mesh, VisiblePoints.joined(parts)), TOLERANCE)
