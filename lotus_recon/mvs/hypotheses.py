"""Compiled: random numbers and random planes, the same on every machine and in every order of pixels."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lotus_recon.mvs.compiled import per_pixel

F = np.float32
_ZERO, _ONE, _TWO = F(0), F(1), F(2)
_GRAZING = F(0.1)  # least cosine between normal and ray
_AWAY = F(0.7)  # from the camera: where random normals are drawn around
U = np.uint32


class Pinhole(NamedTuple):
    """A camera for compiled code, in pixels."""

    fx: float
    fy: float
    cx: float
    cy: float


@per_pixel
def random_at(pixel: Any, draw: Any, number: Any, seed: Any) -> Any:
    """A number in [0, 1) that depends on these four only: the final mixing of MurmurHash3 (Appleby), twice."""
    x = U(U(pixel) * U(0x9E3779B1)) ^ U(seed * 1000003 + number * 64 + draw + 1)
    for _ in range(2):
        x = U(x ^ (x >> U(16)))
        x = U(x * U(0x85EBCA6B))
        x = U(x ^ (x >> U(13)))
        x = U(x * U(0xC2B2AE35))
        x = U(x ^ (x >> U(16)))
    return F(x >> U(8)) * F(1.0 / 16777216.0)


@per_pixel
def tilted(
    pixel: Any, draw: Any, number: Any, seed: Any, tilt: Any, x: Any, y: Any, w: Any, wx: Any, wy: Any, camera: Pinhole
) -> tuple[Any, Any]:
    """(wx, wy) of a plane whose normal is turned at random; ``tilt`` of 1: any normal that faces the camera."""
    fx, fy = F(camera.fx), F(camera.fy)
    rx, ry = (x - F(camera.cx)) / fx, (y - F(camera.cy)) / fy
    ray = np.sqrt(rx * rx + ry * ry + _ONE)
    if tilt < _ONE:
        nx, ny = -fx * wx, -fy * wy
        nz = -(w + nx * rx + ny * ry)
        length = np.sqrt(nx * nx + ny * ny + nz * nz)
    else:
        nx, ny, nz = -rx, -ry, -_ONE
        length = ray / _AWAY
    nx = nx / length + tilt * (_TWO * random_at(pixel, draw, number, seed) - _ONE)
    ny = ny / length + tilt * (_TWO * random_at(pixel, draw + 1, number, seed) - _ONE)
    nz = nz / length + tilt * (_TWO * random_at(pixel, draw + 2, number, seed) - _ONE)
    length = np.sqrt(nx * nx + ny * ny + nz * nz)
    toward = min((nx * rx + ny * ry + nz) / length, -_GRAZING * ray)
    return w * nx / (length * fx * toward), w * ny / (length * fy * toward)
