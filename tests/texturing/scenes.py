"""A wall with a pattern that is known everywhere, and photos of it by exact projection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.geometry.triangles import triangle_area_vectors, vertex_normals
from lotus_recon.io.cameras import SourceCamera
from lotus_recon.io.images import list_photos
from lotus_recon.io.meshes import write_ply
from lotus_recon.synthetic.arrangement import look_at
from lotus_recon.texturing.photos import TexturePhotos
from lotus_recon.texturing.surface import Surface
from lotus_recon.types import Camera, FloatArray, Mesh, Scene, SparsePoints, View

CAMERA = Camera.from_fov_deg(50.0, 160, 120)
TOLERANCE = 0.02


def pattern(x: FloatArray, y: FloatArray) -> NDArray[np.float64]:
    """(..., 3) colour of the wall, smooth enough that sampling it is exact to a grey level or two."""
    waves = (np.sin(7 * x + 3 * y), np.sin(5 * y - 2 * x + 1), np.sin(4 * x) * np.cos(6 * y))
    return np.stack([128 + 70 * wave for wave in waves], axis=-1)


def grid(cells: int = 24, z: float = 0.0, size: float = 2.0) -> Mesh:
    """A square wall around the z axis that faces +z, ``cells`` squares on a side."""
    ticks = np.linspace(-size / 2, size / 2, cells + 1)
    x, y = np.meshgrid(ticks, ticks)
    vertices = np.stack([x, y, np.full_like(x, z)], axis=-1).reshape(-1, 3).astype(np.float32)
    index = np.arange((cells + 1) ** 2).reshape(cells + 1, cells + 1)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    triangles = np.concatenate([np.stack([a, b, d], -1), np.stack([a, d, c], -1)]).reshape(-1, 3).astype(np.int32)
    return with_normals(Mesh(vertices, triangles, pattern(x, y).reshape(-1, 3).round().astype(np.uint8)))


def with_normals(mesh: Mesh) -> Mesh:
    return replace(mesh, normals=vertex_normals(mesh, triangle_area_vectors(mesh)))


def joined(*meshes: Mesh) -> Mesh:
    """Several meshes as one, without colours."""
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
    triangles = np.concatenate([mesh.triangles + start for mesh, start in zip(meshes, starts, strict=True)])
    return with_normals(Mesh(np.concatenate([mesh.vertices for mesh in meshes]), triangles.astype(np.int32)))


def view_from(number: int, x: float, y: float = 0.0, z: float = 2.4, camera: Camera = CAMERA) -> View:
    """A view of the middle of the wall."""
    pose = look_at(np.array([x, y, z]), np.array([0.3 * x, 0.0, 0.0]), up=(0.0, 1.0, 0.0))
    return View(f"photo_{number}.png", camera, pose)


def views(count: int = 5, camera: Camera = CAMERA) -> list[View]:
    """From left to right."""
    return [view_from(number, x, camera=camera) for number, x in enumerate(np.linspace(-1.2, 1.2, count))]


def photo_of(view: View) -> NDArray[np.uint8]:
    """(H, W, 3) what a view sees of the (endless) wall."""
    rays = rays_in_cam(view.camera) @ view.cam_from_world[:3, :3]
    points = view.center_in_world - rays * (view.center_in_world[2] / rays[..., 2])[..., None]
    return pattern(points[..., 0], points[..., 1]).round().astype(np.uint8)


def pixel_of(view: View, point: Sequence[float]) -> tuple[int, int]:
    """Row and column that show a point of the world."""
    in_cam = view.cam_from_world[:3, :3] @ np.asarray(point) + view.cam_from_world[:3, 3]
    camera = view.camera
    return int(camera.fy * in_cam[1] / in_cam[2] + camera.cy), int(camera.fx * in_cam[0] / in_cam[2] + camera.cx)


@dataclass(frozen=True, eq=False)
class SceneOnDisk:
    """Photos and a mesh in a folder."""

    folder: Path
    views: Sequence[View]
    masks: Mapping[str, Path] = field(default_factory=dict)

    @property
    def photos(self) -> TexturePhotos:
        """As the stage gets them."""
        cameras = {view.name: SourceCamera.of_pinhole(view.camera) for view in self.views}
        scene = Scene(tuple(self.views), SparsePoints.empty())
        return TexturePhotos(scene, list_photos(self.folder / "photos"), cameras, self.masks)

    @property
    def mesh(self) -> Path:
        """The mesh file."""
        return self.folder / "mesh.ply"


def write(
    folder: Path, seen: Sequence[View], images: Mapping[str, NDArray[np.uint8]] | None = None, mesh: Mesh | None = None
) -> SceneOnDisk:
    """Write the photos, exact ones where ``images`` has none, and the mesh."""
    (folder / "photos").mkdir(parents=True)
    for view in seen:
        Image.fromarray((images or {}).get(view.name, photo_of(view))).save(folder / "photos" / view.name)
    write_ply(folder / "mesh.ply", mesh or grid())
    return SceneOnDisk(folder, seen)


def surface(mesh: Mesh | None = None) -> Surface:
    """The wall as texturing sees it."""
    return Surface(mesh or grid(), TOLERANCE)
