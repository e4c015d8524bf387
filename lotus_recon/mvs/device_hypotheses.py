"""The random numbers and planes of ``hypotheses`` in Triton, for a block of pixels at once."""

# Triton refuses types in the signatures of kernels.
# mypy: disable-error-code="no-untyped-def,untyped-decorator"

from __future__ import annotations

import triton
import triton.language as tl

from lotus_recon.mvs import hypotheses
from lotus_recon.mvs.device_cost import Plane

_GRAZING = tl.constexpr(float(hypotheses._GRAZING))
_AWAY = tl.constexpr(float(hypotheses._AWAY))


def salt_of(seed: int, number: int) -> int:
    """What a round and its seed put into random numbers, as a signed number of 32 bits: one type for all rounds."""
    salt = (seed * 1000003 + number * 64 + 1) & 0xFFFFFFFF
    return salt - (salt >> 31 << 32)


@triton.jit
def random_at(pixel, draw, salt):
    """(P,) see ``hypotheses.random_at``."""
    x = (pixel.to(tl.uint32) * 0x9E3779B1) ^ (salt.to(tl.uint32) + draw)
    for _ in tl.static_range(2):
        x = x ^ (x >> 16)
        x = x * 0x85EBCA6B
        x = x ^ (x >> 13)
        x = x * 0xC2B2AE35
        x = x ^ (x >> 16)
    return (x >> 8).to(tl.float32) * (1.0 / 16777216.0)


@triton.jit
def rays_at(view, at):
    """x and y of the rays through pixels, (P,) each."""
    return (at.x - view.cx) / view.fx, (at.y - view.cy) / view.fy


@triton.jit
def tilted(view, at, draw, salt, tilt, plane):
    """The planes with normals turned at random by up to ``tilt``; see ``hypotheses.tilted``."""
    rx, ry = rays_at(view, at)
    nx, ny = -view.fx * plane.wx, -view.fy * plane.wy
    nz = -(plane.w + nx * rx + ny * ry)
    length = tl.sqrt(nx * nx + ny * ny + nz * nz)
    return turned(view, at, draw, salt, tilt, nx / length, ny / length, nz / length, plane.w)


@triton.jit
def facing(view, at, draw, salt, w):
    """Planes at inverse depths w (P,) with any normals that face the camera; see ``hypotheses.tilted``."""
    rx, ry = rays_at(view, at)
    share = _AWAY / tl.sqrt(rx * rx + ry * ry + 1.0)
    return turned(view, at, draw, salt, 1.0, -rx * share, -ry * share, -share, w)


@triton.jit
def turned(view, at, draw, salt, tilt, nx, ny, nz, w):
    """Planes at inverse depths w (P,) with normals (nx, ny, nz), (P,) each, moved at random."""
    nx = nx + tilt * (2.0 * random_at(at.number, draw, salt) - 1.0)
    ny = ny + tilt * (2.0 * random_at(at.number, draw + 1, salt) - 1.0)
    nz = nz + tilt * (2.0 * random_at(at.number, draw + 2, salt) - 1.0)
    rx, ry = rays_at(view, at)
    length = tl.sqrt(nx * nx + ny * ny + nz * nz)
    toward = tl.minimum((nx * rx + ny * ry + nz) / length, -_GRAZING * tl.sqrt(rx * rx + ry * ry + 1.0))
    return Plane(w, w * nx / (length * view.fx * toward), w * ny / (length * view.fy * toward))
