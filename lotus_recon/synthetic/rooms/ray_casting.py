"""Photos of rooms by ray casting alone (Open3D): plain light, but quick and with nothing more to install.

Lamps with soft shadows; what bounces between surfaces is one ambient light that corners get less of. Noise is taken out
where Open Image Denoise is installed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lotus_recon.geometry.normals import normalized
from lotus_recon.synthetic.rooms.denoising import load_denoiser
from lotus_recon.synthetic.rooms.scene import Part, Room, Shot
from lotus_recon.synthetic.rooms.sky_light import Sky, with_haze
from lotus_recon.synthetic.rooms.solids import triangle_areas
from lotus_recon.synthetic.rooms.texture_atlas import TextureAtlas
from lotus_recon.synthetic.rooms.truth import room_surfaces, true_geometry
from lotus_recon.synthetic.rooms.view import RoomView
from lotus_recon.synthetic.surfaces import Hits, Surfaces, interpolated, world_rays
from lotus_recon.types import Camera

_SAMPLES, _SAMPLES_UNDENOISED = 2, 6
_OFFSET_M = 2e-3  # shadow rays start this far above the surface: flat facets of round shapes shade themselves
_OCCLUSION_M = 0.7  # how near a surface takes ambient light away
_OCCLUDED_SHARE = 0.35  # of the ambient light, where a surface is that near
_SUN_RADIUS = 0.02  # of its disc, as the tangent of an angle: the softness of shadows outdoors
_BOUNCED = 0.45  # share of the light of sun and sky that a surface outdoors is taken to receive, before it bounces
_SMALLEST_DISTANCE_M = 0.05  # light does not grow further when a surface is nearer


class RayCaster:
    """Casts rays into one room."""

    name = "raycast"

    def __init__(self, room: Room, samples: int | None = None, threads: int = 0, denoise: bool = True) -> None:
        """``samples`` per pixel; ``threads`` per cast, 0 for all cores."""
        self._denoise = load_denoiser(threads) if denoise else None
        self._samples = samples or (_SAMPLES if self._denoise else _SAMPLES_UNDENOISED)
        self._room = room
        self._surfaces = room_surfaces(room, threads)
        self._blockers = Surfaces([part.mesh for part in room.parts if not part.material.shines], threads)
        self._atlas = TextureAtlas([part.material for part in room.parts])
        self._uv = np.concatenate([_uv(part) for part in room.parts])
        self._uv_density = np.concatenate([_uv_density(part) for part in room.parts])
        whole = np.zeros((len(room.parts), 2))
        self._mean_color = self._atlas.colors(np.arange(len(room.parts)), whole, np.ones(len(room.parts)))
        self._shines = np.array([part.material.shines for part in room.parts])
        self._centers = np.array([lamp.center for lamp in room.lamps], np.float32).reshape(-1, 3)
        self._radii = np.array([lamp.radius for lamp in room.lamps], np.float32)
        self._intensities = np.array([lamp.intensity for lamp in room.lamps], np.float32).reshape(-1, 3)

    def render(self, shot: Shot, seed: int) -> RoomView:
        """One shot; the same shot and seed give the same view, whatever the number of threads."""
        truth = true_geometry(self._room, self._surfaces, shot)
        random = np.random.default_rng(seed)
        shape = (shot.camera.height, shot.camera.width, 3)
        radiance, albedo = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        for offset in _offsets(self._samples):
            layers = self._layers(_moved(shot.camera, offset), shot.cam_from_world, random)
            radiance += layers[0].reshape(shape) / np.float32(self._samples)
            albedo += layers[1].reshape(shape) / np.float32(self._samples)
        if self._denoise is not None:
            radiance = self._denoise(radiance, np.minimum(albedo, 1), truth.normals.values)
        if self._room.sky is not None:
            depth = truth.depth
            radiance = with_haze(self._room.sky, radiance, depth.values, depth.valid, shot.camera)
        return RoomView(radiance, truth.depth, truth.normals, truth.sky)

    def _layers(
        self, camera: Camera, cam_from_world: NDArray[np.float64], random: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Radiance and albedo (H*W, 3), linear; black where a ray leaves the room."""
        origins, directions = world_rays(camera, cam_from_world)
        hits = self._surfaces.cast(origins, directions)
        color = self._color(hits, camera)
        matte = ~self._shines[hits.mesh]
        points, normals = hits.points[matte].astype(np.float32), hits.normals[matte].astype(np.float32)
        start = points + _OFFSET_M * normals
        light = np.ones_like(color)
        light[matte] = self._light(start, normals, random)
        radiance, albedo = np.zeros((2, len(hits.hit), 3), np.float32)
        radiance[hits.hit], albedo[hits.hit] = color * light, color
        if self._room.sky is not None:
            missed = ~hits.hit
            radiance[missed] = self._room.sky.radiance(directions[missed])
            albedo[missed] = 1.0
        return radiance, albedo

    def _light(
        self, points: NDArray[np.float32], normals: NDArray[np.float32], random: np.random.Generator
    ) -> NDArray[np.float32]:
        """(M, 3) irradiance / pi."""
        sky = self._room.sky
        if sky is None:
            return self._direct(points, normals, random) + self._ambient(points, normals, random)
        light = self._sunlight(sky, points, normals, random) + self._skylight(sky, points, normals, random)
        return light + self._direct(points, normals, random)

    def _sunlight(
        self, sky: Sky, points: NDArray[np.float32], normals: NDArray[np.float32], random: np.random.Generator
    ) -> NDArray[np.float32]:
        to_sun = normalized(sky.direction + _SUN_RADIUS * _unit_vectors(len(points), random))
        cosine = np.maximum(np.einsum("mc,mc->m", normals, to_sun), 0)
        lit = (cosine > 0) & (max(sky.sun) > 0)
        lit[lit] = ~self._blockers.occluded(points[lit], to_sun[lit])
        return np.asarray((lit * cosine)[:, None] * np.array(sky.sun), np.float32)

    def _skylight(
        self, sky: Sky, points: NDArray[np.float32], normals: NDArray[np.float32], random: np.random.Generator
    ) -> NDArray[np.float32]:
        """The sky or what bounces off a surface; one cosine-weighted ray per point."""
        direction = normalized(normals + 0.999 * _unit_vectors(len(points), random))
        hits = self._surfaces.cast(points, direction)
        light = np.empty((len(points), 3), np.float32)
        light[~hits.hit] = sky.radiance(direction[~hits.hit])
        cosine = np.maximum(hits.normals @ sky.direction, 0)[:, None]
        received = _BOUNCED * (sky.mean + cosine * np.array(sky.sun))
        light[hits.hit] = received * self._mean_color[hits.mesh]
        return light

    def _color(self, hits: Hits, camera: Camera) -> NDArray[np.float32]:
        """(M, 3) albedo, or what a source of light emits."""
        uv = interpolated(self._uv, hits.corners, hits.weights)
        pixel_side = hits.distance / camera.fx  # on a surface that faces the camera, in metres
        return self._atlas.colors(hits.mesh, uv, pixel_side**2 * self._uv_density[hits.triangle])

    def _direct(
        self, points: NDArray[np.float32], normals: NDArray[np.float32], random: np.random.Generator
    ) -> NDArray[np.float32]:
        """(M, 3) irradiance / pi from one lamp per point, taken by chance in proportion to its unshadowed light."""
        if not len(self._centers) or not len(points):
            return np.zeros_like(points)
        chosen, share = self._chosen(points, normals, random)
        to_light = self._centers[chosen] - points
        to_light += self._radii[chosen, None] * _unit_vectors(len(points), random)
        squared = np.einsum("mc,mc->m", to_light, to_light)
        cosine = np.maximum(np.einsum("mc,mc->m", normals, to_light), 0) / np.sqrt(squared)
        lit = cosine > 0
        lit[lit] = ~self._blockers.occluded(points[lit], to_light[lit], far=0.99)
        strength = lit * cosine / (np.pi * np.maximum(squared, _SMALLEST_DISTANCE_M**2) * share)
        return np.asarray(strength[:, None] * self._intensities[chosen], np.float32)

    def _chosen(
        self, points: NDArray[np.float32], normals: NDArray[np.float32], random: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """A lamp for each point (M,) and the probability (M,) of taking it."""
        to_light = self._centers[:, None] - points  # (L, M, 3)
        squared = np.einsum("lmc,lmc->lm", to_light, to_light) + _SMALLEST_DISTANCE_M
        cosine = np.einsum("mc,lmc->lm", normals, to_light) / np.sqrt(squared)
        # Part of a large lamp may be seen where its centre is behind the surface.
        weight = self._intensities.sum(1)[:, None] * np.maximum(cosine, 0.1) / squared
        total = np.cumsum(weight, axis=0)
        draw = random.random(len(points), np.float32) * total[-1]
        chosen = np.minimum((draw >= total).sum(0), len(total) - 1)
        return chosen, np.take_along_axis(weight, chosen[None], 0)[0] / total[-1]

    def _ambient(
        self, points: NDArray[np.float32], normals: NDArray[np.float32], random: np.random.Generator
    ) -> NDArray[np.float32]:
        """(M, 3) ambient light, less where a surface is near; one cosine-weighted ray per point."""
        # Points on the unit sphere around the tip of the normal are cosine-distributed directions.
        direction = normalized(normals + 0.999 * _unit_vectors(len(points), random))
        near = self._blockers.occluded(points, direction, far=_OCCLUSION_M)
        return np.where(near, _OCCLUDED_SHARE, 1.0)[:, None] * np.array(self._room.ambient, np.float32)


def _offsets(count: int) -> NDArray[np.float64]:
    """(count, 2) positions inside a pixel, from -0.5 to 0.5, evenly spread (the R2 sequence of Roberts, 2018)."""
    golden = 1.32471795724474602596
    return (0.5 + np.arange(count)[:, None] * np.array([1 / golden, 1 / golden**2])) % 1.0 - 0.5


def _moved(camera: Camera, offset_px: NDArray[np.float64]) -> Camera:
    """The camera whose pixel centres lie at an offset."""
    dx, dy = (float(value) for value in offset_px)
    return Camera(camera.width, camera.height, camera.fx, camera.fy, camera.cx - dx, camera.cy - dy)


def _uv(part: Part) -> NDArray[np.float32]:
    return np.zeros((len(part.mesh.vertices), 2), np.float32) if part.uv is None else part.uv


def _uv_density(part: Part) -> NDArray[np.float64]:
    """(T,) area in uv units per square metre of each triangle."""
    uv = _uv(part)[part.mesh.triangles].astype(np.float64)
    (a, b), (c, d) = (uv[:, 1] - uv[:, 0]).T, (uv[:, 2] - uv[:, 0]).T
    return np.asarray(np.abs(a * d - b * c) / 2 / np.maximum(triangle_areas(part.mesh), 1e-12))


def _unit_vectors(count: int, random: np.random.Generator) -> NDArray[np.float32]:
    """(count, 3) directions, all equally likely."""
    z = 2 * random.random(count, np.float32) - 1
    angle = 2 * np.pi * random.random(count, np.float32)
    radius = np.sqrt(1 - z**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=1).astype(np.float32)
