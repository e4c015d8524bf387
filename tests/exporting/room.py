"""The rendered room of the sample with everything exact, as the stages before the export would leave it on disk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lotus_recon.exporting.scene import ExportScene, Folders
from lotus_recon.fusion import cloud
from lotus_recon.fusion.cloud_config import CloudConfig
from lotus_recon.fusion.config import FusionConfig
from lotus_recon.fusion.views import FusionViews
from lotus_recon.geometry.camera import pixel_index, project, unproject
from lotus_recon.geometry.pose import invert_rigid, transform
from lotus_recon.io.images import write_jpeg, write_png
from lotus_recon.io.meshes import write_ply
from lotus_recon.io.scene_maps import SceneMaps
from lotus_recon.sfm.images_stage import mask_path
from lotus_recon.synthetic.renderer import Quality, RayRenderer, SyntheticView
from lotus_recon.synthetic.sample import sample_arrangement, sample_poses
from lotus_recon.types import Camera, Mesh, Scene, SparsePoints, View

WIDE = Camera(160, 120, 148.0, 148.0, 80.0, 60.0)
OTHER = Camera(150, 116, 150.0, 149.0, 68.25, 60.75)  # its principal point is off the middle
NAMES = (
    "a b/é 1.jpg",
    "a b/e 1.png",
    "a_b/É_1.jpg",
    "z.2.jpg",
    "z.10.jpg",
    "写真.png",
    "last.jpg",
    "none.jpg",
)
EMPTY = "none.jpg"  # a view that has no depth
MASKED = (slice(20, 40), slice(30, 60))  # pixels that other views contradict, in every view
CUT_OUT = {"a b/é 1.jpg": (slice(50, 70), slice(5, 90)), "写真.png": (slice(0, 9), slice(0, 150))}  # by masks


@dataclass(frozen=True, eq=False)
class Room:
    """Folders of the room, and the truth."""

    root: Path
    scene: Scene
    truth: dict[str, SyntheticView]  # by original name

    def export_scene(self, images: Path | None = None) -> ExportScene:
        """What targets get; ``images`` are elsewhere where they are given."""
        maps = (self.root / name for name in ("consistency", "mvs", "prediction"))
        folders = Folders(images or self.root / "images", *maps)
        return ExportScene(self.scene, folders, self.root / "dense.ply", self.root / "mesh.ply")

    def known_points(self, name: str, count: int = 60) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Pixels (N, 2), column and row, that have depth when exported, and the world points (N, 3) that they show."""
        view, depth = self.truth[name], SceneMaps(self.root / "consistency").load(self.view(name)).depth_or_zero
        rows, cols = np.nonzero(depth)
        chosen = np.random.default_rng(1).choice(len(rows), count, replace=False)
        rows, cols = rows[chosen], cols[chosen]
        world = transform(invert_rigid(view.cam_from_world), unproject(view.depth.values, view.camera))
        return np.stack([cols, rows], axis=1), world[rows, cols]

    def view(self, name: str) -> View:
        """The view with an original name."""
        return self.scene.views[self.scene.index[name]]


def make_room(root: Path, metric: bool = False) -> Room:
    """Render the photos, and write images, maps before and after the consistency check, normals, cloud and mesh."""
    renderer = RayRenderer(sample_arrangement(), Quality(1, 0))
    truth = {}
    for number, (name, pose) in enumerate(zip(NAMES, sample_poses()[::2], strict=False)):
        truth[name] = renderer.render(OTHER if number % 2 else WIDE, pose, number)
    views = tuple(View(name, truth[name].camera, truth[name].cam_from_world) for name in sorted(NAMES))
    scene = Scene(views, SparsePoints.empty(), metric)
    scene = replace(scene, points=_points(scene, truth))
    for view in views:
        _write_view(root, view, truth[view.name])
    surface = sample_arrangement().mesh
    colors = np.full((len(surface.vertices), 3), 128, np.uint8)
    write_ply(root / "mesh.ply", Mesh(surface.vertices, surface.triangles, colors))
    cloud.run(
        FusionViews(scene, root / "consistency", root / "images", 0.0),
        metric,
        CloudConfig(cloud_points=3000),
        FusionConfig(),
        root,
    )
    return Room(root, scene, truth)


def _write_view(root: Path, view: View, truth: SyntheticView) -> None:
    photo = root / "images" / view.name
    if photo.suffix == ".png":
        write_png(photo, truth.rgb)
    else:
        write_jpeg(photo, truth.rgb, 95)
    if view.name in CUT_OUT:
        used = np.full(truth.depth.shape, 255, np.uint8)
        used[CUT_OUT[view.name]] = 0
        write_png(mask_path(root / "images", view), used)
    SceneMaps(root / "prediction").save(view, truth.depth, normals=truth.normals)
    if view.name == EMPTY:
        return
    SceneMaps(root / "mvs").save(view, truth.depth)
    kept = truth.depth.valid.copy()
    kept[MASKED] = False
    confidence = np.where(kept, np.linspace(0.2, 1, kept.shape[1]), 0)
    SceneMaps(root / "consistency").save(view, replace(truth.depth, valid=kept), confidence)


def _points(scene: Scene, truth: dict[str, SyntheticView]) -> SparsePoints:
    """Points of the surface, with an observation in every view that sees them, in two or more."""
    world, rng = [], np.random.default_rng(0)
    for view in scene.views:
        seen = truth[view.name]
        in_world = transform(invert_rigid(seen.cam_from_world), unproject(seen.depth.values, seen.camera)).reshape(
            -1, 3
        )
        world.append(in_world[rng.choice(len(in_world), 120, replace=False)])
    xyz = np.concatenate(world)
    rows = []
    for index, view in enumerate(scene.views):
        in_cam = transform(view.cam_from_world, xyz)
        xy = project(in_cam, view.camera)
        with np.errstate(invalid="ignore"):
            inside = np.all((xy >= 0) & (xy < view.camera.size), axis=1)
        depth = truth[view.name].depth.values[pixel_index(np.nan_to_num(xy), view.camera.height, view.camera.width)]
        visible = inside & (np.abs(depth / in_cam[:, 2] - 1) < 0.02)
        rows += [(point, index, *xy[point]) for point in np.flatnonzero(visible)]
    table = np.array(rows)
    points = SparsePoints(
        xyz,
        np.full((len(xyz), 3), 90, np.uint8),
        np.full(len(xyz), 0.1),
        table[:, 0].astype(np.int64),
        table[:, 1].astype(np.int64),
        table[:, 2:],
    )
    return points.where(points.track_length >= 2)
