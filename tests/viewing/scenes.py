"""A scene of known shape for the page: a floor and a ball, photographed by solving for the first hit of each ray."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.geometry.pose import invert_rigid, transform
from lotus_recon.io.maps import save_maps, save_prediction
from lotus_recon.io.meshes import PointCloud, write_ply
from lotus_recon.synthetic.arrangement import arc_of_poses
from lotus_recon.types import (
    Camera,
    DepthKind,
    DepthMap,
    FloatArray,
    IntArray,
    Mesh,
    NormalMap,
    Prediction,
    Scene,
    SparsePoints,
    View,
)
from lotus_recon.viewing.scene import Files

CAMERA = Camera(160, 120, 140.0, 150.0, 74.0, 66.0)  # neither square pixels nor a centred lens
RADIUS = 0.5  # of a ball at the origin, which lies on the floor z = -RADIUS
HALF_FLOOR = 1.6
NAMES = ("a.png", "b.png", "sub/c.png", "d.png")


def colors_of(points: FloatArray) -> NDArray[np.uint8]:
    """(..., 3) uint8 colour of the surface at world points (..., 3)."""
    return np.asarray(127 + 100 * np.sin(5 * points + [0, 1, 2])).astype(np.uint8)


def depth_of(pose: FloatArray) -> FloatArray:
    """(H, W) z-depth of the ball and the floor from a pose (4, 4); infinite where a ray meets neither."""
    direction = rays_in_cam(CAMERA) @ pose[:3, :3]
    center = invert_rigid(pose)[:3, 3]
    a, b, c = (direction**2).sum(-1), direction @ center, center @ center - RADIUS**2
    root = b**2 - a * c
    ball = np.where(root > 0, (-b - np.sqrt(np.maximum(root, 0))) / a, np.inf)
    with np.errstate(divide="ignore"):
        floor = (-RADIUS - center[2]) / direction[..., 2]
    on_floor = np.abs((center + direction * floor[..., None])[..., :2]).max(-1) < HALF_FLOOR
    return np.asarray(np.minimum(ball, np.where((floor > 0) & on_floor, floor, np.inf)))


def surface(cells: int = 160) -> Mesh:
    """The floor and the ball as triangles."""
    steps = np.linspace(0, 1, cells)
    floor = np.stack([*np.meshgrid(*2 * [HALF_FLOOR * (2 * steps - 1)]), np.full((cells, cells), -RADIUS)], -1)
    turn, height = np.meshgrid(2 * np.pi * steps, np.pi * (steps - 0.5))
    ball = RADIUS * np.stack([np.cos(turn) * np.cos(height), np.sin(turn) * np.cos(height), np.sin(height)], -1)
    points = np.concatenate([part.reshape(-1, 3) for part in (floor, ball)])
    triangles = np.concatenate([_grid(cells), _grid(cells) + cells * cells])
    normals = np.concatenate([np.tile([0.0, 0.0, 1.0], (cells * cells, 1)), ball.reshape(-1, 3) / RADIUS])
    confidence = np.repeat(np.array([0.25, 1.0], np.float32), cells * cells)
    return Mesh(
        points.astype(np.float32),
        triangles,
        colors_of(points),
        normals.astype(np.float32),
        confidence,
        np.concatenate([sigma_on_floor(floor.reshape(-1, 3)), np.full(cells * cells, np.nan, np.float32)]),
    )


def sigma_on_floor(points: FloatArray) -> NDArray[np.float32]:
    """(N,) standard deviation of places (N, 3) on the floor, from 0.001 to 0.1 along x; the ball has none."""
    return np.asarray(10 ** (points[:, 0] / HALF_FLOOR - 2), np.float32)


def _grid(cells: int) -> IntArray:
    number = np.arange(cells * cells, dtype=np.int32).reshape(cells, cells)
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]
    return np.concatenate([np.stack(corners, -1).reshape(-1, 3) for corners in ((a, b, c), (a, c, d))])


def write_scene(root: Path, names: Sequence[str] = NAMES, shift: FloatArray | None = None, cells: int = 160) -> Files:
    """Photos, maps, mesh and cloud of the scene, as stages write them, moved by ``shift`` (3,)."""
    move = np.zeros(3) if shift is None else np.asarray(shift, np.float64)
    poses = arc_of_poses(np.zeros(3), 2.4, 1.3, np.linspace(0, 150, len(names)))
    views = []
    for name, pose in zip(names, poses, strict=True):
        moved = pose.copy()
        moved[:3, 3] -= pose[:3, :3] @ move
        views.append(View(name, CAMERA, moved))
        _write_view(root, views[-1], pose)
    mesh = surface(cells)
    mesh = replace(mesh, vertices=(mesh.vertices + move).astype(np.float32))
    write_ply(root / "mesh.ply", mesh)
    write_ply(root / "dense.ply", PointCloud(mesh.vertices, mesh.colors, mesh.normals, mesh.confidence))
    return Files(
        title="A scene",
        scene=Scene(tuple(views), _points(mesh, len(views))),
        images_dir=root / "images",
        prediction_dir=root / "prediction",
        depth_dirs=[root / "consistency"],
        mesh=root / "mesh.ply",
        cloud=root / "dense.ply",
        facts={names[0]: {"held-out depth error": "0.10%"}},
    )


def _write_view(root: Path, view: View, pose: FloatArray) -> None:
    depth = depth_of(pose)
    valid = np.isfinite(depth)
    points = transform(invert_rigid(pose), rays_in_cam(CAMERA) * np.where(valid, depth, 1)[..., None])
    photo = np.where(valid[..., None], colors_of(points), 0).astype(np.uint8)
    path = root / "images" / view.name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photo).save(path, format="png")
    stored = DepthMap(np.where(valid, depth, 0).astype(np.float32), valid, DepthKind.SCENE)
    save_maps(root / "consistency" / f"{view.stem}.npz", stored, confidence=np.full(valid.shape, 0.5))
    normals = NormalMap(np.tile(np.array([0, 0, -1], np.float32), (*valid.shape, 1)), valid)
    save_prediction(root / "prediction" / f"{view.stem}.npz", Prediction(stored, normals))


def _points(mesh: Mesh, views: int) -> SparsePoints:
    xyz = mesh.vertices[::500].astype(np.float64)
    seen = np.tile(np.arange(len(xyz)), views)
    by = np.repeat(np.arange(views), len(xyz))
    rgb = np.full((len(xyz), 3), 200, np.uint8)
    return SparsePoints(xyz, rgb, np.zeros(len(xyz)), seen, by, np.zeros((len(seen), 2)))
