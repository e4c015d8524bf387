"""Pictures of a mesh by ray casting (Open3D on the CPU, no graphics driver)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from lotus_recon.errors import InputError
from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.geometry.normals import normalized
from lotus_recon.geometry.pose import invert_rigid, transform
from lotus_recon.io.images import resize_rgb
from lotus_recon.io.textured_meshes import TexturedMesh
from lotus_recon.texturing.rendering import sampled
from lotus_recon.types import Camera, FloatArray, Mesh, Scene, View

Shading = Literal["color", "normals", "shaded", "texture"]

_SUPERSAMPLING = 2
_MAX_LAYERS = 4  # back faces that a ray may pass before it gives up
_ORBIT_DEG = 32.0
_ORBIT_LIFT_DEG = 14.0
_ORBIT_BACK_OFF = 1.12  # the orbiting cameras stand this much farther away: the borders of the mesh come into view


@dataclass(frozen=True, eq=False)
class Viewpoint:
    """A place to look at the mesh from."""

    label: str
    camera: Camera
    cam_from_world: NDArray[np.float64]  # (4, 4)


@dataclass(frozen=True, eq=False)
class _Hits:
    """Where rays met the mesh, one row per ray that did."""

    ray: NDArray[np.int64]  # (M,) index of the ray
    triangle: NDArray[np.int64]  # (M,)
    uv: NDArray[np.float64]  # (M, 2) barycentric position
    depth: NDArray[np.float64]  # (M,) z-depth


class MeshRenderer:
    """Renders one mesh from many places. Surfaces seen from behind are left out, so that one looks into rooms."""

    def __init__(self, mesh: Mesh | TexturedMesh) -> None:
        import open3d as o3d

        self._texture = mesh if isinstance(mesh, TexturedMesh) else None
        if isinstance(mesh, TexturedMesh):
            mesh = Mesh(mesh.vertices, mesh.triangles, normals=mesh.normals)

        if len(mesh.triangles) == 0:
            raise InputError("the mesh has no triangles: there is nothing to render")
        self._mesh = mesh
        # Rays are cast in float32: far from the origin (georeferenced scenes) the mesh is moved to it.
        self._origin = mesh.vertices.astype(np.float64).mean(0)
        self._tensor = o3d.core.Tensor.from_numpy
        self._scene: Any = o3d.t.geometry.RaycastingScene()
        vertices = (mesh.vertices - self._origin).astype(np.float32)
        triangles = np.ascontiguousarray(mesh.triangles, np.uint32)
        self._scene.add_triangles(self._tensor(vertices), self._tensor(triangles))
        corners = mesh.vertices.astype(np.float64)[mesh.triangles]
        self._face_normals = normalized(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))

    def render(
        self, camera: Camera, cam_from_world: FloatArray, shadings: Sequence[Shading]
    ) -> dict[Shading, NDArray[np.uint8]]:
        """Pictures (H, W, 3) on white, one per shading. Raises InputError for a shading that the mesh does not allow.

        "color", "texture": as they are; "normals": as in colorize_normals; "shaded": grey, lit from the camera.
        """
        fine = camera.resized(camera.width * _SUPERSAMPLING, camera.height * _SUPERSAMPLING)
        pose = np.asarray(cam_from_world, np.float64)
        directions = rays_in_cam(fine).reshape(-1, 3)
        hits = self._cast(pose, directions)
        rendered = {}
        for shading in shadings:
            image = np.full((len(directions), 3), 255.0)
            image[hits.ray] = self._shade(shading, pose, directions[hits.ray], hits)
            rgb = np.clip(np.round(image), 0, 255).astype(np.uint8).reshape(fine.height, fine.width, 3)
            rendered[shading] = resize_rgb(rgb, camera.width, camera.height)
        return rendered

    def median_depth(self, camera: Camera, cam_from_world: FloatArray) -> float | None:
        """Median z-depth of what a camera with a 4x4 pose sees of the mesh; None when it sees nothing."""
        hits = self._cast(np.asarray(cam_from_world, np.float64), rays_in_cam(camera).reshape(-1, 3))
        return float(np.median(hits.depth)) if len(hits.depth) else None

    def _cast(self, cam_from_world: NDArray[np.float64], directions_in_cam: NDArray[np.float64]) -> _Hits:
        """The first front face on each ray."""
        directions = directions_in_cam @ cam_from_world[:3, :3]
        center = invert_rigid(cam_from_world)[:3, 3] - self._origin
        going, start = np.arange(len(directions)), np.zeros(len(directions))
        layers: list[_Hits] = []
        for _ in range(_MAX_LAYERS):
            rays = np.concatenate([center + start[:, None] * directions[going], directions[going]], axis=1)
            answer = {name: part.numpy() for name, part in self._scene.cast_rays(self._tensor(_float32(rays))).items()}
            met = np.isfinite(answer["t_hit"])
            going, start = going[met], start[met] + answer["t_hit"][met]
            triangle = answer["primitive_ids"][met].astype(np.int64)
            front = (self._face_normals[triangle] * directions[going]).sum(-1) < 0
            uv = answer["primitive_uvs"][met].astype(np.float64)
            layers.append(_Hits(going[front], triangle[front], uv[front], start[front]))
            going, start = going[~front], start[~front] * (1 + 1e-4)  # past the face just met
        parts = zip(*((hits.ray, hits.triangle, hits.uv, hits.depth) for hits in layers), strict=True)
        return _Hits(*(np.concatenate(part) for part in parts))

    def _shade(
        self,
        shading: Shading,
        cam_from_world: NDArray[np.float64],
        directions_in_cam: NDArray[np.float64],
        hits: _Hits,
    ) -> NDArray[np.float64]:
        if shading == "color":
            if self._mesh.colors is None:
                raise InputError("the mesh has no vertex colours; allowed shading: normals, shaded")
            return self._interpolated(self._mesh.colors, hits)
        if shading == "texture":
            return self._textured(hits)
        normals = self._face_normals[hits.triangle]
        if self._mesh.normals is not None:
            normals = normalized(self._interpolated(self._mesh.normals, hits))
        in_cam = normals @ cam_from_world[:3, :3].T
        if shading == "normals":
            return (in_cam * [1, -1, -1] + 1) * 127.5
        if shading == "shaded":
            facing = np.clip(-(in_cam * normalized(directions_in_cam)).sum(-1, keepdims=True), 0, 1)
            # A touch of light from above left keeps surfaces that face the camera from looking flat.
            side = np.clip(in_cam @ normalized(np.array([-0.5, -0.7, -0.4])), 0, 1)[:, None]
            return (40 + 120 * facing + 80 * side) * np.array([0.97, 0.98, 1.0])
        raise InputError(f"shading is {shading!r}; allowed: color, normals, shaded, texture")

    def _textured(self, hits: _Hits) -> NDArray[np.float64]:
        """(M, 3) colours of the texture, between its texels."""
        if self._texture is None:
            raise InputError("the mesh has no texture; allowed shading: color, normals, shaded")
        uv, page_of = self._interpolated(self._texture.uv, hits), self._texture.page[hits.triangle]
        colors = np.zeros((len(uv), 3))
        for number, page in enumerate(self._texture.pages):
            own = np.flatnonzero(page_of == number)
            texels = uv[own] * [page.shape[1], page.shape[0]] - 0.5  # sampled counts from the first centre
            colors[own] = sampled(page, texels.astype(np.float32))
        return colors

    def _interpolated(self, of_vertex: NDArray, hits: _Hits) -> NDArray[np.float64]:
        u, v = hits.uv[:, :1], hits.uv[:, 1:]
        a, b, c = (of_vertex[self._mesh.triangles[hits.triangle, corner]] for corner in range(3))
        return np.asarray((1 - u - v) * a + u * b + v * c)


def _float32(values: NDArray) -> NDArray[np.float32]:
    return np.ascontiguousarray(values, np.float32)


def render_mesh(
    mesh: Mesh, camera: Camera, cam_from_world: FloatArray, shading: Shading = "color"
) -> NDArray[np.uint8]:
    """(H, W, 3) image of a mesh; MeshRenderer.render is faster for several images of one mesh."""
    return MeshRenderer(mesh).render(camera, cam_from_world, [shading])[shading]


def viewpoints(scene: Scene, renderer: MeshRenderer, width: int) -> list[Viewpoint]:
    """The most central photo, and two cameras that orbit what it sees, to its left and right and a little above.

    Pictures are ``width`` pixels wide. Raises InputError when the scene has no view.
    """
    if not scene.views:
        raise InputError("the scene has no view to look from")
    view = _central_view(scene)
    camera = view.camera.resized(width, max(1, round(width * view.camera.height / view.camera.width)))
    depth = renderer.median_depth(camera.resized(64, 48), view.cam_from_world) or 1.0
    target = transform(invert_rigid(view.cam_from_world), np.array([0, 0, depth]))
    orbits = [
        Viewpoint(label, camera, _orbited(view, target, turn))
        for label, turn in (("from the left", _ORBIT_DEG), ("from the right", -_ORBIT_DEG))
    ]
    return [Viewpoint(f"from photo {view.name}", camera, view.cam_from_world), *orbits]


def _central_view(scene: Scene) -> View:
    """The view nearest to the mean of all camera centres."""
    centers = np.stack([view.center_in_world for view in scene.views])
    return scene.views[int(np.linalg.norm(centers - centers.mean(0), axis=1).argmin())]


def _orbited(view: View, target: NDArray[np.float64], turn_deg: float) -> NDArray[np.float64]:
    """The pose of ``view`` moved around ``target`` (world) by an angle (positive: to the left), raised, backed off."""
    x_axis, y_axis = view.cam_from_world[0, :3], view.cam_from_world[1, :3]
    # Turning about the camera's y axis (down) by a positive angle moves a camera in front of the target to the left.
    turn = Rotation.from_rotvec(np.radians(turn_deg) * y_axis) * Rotation.from_rotvec(
        -np.radians(_ORBIT_LIFT_DEG) * x_axis
    )
    R_cam_from_world = view.cam_from_world[:3, :3] @ turn.inv().as_matrix()
    center = target + _ORBIT_BACK_OFF * turn.apply(view.center_in_world - target)
    pose = np.eye(4)
    pose[:3, :3] = R_cam_from_world
    pose[:3, 3] = -R_cam_from_world @ center
    return pose
