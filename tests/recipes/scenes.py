"""A small scene with known truth on disk: photos, poses, and its depth as stored predictions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from lotus_recon.datasets.posed import Frame, write_transforms
from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.geometry.pose import transform
from lotus_recon.io.maps import save_prediction
from lotus_recon.synthetic.arrangement import arc_of_poses
from lotus_recon.types import Camera, DepthKind, DepthMap, FloatArray, Prediction, View

CAMERA = Camera.from_fov_deg(60.0, 96, 72)
SMALL_REPORT = Path(__file__).with_name("small_report.yaml")
RADIUS = 0.5  # of a sphere at the origin that lies on the floor z = -RADIUS; metres


@dataclass(frozen=True)
class SceneOnDisk:
    """Folders of one scene."""

    photos: Path
    predictions: Path
    poses: Path
    out: Path

    def arguments(self, *more: str) -> list[str]:
        """A command line that takes the stored maps as metric depth at the given poses."""
        stored = ["--model", "precomputed", "--predictions", str(self.predictions), "--align", "none"]
        posed = ["--poses", str(self.poses), "--pose-unit", "m", "--no-triangulate"]
        small = ["--config", str(SMALL_REPORT)]
        return [str(self.photos), "--out", str(self.out), *stored, *posed, *small, "--quiet", *more]


def sphere_depth(cam_from_world: FloatArray) -> FloatArray:
    """(H, W) z-depth of the sphere and the floor, by solving for the first hit of each ray."""
    rays = rays_in_cam(CAMERA)
    direction = rays @ cam_from_world[:3, :3]
    center = -cam_from_world[:3, :3].T @ cam_from_world[:3, 3]
    a, b, c = (direction**2).sum(-1), direction @ center, center @ center - RADIUS**2
    root = b**2 - a * c
    sphere = np.where(root > 0, (-b - np.sqrt(np.maximum(root, 0))) / a, np.inf)
    with np.errstate(divide="ignore"):
        floor = (-RADIUS - center[2]) / direction[..., 2]
    return np.minimum(sphere, np.where(floor > 0, floor, np.inf))


def write_scene(root: Path, count: int = 6) -> SceneOnDisk:
    """Write photos coloured by the position of the surface, true poses and true depth."""
    scene = SceneOnDisk(root / "photos é", root / "maps", root / "transforms.json", root / "out")
    scene.photos.mkdir(parents=True)
    frames = []
    poses = arc_of_poses(np.zeros(3), 2.0, 1.0, np.linspace(0, 300, count))
    for i, pose in enumerate(poses):
        depth = sphere_depth(pose)
        valid = depth < 4
        points = transform(np.linalg.inv(pose), rays_in_cam(CAMERA) * np.where(valid, depth, 1)[..., None])
        rgb = (127 + 120 * np.sin(9 * points)).astype(np.uint8)
        path = scene.photos / f"view {i}.png"
        Image.fromarray(rgb).save(path)
        frames.append(Frame(path, View(path.name, CAMERA, pose)))
        depth_map = DepthMap(np.where(valid, depth, 0).astype(np.float32), valid, DepthKind.METRIC)
        save_prediction(scene.predictions / f"view {i}.npz", Prediction(depth_map, None, {}))
    write_transforms(frames, scene.poses)
    return scene
