"""The costs of ``matching`` on a GPU: the same formulas as one Triton program per block of pixels.

P pixels in a block, S samples in a window, K sources per pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from lotus_recon.mvs.matching import Goal
from lotus_recon.mvs.sources import Sources

_BLOCK = 64
_NOISE = tl.constexpr(0.005**2)
_STEEPEST = tl.constexpr(0.8)


@dataclass(frozen=True, eq=False)
class DeviceView:
    """A view and its sources as tensors; see ``sweep.View`` and ``Sources``."""

    gray: Tensor  # (H, W)
    window: Tensor  # (4, S), S a power of two
    others: Tensor
    maps: Tensor
    geometry: Tensor
    place: Tensor

    @classmethod
    def of(cls, gray: Any, window: Any, sources: Sources, device: torch.device) -> DeviceView:
        """Copies on a device."""
        filled = -window.shape[1] % (1 << (window.shape[1] - 1).bit_length())
        samples = torch.nn.functional.pad(torch.from_numpy(window), (0, filled))
        arrays = (sources.gray, sources.maps, sources.geometry, sources.place)
        return cls(
            torch.from_numpy(gray).to(device), samples.to(device), *(torch.from_numpy(a).to(device) for a in arrays)
        )

    def costs(self, pixels: Tensor, planes: Tensor, chosen: Tensor, goal: Goal) -> Tensor:
        """(M, K) cost of planes (M, 3) at pixels (M,) with the chosen sources (M, K) int32."""
        M, K = chosen.shape
        out = torch.empty(M, K, device=planes.device)
        H, W = self.gray.shape
        cost_kernel[(triton.cdiv(M, _BLOCK),)](
            self.gray, self.others, self.maps, self.geometry, self.place, self.window,
            pixels, planes, chosen, out, M, H, W,
            goal.contrast, goal.radius, goal.geometric, goal.lost,
            K=K, S=self.window.shape[1], P=_BLOCK,
        )  # fmt: skip
        return out


@triton.jit
def cost_kernel(
    gray, others, maps, geometry, place, window, pixels, planes, chosen, out, M, H, W,
    contrast, radius, geometric, lost, K: tl.constexpr, S: tl.constexpr, P: tl.constexpr,
):  # fmt: skip
    lane = tl.program_id(0) * P + tl.arange(0, P)
    real = lane < M
    pixel = tl.load(pixels + lane, real, 0)
    row, col = pixel // W, pixel % W
    # 1. The window of every pixel: values (P, S) with mean 0, weights that sum to 1.
    s = tl.arange(0, S)
    dx, dy = tl.load(window + s), tl.load(window + S + s)
    at_y = row[:, None] + dy[None, :].to(tl.int64)
    at_x = col[:, None] + dx[None, :].to(tl.int64)
    inside = (at_y >= 0) & (at_y < H) & (at_x >= 0) & (at_x < W)
    near = tl.minimum(tl.maximum(at_y, 0), H - 1) * W + tl.minimum(tl.maximum(at_x, 0), W - 1)
    value = tl.load(gray + near) - tl.load(gray + pixel)[:, None]
    fall = 1.0 + (value / contrast) * (value / contrast)
    weight = tl.where(inside, tl.load(window + 2 * S + s)[None, :] / (fall * fall), 0.0)
    weight = weight / tl.sum(weight, axis=1)[:, None]
    value = value - tl.sum(weight * value, axis=1)[:, None]
    deviation = tl.sqrt(tl.sum(weight * value * value, axis=1) + _NOISE)
    # 2. Where the plane puts it in each source.
    x, y = col.to(tl.float32) + 0.5, row.to(tl.float32) + 0.5
    w, wx, wy = (
        tl.load(planes + 3 * lane, real, 1.0),
        tl.load(planes + 3 * lane + 1, real, 0.0),
        tl.load(planes + 3 * lane + 2, real, 0.0),
    )
    for i in range(K):
        j = tl.load(chosen + lane * K + i, real, 0).to(tl.int64)
        g = geometry + 16 * j
        p = place + 6 * j
        sx, sy, sz = tl.load(g + 9), tl.load(g + 10), tl.load(g + 11)
        ax, ay, az = tl.load(g), tl.load(g + 3), tl.load(g + 6)
        bx, by, bz = tl.load(g + 1), tl.load(g + 4), tl.load(g + 7)
        X0 = ax * x + bx * y + tl.load(g + 2) + sx * w
        Y0 = ay * x + by * y + tl.load(g + 5) + sy * w
        Z0 = az * x + bz * y + tl.load(g + 8) + sz * w
        Zx, Zy = az + sz * wx, bz + sz * wy
        step = tl.load(p + 1)
        width, height = step.to(tl.float32), tl.load(p + 2).to(tl.float32)
        seen = (Z0 > 0) & (radius * (tl.abs(Zx) + tl.abs(Zy)) < _STEEPEST * Z0)
        Z0 = tl.where(seen, Z0, 1.0)
        u, v = X0 / Z0, Y0 / Z0
        seen = seen & (u > 1.0) & (u < width - 1.0) & (v > 1.0) & (v < height - 1.0) & real
        # 3. Correlation with what it shows there.
        inverse = 1.0 / (Z0[:, None] + Zx[:, None] * dx[None, :] + Zy[:, None] * dy[None, :])
        px = (X0[:, None] + (ax + sx * wx)[:, None] * dx[None, :] + (bx + sx * wy)[:, None] * dy[None, :]) * inverse
        py = (Y0[:, None] + (ay + sy * wx)[:, None] * dx[None, :] + (by + sy * wy)[:, None] * dy[None, :]) * inverse
        px = tl.minimum(tl.maximum(px - 0.5, 0.0), (width - 1.001)[:, None])
        py = tl.minimum(tl.maximum(py - 0.5, 0.0), (height - 1.001)[:, None])
        ix, iy = px.to(tl.int32), py.to(tl.int32)
        fx, fy = px - ix.to(tl.float32), py - iy.to(tl.float32)
        k = others + tl.load(p)[:, None].to(tl.int64) + iy * step[:, None] + ix
        m = seen[:, None]
        a, b = tl.load(k, m, 0.0), tl.load(k + 1, m, 0.0)
        c, d = tl.load(k + step[:, None], m, 0.0), tl.load(k + step[:, None] + 1, m, 0.0)
        upper, lower = a + (b - a) * fx, c + (d - c) * fx
        warped = upper + (lower - upper) * fy
        mean = tl.sum(weight * warped, axis=1)
        variance = tl.maximum(tl.sum(weight * warped * warped, axis=1) - mean * mean, 0.0) + _NOISE
        cost = 1.0 - tl.sum(weight * warped * value, axis=1) / (deviation * tl.sqrt(variance))
        cost = tl.minimum(tl.maximum(cost, 0.0), 1.0)
        # 4. Its own depth.
        if geometric > 0:
            map_width, map_height = tl.load(p + 4), tl.load(p + 5)
            mx, my = u / width * map_width.to(tl.float32), v / height * map_height.to(tl.float32)
            map_col = tl.minimum(tl.maximum(mx.to(tl.int32), 0), map_width - 1)
            map_row = tl.minimum(tl.maximum(my.to(tl.int32), 0), map_height - 1)
            q = maps + 4 * (tl.load(p + 3).to(tl.int64) + map_row * map_width + map_col)
            own = tl.load(q, seen, 0.0)
            sure = tl.where(own > 0, tl.load(q + 3, seen, 0.0), 0.0)
            own += tl.load(q + 1, seen, 0.0) * (mx - map_col.to(tl.float32) - 0.5)
            own += tl.load(q + 2, seen, 0.0) * (my - map_row.to(tl.float32) - 0.5)
            move = tl.sqrt((sx - u * sz) * (sx - u * sz) + (sy - v * sz) * (sy - v * sz))
            error = tl.minimum(tl.abs(w / Z0 - own) * move / lost, 1.0)
            cost += geometric * (0.5 + sure * (error - 0.5))
        tl.store(out + lane * K + i, tl.where(seen, cost, 1.0 + geometric), real)
