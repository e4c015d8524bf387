"""Photos, depth and normals of an arrangement by ray casting (Open3D on the CPU, no graphics driver)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.geometry.normals import normalized
from lotus_recon.geometry.pose import invert_rigid, transform
from lotus_recon.io.srgb import srgb_of_linear
from lotus_recon.synthetic.arrangement import Arrangement
from lotus_recon.synthetic.surfaces import Hits, Surfaces, true_maps, world_rays
from lotus_recon.types import Camera, DepthKind, DepthMap, FloatArray, NormalMap

# Shadow rays start this share of the size of the scene above the surface: flat facets of round shapes shade themselves.
_OFFSET = 5e-4


@dataclass(frozen=True, eq=False)
class SyntheticView:
    """A rendered photo and its ground truth."""

    rgb: NDArray[np.uint8]  # (H, W, 3)
    depth: DepthMap  # z-depth in the unit of the world, at the pixel centres
    normals: NormalMap  # smooth shading normals, camera axes
    camera: Camera
    cam_from_world: NDArray[np.float64]  # (4, 4)


class Renderer(Protocol):
    """Renders photos of a world, with ground truth."""

    def render(self, camera: Camera, cam_from_world: FloatArray, seed: int = 0) -> SyntheticView:
        """A photo with its ground truth; ``cam_from_world`` (4, 4). The same arguments give the same photo."""
        ...


@dataclass(frozen=True)
class Quality:
    """How many rays a photo takes: per pixel samples_per_axis^2 x (2 + sky_rays)."""

    samples_per_axis: int = 3
    sky_rays: int = 6  # 0: no ambient occlusion

    def __post_init__(self) -> None:
        if self.samples_per_axis < 1 or self.sky_rays < 0:
            raise InputError(f"{self}: samples_per_axis must be 1 or more, sky_rays 0 or more")


class RayRenderer:
    """Renders an arrangement: diffuse surfaces, a sun with soft shadows, a sky with ambient occlusion."""

    def __init__(self, arrangement: Arrangement, quality: Quality | None = None) -> None:
        self.arrangement = arrangement
        self.quality = quality or Quality()
        self._surfaces = Surfaces([item.mesh_in_world for item in arrangement.items])
        self._offset = float(np.linalg.norm(np.ptp(self._surfaces.vertices, axis=0))) * _OFFSET

    def render(self, camera: Camera, cam_from_world: FloatArray, seed: int = 0) -> SyntheticView:
        """An antialiased photo, and depth and normals at the pixel centres; ``cam_from_world`` (4, 4)."""
        pose = np.asarray(cam_from_world, np.float64)
        hits = self._surfaces.cast(*world_rays(camera, pose))
        depth, normals = true_maps(hits, camera, pose, DepthKind.SCENE)
        return SyntheticView(self._photo(camera, pose, seed), depth, normals, camera, pose)

    def _photo(self, camera: Camera, cam_from_world: NDArray[np.float64], seed: int) -> NDArray[np.uint8]:
        random = np.random.default_rng(seed)
        count = self.quality.samples_per_axis
        suns = self._sun_directions(count**2)
        total = np.zeros((camera.height * camera.width, 3))
        for sample in range(count**2):
            dx, dy = (sample % count + 0.5) / count - 0.5, (sample // count + 0.5) / count - 0.5
            moved = Camera(camera.width, camera.height, camera.fx, camera.fy, camera.cx - dx, camera.cy - dy)
            total += self._radiance(*world_rays(moved, cam_from_world), suns[sample], random)
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
        hits = self._surfaces.cast(origins, directions)
        start = hits.points + self._offset * hits.normals
        lit = np.clip(hits.normals @ to_sun, 0, None) * ~self._surfaces.occluded(
            start, np.broadcast_to(to_sun, start.shape)
        )
        sky = self._sky_share(start, hits.normals, random)
        light_on = lit[:, None] * np.array(light.sun) + sky[:, None] * np.array(light.sky)
        color = np.tile(np.array(light.sky, np.float64), (len(origins), 1))
        color[hits.hit] = self._albedo(hits) * light_on
        return color

    def _albedo(self, hits: Hits) -> NDArray[np.float64]:
        albedo = np.zeros_like(hits.points)
        for index, item in enumerate(self.arrangement.items):
            of_item = hits.mesh == index
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
            open_rays += ~self._surfaces.occluded(start, normalized(normals + 0.999 * ball))
        share = open_rays / rays
        return share + self.arrangement.light.bounce * (1 - share)


def to_srgb(linear: FloatArray) -> NDArray[np.uint8]:
    """8-bit sRGB of linear RGB (..., 3), with highlights compressed above 0.8."""
    knee = 0.8
    linear = np.maximum(np.asarray(linear, np.float64), 0)
    linear = np.where(linear > knee, knee + (1 - knee) * np.tanh((linear - knee) / (1 - knee)), linear)
    return np.asarray(np.round(255 * srgb_of_linear(linear)), np.uint8)
