"""Outdoors light: a sun, a sky with clouds, and the haze between the camera and what is far."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.geometry.normals import normalized
from lotus_recon.types import Camera, FloatArray

Rgb = tuple[float, float, float]  # linear

_CLOUD_SIDE = 512  # texels of the repeated cloud cover
_GLOW = 12.0  # exponent: how narrow the bright sky around the sun is


@dataclass(frozen=True)
class Sky:
    """What is above an outdoor place. A matte white surface that faces the sun sends back the radiance ``sun``."""

    to_sun: tuple[float, float, float] = (0.35, -0.55, 0.75)  # unit is not needed
    sun: Rgb = (1.45, 1.3, 1.08)  # black where clouds hide it
    zenith: Rgb = (0.18, 0.32, 0.62)  # radiance
    horizon: Rgb = (0.62, 0.72, 0.82)
    clouds: float = 0.4  # share of the sky, 0 to 1
    cloud: Rgb = (0.95, 0.95, 0.95)
    visibility_m: float = np.inf  # distance at which haze leaves a share of 1/e of the light
    seed: int = 0

    @property
    def direction(self) -> NDArray[np.float32]:
        """(3,) unit, to the sun."""
        return normalized(np.asarray(self.to_sun, np.float64)).astype(np.float32)

    @property
    def mean(self) -> NDArray[np.float32]:
        """(3,) radiance of the sky on the whole."""
        clear = 0.5 * (np.array(self.zenith) + np.array(self.horizon))
        return np.asarray((1 - self.clouds) * clear + self.clouds * np.array(self.cloud), np.float32)

    def radiance(self, directions: FloatArray) -> NDArray[np.float32]:
        """(N, 3) radiance of the sky in directions (N, 3) of any length, without the disc of the sun."""
        unit = normalized(np.asarray(directions, np.float32)).astype(np.float32)
        up = np.clip(unit[:, 2:], 0, 1)
        clear = np.array(self.horizon, np.float32) + np.sqrt(up) * (np.array(self.zenith) - np.array(self.horizon))
        glow = np.clip(unit @ self.direction, 0, 1)[:, None] ** _GLOW
        clear = clear + 0.35 * glow * np.array(self.sun, np.float32)
        share = self._cloud_share(unit)[:, None] * np.clip(4 * up, 0, 1)
        return np.asarray((1 - share) * clear + share * np.array(self.cloud), np.float32)

    def _cloud_share(self, unit: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.clouds <= 0:
            return np.zeros(len(unit), np.float32)
        on_plane = unit[:, :2] / np.maximum(unit[:, 2:], 0.04)  # clouds float in one layer
        cell = (on_plane * (_CLOUD_SIDE / 8)).astype(np.int64) % _CLOUD_SIDE
        cover = cloud_cover(self.seed)[cell[:, 1], cell[:, 0]]
        return np.clip((cover - (1 - self.clouds)) * 4 + 0.5, 0, 1).astype(np.float32)


@functools.lru_cache(maxsize=4)
def cloud_cover(seed: int) -> NDArray[np.float32]:
    """Repeating noise (N, N) whose values are evenly spread over 0 to 1, smooth at all scales."""
    return fractal_noise(np.random.default_rng([seed, 5]), _CLOUD_SIDE, 1.7)


def fractal_noise(random: np.random.Generator, side: int, falloff: float) -> NDArray[np.float32]:
    """(N, N) repeating noise, N = ``side``, evenly spread over 0 to 1; the higher ``falloff`` the smoother."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side))
    frequency[0, 0] = np.inf
    waves = np.fft.ifft2(np.fft.fft2(random.standard_normal((side, side))) * frequency**-falloff).real
    rank = np.empty(side * side, np.float32)
    rank[np.argsort(waves, axis=None)] = np.linspace(0, 1, side * side, dtype=np.float32)
    return rank.reshape(side, side)


def with_haze(
    sky: Sky, radiance: NDArray[np.float32], depth: NDArray[np.float32], valid: NDArray[np.bool_], camera: Camera
) -> NDArray[np.float32]:
    """The image (H, W, 3) with the light that haze scatters in; z-depth (H, W) in metres, sky where not ``valid``."""
    if not np.isfinite(sky.visibility_m):
        return radiance
    length = np.linalg.norm(rays_in_cam(camera), axis=-1)
    kept = np.where(valid, np.exp(-depth * length / sky.visibility_m), 1.0)[..., None]
    return np.asarray(kept * radiance + (1 - kept) * np.array(sky.horizon), np.float32)


def draw_sky(random: np.random.Generator) -> Sky:
    """Sunny, hazy, cloudy, dull, or with a low sun."""
    kind = random.choice(["sunny", "cloudy", "overcast", "low"], p=[0.4, 0.27, 0.18, 0.15])
    height = random.uniform(0.12, 0.35) if kind == "low" else random.uniform(0.4, 1.3)
    turn = random.uniform(0, 2 * np.pi)
    to_sun = (float(np.cos(turn) * np.cos(height)), float(np.sin(turn) * np.cos(height)), float(np.sin(height)))
    warmth = {"low": random.uniform(0.4, 0.7), "sunny": random.uniform(0, 0.2)}.get(str(kind), 0.1)
    strength = {"sunny": random.uniform(1.2, 2.4), "low": random.uniform(0.7, 1.5), "cloudy": random.uniform(0.3, 1.3)}
    sun = strength.get(str(kind), 0.0) * np.array([1.0, 1 - 0.45 * warmth, 1 - 0.9 * warmth])
    clouds = {"overcast": 1.0, "cloudy": random.uniform(0.4, 0.8)}.get(str(kind), random.uniform(0, 0.35))
    blue = random.uniform(0.5, 1.0)
    zenith = (1 - blue) * np.array([0.45, 0.5, 0.55]) + blue * np.array([0.12, 0.27, 0.6])
    horizon = np.array([0.66, 0.74, 0.82]) * random.uniform(0.8, 1.15) - warmth * np.array([0, 0.15, 0.4])
    visibility = 10 ** random.uniform(2.3, 3.0) if random.random() < 0.35 else 10 ** random.uniform(3.0, 3.9)
    return Sky(
        to_sun,
        _rgb(sun),
        _rgb(zenith),
        _rgb(np.maximum(horizon, 0.1)),
        float(clouds),
        _rgb(random.uniform(0.5, 1.0) * np.array([1.0, 1.0, 1.02])),
        float(visibility),
        int(random.integers(2**31)),
    )


def _rgb(values: NDArray[np.floating]) -> Rgb:
    r, g, b = (float(value) for value in values)
    return r, g, b
