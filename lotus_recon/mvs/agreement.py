"""Do the surfaces of several views agree, and what do others see where this view looks?"""

from __future__ import annotations

from typing import Any

import numpy as np

from numpy.typing import NDArray

from lotus_recon.mvs.compiled import kernel
from lotus_recon.mvs.matching import F
from lotus_recon.mvs.sources import MAP_HEIGHT, MAP_START, MAP_WIDTH, SHIFT, WIDTH, HEIGHT, Floats, Sources

_ZERO, _ONE, _HALF = F(0), F(1), F(0.5)


@kernel
def agreement(
    planes: Floats, source_costs: Floats, sources: Sources, within: float, worst: float, counts: Any, seen_through: Any,
    first_row: int, end_row: int,
) -> None:  # fmt: skip
    """(H, W) sources that agree with a plane: their surface is ``within`` pixels, and their photo costs less than worst.

    ``seen_through``: sources that see something certain well behind it.
    """
    maps, at, place = sources.maps, sources.geometry, sources.place
    W = planes.shape[1]
    for row in range(first_row, end_row):
        for col in range(W):
            counts[row, col] = 0
            seen_through[row, col] = 0
            w = planes[row, col, 0]
            if w <= _ZERO:
                continue
            x, y = F(col) + _HALF, F(row) + _HALF
            for j in range(len(place)):
                X = at[j, 0] * x + at[j, 1] * y + at[j, 2] + at[j, SHIFT] * w
                Y = at[j, 3] * x + at[j, 4] * y + at[j, 5] + at[j, SHIFT + 1] * w
                Z = at[j, 6] * x + at[j, 7] * y + at[j, 8] + at[j, SHIFT + 2] * w
                if Z <= F(1e-6):
                    continue
                u, v = X / Z, Y / Z
                if not (u > 0 and v > 0 and u < place[j, WIDTH] and v < place[j, HEIGHT]):
                    continue
                width, height = place[j, MAP_WIDTH], place[j, MAP_HEIGHT]
                px, py = u * F(width) / F(place[j, WIDTH]), v * F(height) / F(place[j, HEIGHT])
                c, r = min(int(px), width - 1), min(int(py), height - 1)
                k = place[j, MAP_START] + r * width + c
                own = maps[k, 0]
                if own <= _ZERO:
                    continue
                own += maps[k, 1] * (px - F(c) - _HALF) + maps[k, 2] * (py - F(r) - _HALF)
                move_x, move_y = at[j, SHIFT] - u * at[j, SHIFT + 2], at[j, SHIFT + 1] - v * at[j, SHIFT + 2]
                error = (w / Z - own) * np.sqrt(move_x * move_x + move_y * move_y)
                if abs(error) < within:
                    if source_costs[row, col, j] > worst:
                        counts[row, col] += 1
                elif error > F(3) * within and maps[k, 3] > _HALF:
                    seen_through[row, col] += 1


@kernel
def warped(H: int, W: int, camera: Any, poses: Floats, cameras: Floats, sources: Sources, least: float, out: Any) -> None:
    """Fill ``out`` (2, H, W, 3) with the front and the back of what other views see; only what is certain enough.

    poses (N, 3, 4) view_from_source, cameras (N, 4) fx, fy, cx, cy of the maps
    """
    maps, place = sources.maps, sources.place
    for j in range(len(place)):
        width, height = place[j, MAP_WIDTH], place[j, MAP_HEIGHT]
        fx, fy, cx, cy = cameras[j, 0], cameras[j, 1], cameras[j, 2], cameras[j, 3]
        for r in range(height):
            for c in range(width):
                k = place[j, MAP_START] + r * width + c
                own = maps[k, 0]
                if own <= _ZERO or maps[k, 3] < least:
                    continue
                rx, ry = (F(c) + _HALF - cx) / fx, (F(r) + _HALF - cy) / fy
                X = (poses[j, 0, 0] * rx + poses[j, 0, 1] * ry + poses[j, 0, 2]) / own + poses[j, 0, 3]
                Y = (poses[j, 1, 0] * rx + poses[j, 1, 1] * ry + poses[j, 1, 2]) / own + poses[j, 1, 3]
                Z = (poses[j, 2, 0] * rx + poses[j, 2, 1] * ry + poses[j, 2, 2]) / own + poses[j, 2, 3]
                if Z <= F(1e-6):
                    continue
                u, v = F(camera.fx) * X / Z + F(camera.cx), F(camera.fy) * Y / Z + F(camera.cy)
                if not (u >= 0 and v >= 0 and u < W and v < H):
                    continue
                # The plane p . X = 1 in camera axes, and the same in those of the view.
                a, b = fx * maps[k, 1], fy * maps[k, 2]
                e = own - a * rx - b * ry
                pa = poses[j, 0, 0] * a + poses[j, 0, 1] * b + poses[j, 0, 2] * e
                pb = poses[j, 1, 0] * a + poses[j, 1, 1] * b + poses[j, 1, 2] * e
                pc = poses[j, 2, 0] * a + poses[j, 2, 1] * b + poses[j, 2, 2] * e
                # source_from_view translation = -R^T t: 1 - p_j . t_j = 1 + (R p_j) . t
                scale = _ONE + pa * poses[j, 0, 3] + pb * poses[j, 1, 3] + pc * poses[j, 2, 3]
                col, row = int(u), int(v)
                wx, wy = pa / scale / F(camera.fx), pb / scale / F(camera.fy)
                w = _ONE / Z + wx * (F(col) + _HALF - u) + wy * (F(row) + _HALF - v)
                if w <= _ZERO or (pa * X + pb * Y + pc * Z) <= _ZERO or scale <= F(1e-6):
                    continue
                if w > out[0, row, col, 0]:
                    out[0, row, col, 0], out[0, row, col, 1], out[0, row, col, 2] = w, wx, wy
                if out[1, row, col, 0] == _ZERO or w < out[1, row, col, 0]:
                    out[1, row, col, 0], out[1, row, col, 1], out[1, row, col, 2] = w, wx, wy
