"""Photos, depth and normals of an arrangement by ray casting (Open3D on the CPU, no graphics driver)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import open3d as o3d
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.geometry.normals import facing_camera, normalized
from lotus_recon.geometry.pose import invert_rigid, transform
from lotus_recon.synthetic.arrangement import Arrangement
from lotus_recon.types import Camera, DepthKind, DepthMap, FloatArray, Mesh, NormalMap

# Shadow rays start this share of the size of the scene above the surface: flat facets of round shapes shade themselves.
_OFFSET = 5e-4


@dataclass(frozen=True, eq=False)
class SyntheticView:
    """A rendered photo and what is true of it."""

    rgb: NDArray[np.uint8]  # (H, W, 3)
    depth: DepthMap  # z-depth in the unit of the world, at the pixel centres
    normals: NormalMap  # smooth shading normals, camera axes
    camera: Camera
    cam_from_world: NDArray[np.float64]  # (4, 4)


class Renderer(Protocol):
    """Anything that takes photos of a world it knows."""

    def render(self, camera: Camera, cam_from_world: FloatArray, seed: int = 0) -> SyntheticView:
        """One photo with its truth; the same arguments give the same photo."""
        ...


@dataclass(frozen=True)
class Quality:
    """How many rays a photo takes: per pixel samples_per_axis^2 x (2 + sky_rays)."""

    samples_per_axis: int = 3
    sky_rays: int = 6  # 0: no ambient occlusion

    def __post_init__(self) -> None:
        if self.samples_per_axis < 1 or self.sky_rays < 0:
            raise InputError(f"{self}: samples_per_axis must be 1 or more, sky_rays 0 or more")


@dataclass(frozen=True, eq=False)
class _Hits:
    """Where rays met the surface; all arrays have one row per ray that hit something."""

    hit: NDArray[np.bool_]  # (N,) over all rays
    distance: NDArray[np.float64]  # (M,) in units of the ray's length
    item: NDArray[np.int64]  # (M,)
    points: NDArray[np.float64]  # (M, 3) world
    normals: NDArray[np.float64]  # (M, 3) world, unit, smooth, towards the ray's origin


class RayRenderer:
    """Renders an arrangement: diffuse surfaces, a sun with soft shadows, a sky with ambient occlusion."""

    def __init__(self, arrangement: Arrangement, quality: Quality | None = None) -> None:
        self.arrangement = arrangement
        self.quality = quality or Quality()
        self._meshes: list[Mesh] = [item.mesh_in_world for item in arrangement.items]
        self._scene = o3d.t.geometry.RaycastingScene()
        for mesh in self._meshes:
            self._scene.add_triangles(_tensor(mesh.vertices), _tensor(mesh.triangles.astype(np.uint32)))
        everything = np.concatenate([mesh.vertices for mesh in self._meshes])
        self._offset = float(np.linalg.norm(np.ptp(everything, axis=0))) * _OFFSET

    def render(self, camera: Camera, cam_from_world: FloatArray, seed: int = 0) -> SyntheticView:
        """A photo with antialiasing, and depth and normals along the rays through the pixel centres."""
        pose = np.asarray(cam_from_world, np.float64)
        depth, normals = self._truth(camera, pose)
        return SyntheticView(self._photo(camera, pose, seed), depth, normals, camera, pose)

    def _truth(self, camera: Camera, cam_from_world: NDArray[np.float64]) -> tuple[DepthMap, NormalMap]:
        shape = (camera.height, camera.width)
        hits = self._cast(*_world_rays(camera, cam_from_world))
        valid = hits.hit.reshape(shape)
        # Rays have z = 1 in camera axes, so the distance in units of their length is the z-depth.
        depth, normals = np.zeros(shape, np.float32), np.zeros((*shape, 3))
        depth[valid] = hits.distance
        normals[valid] = hits.normals @ cam_from_world[:3, :3].T
        facing = facing_camera(normals, camera).astype(np.float32)
        return DepthMap(depth, valid, DepthKind.SCENE), NormalMap(facing, valid)

    def _photo(self, camera: Camera, cam_from_world: NDArray[np.float64], seed: int) -> NDArray[np.uint8]:
        random = np.random.default_rng(seed)
        count = self.quality.samples_per_axis
        suns = self._sun_directions(count**2)
        total = np.zeros((camera.height * camera.width, 3))
        for sample in range(count**2):
            dx, dy = (sample % count + 0.5) / count - 0.5, (sample // count + 0.5) / count - 0.5
            moved = Camera(camera.width, camera.height, camera.fx, camera.fy, camera.cx - dx, camera.cy - dy)
            total += self._radiance(*_world_rays(moved, cam_from_world), suns[sample], random)
        return to_srgb(total / count**2).reshape(camera.height, camera.width, 3)

    def _sun_directions(self, count: int) -> NDArray[np.float64]:
        """(count, 3) unit directions spread over the disc of the sun (a sunflower spiral: even, no chance)."""
        light = self.arrangement.light
        center = normalized(np.array(light.to_sun))
        side = normalized(np.cross(center, [0.31, 0.87, 0.11]))
        radius = np.tan(np.radians(light.sun_radius_deg)) * np.sqrt((np.arange(count) + 0.5) / count)
        angle = np.arange(count) * np.pi * (3 - np.sqrt(5))
        offsets = radius[:, None] * (np.cos(angle)[:, None] * side + np.sin(angle)[:, None] * np.cross(center, side))
        return normalized(center + offsets)

    def _radiance(
        self,
        origins: NDArray[np.float64],
        directions: NDArray[np.float64],
        to_sun: NDArray[np.float64],
        random: np.random.Generator,
    ) -> NDArray[np.float64]:
        """(N, 3) linear RGB along rays; what meets nothing shows the sky."""
        light = self.arrangement.light
        hits = self._cast(origins, directions)
        start = hits.points + self._offset * hits.normals
        lit = np.clip(hits.normals @ to_sun, 0, None) * ~self._occluded(start, np.broadcast_to(to_sun, start.shape))
        sky = self._sky_share(start, hits.normals, random)
        light_on = lit[:, None] * np.array(light.sun) + sky[:, None] * np.array(light.sky)
        color = np.tile(np.array(light.sky, np.float64), (len(origins), 1))
        color[hits.hit] = self._albedo(hits) * light_on
        return color

    def _albedo(self, hits: _Hits) -> NDArray[np.float64]:
        albedo = np.zeros_like(hits.points)
        for index, item in enumerate(self.arrangement.items):
            of_item = hits.item == index
            if of_item.any():
                local = transform(invert_rigid(item.world_from_item), hits.points[of_item])
                albedo[of_item] = item.texture(local.astype(np.float32))
        return albedo

    def _sky_share(
        self, start: NDArray[np.float64], normals: NDArray[np.float64], random: np.random.Generator
    ) -> NDArray[np.float64]:
        """(M,) light of the sky that arrives, 1 for an open surface: cosine-weighted rays."""
        rays = self.quality.sky_rays
        if rays == 0:
            return np.ones(len(start))
        open_rays = np.zeros(len(start))
        turn = random.random(len(start))
        for ray in range(rays):
            # Points on the unit sphere around the tip of the normal are cosine-distributed directions.
            height = 2 * (ray + random.random(len(start))) / rays - 1
            angle = 2 * np.pi * (turn + ray * 0.618034)
            radius = np.sqrt(1 - height**2)
            ball = np.stack([radius * np.cos(angle), radius * np.sin(angle), height], axis=-1)
            open_rays += ~self._occluded(start, normalized(normals + 0.999 * ball))
        share = open_rays / rays
        return share + self.arrangement.light.bounce * (1 - share)

    def _occluded(self, origins: NDArray[np.float64], directions: NDArray[np.float64]) -> NDArray[np.bool_]:
        rays = np.concatenate([origins, directions], axis=1)
        return np.asarray(self._scene.test_occlusions(_tensor(rays)).numpy(), bool)

    def _cast(self, origins: NDArray[np.float64], directions: NDArray[np.float64]) -> _Hits:
        answer = self._scene.cast_rays(_tensor(np.concatenate([origins, directions], axis=1)))
        distance = answer["t_hit"].numpy().astype(np.float64)
        hit = np.isfinite(distance)
        item = answer["geometry_ids"].numpy()[hit].astype(np.int64)
        triangle = answer["primitive_ids"].numpy()[hit].astype(np.int64)
        normals = self._smooth_normals(item, triangle, answer["primitive_uvs"].numpy()[hit].astype(np.float64))
        away = (normals * directions[hit]).sum(-1, keepdims=True) > 0
        points = origins[hit] + distance[hit, None] * directions[hit]
        return _Hits(hit, distance[hit], item, points, np.where(away, -normals, normals))

    def _smooth_normals(
        self, item: NDArray[np.int64], triangle: NDArray[np.int64], uv: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """(M, 3) vertex normals interpolated at barycentric positions ``uv`` (M, 2)."""
        weights = np.stack([1 - uv.sum(1), uv[:, 0], uv[:, 1]], axis=1)
        normals = np.zeros((len(item), 3))
        for index, mesh in enumerate(self._meshes):
            of_item = item == index
            assert mesh.normals is not None  # checked by Item
            corners = mesh.normals.astype(np.float64)[mesh.triangles[triangle[of_item]]]
            normals[of_item] = (corners * weights[of_item][..., None]).sum(1)
        return normalized(normals)


def _world_rays(camera: Camera, cam_from_world: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Origins and directions (H*W, 3) in the world; directions have z = 1 in camera axes."""
    directions = rays_in_cam(camera).reshape(-1, 3) @ cam_from_world[:3, :3]
    origin = invert_rigid(cam_from_world)[:3, 3]
    return np.broadcast_to(origin, directions.shape), directions


def _tensor(values: NDArray) -> Any:
    kind = np.float32 if values.dtype.kind == "f" else values.dtype
    return o3d.core.Tensor.from_numpy(np.ascontiguousarray(values, kind))


def to_srgb(linear: FloatArray) -> NDArray[np.uint8]:
    """8-bit sRGB of linear RGB (IEC 61966-2-1), with highlights rolled off softly above 0.8."""
    knee = 0.8
    linear = np.maximum(np.asarray(linear, np.float64), 0)
    linear = np.where(linear > knee, knee + (1 - knee) * np.tanh((linear - knee) / (1 - knee)), linear)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)
    return np.asarray(np.round(255 * encoded), np.uint8)
