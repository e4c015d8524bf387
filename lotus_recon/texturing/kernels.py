"""Compiled loops over the pixels of triangles: what photos show of each, and the texels of the atlas."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lotus_recon.mvs.compiled import kernel

_OUTSIDE = 1e-4  # weight of texels beside a triangle, which only count where nothing covers them
_MARGIN = 1.5  # texels: how far beside


@kernel
def face_statistics(
    corners_px: NDArray[np.float32],
    detail: NDArray[np.float32],
    rgb: NDArray[np.float32],
    area: NDArray[np.float32],
    gradient: NDArray[np.float32],
    color: NDArray[np.float32],
) -> None:
    """Fill, for triangles (F, 3, 2) in pixels of a photo: area (F,), mean ``detail`` (F,), and mean colour (F, 3).

    A triangle that covers no pixel centre takes the pixel that holds its centre.
    """
    height, width = detail.shape
    for f in range(corners_px.shape[0]):
        ax, ay = corners_px[f, 0]
        bx, by = corners_px[f, 1]
        cx, cy = corners_px[f, 2]
        twice = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        area[f] = abs(twice) / 2
        first_x, last_x = max(0, int(min(ax, bx, cx))), min(width - 1, int(max(ax, bx, cx)))
        first_y, last_y = max(0, int(min(ay, by, cy))), min(height - 1, int(max(ay, by, cy)))
        count = 0
        red = green = blue = slope = 0.0
        for y in range(first_y, last_y + 1):
            for x in range(first_x, last_x + 1):
                px, py = x + 0.5, y + 0.5
                u = ((bx - ax) * (py - ay) - (by - ay) * (px - ax)) * twice
                v = ((cx - bx) * (py - by) - (cy - by) * (px - bx)) * twice
                w = ((ax - cx) * (py - cy) - (ay - cy) * (px - cx)) * twice
                if u >= 0 and v >= 0 and w >= 0:
                    count += 1
                    red += rgb[y, x, 0]
                    green += rgb[y, x, 1]
                    blue += rgb[y, x, 2]
                    slope += detail[y, x]
        if count == 0:
            x = min(max(int((ax + bx + cx) / 3), 0), width - 1)
            y = min(max(int((ay + by + cy) / 3), 0), height - 1)
            count = 1
            red, green, blue, slope = rgb[y, x, 0], rgb[y, x, 1], rgb[y, x, 2], detail[y, x]
        color[f, 0], color[f, 1], color[f, 2] = red / count, green / count, blue / count
        gradient[f] = slope / count


@kernel
def paint(
    corners_uv: NDArray[np.float32],
    corners_cam: NDArray[np.float32],
    intrinsics: NDArray[np.float64],
    rgb: NDArray[np.float32],
    weights: NDArray[np.float32],
    changes: NDArray[np.float32],
    page: NDArray[np.float32],
) -> None:
    """Add a photo to the texels of triangles, each weighted; the sum (H, W, 4) is colour times weight, and weight.

    ``corners_uv`` (F, 3, 2) in texels of the page, ``corners_cam`` (F, 3, 3) in the axes of the camera with
    ``intrinsics`` fx, fy, cx, cy; ``weights`` (F, 3) and ``changes`` (F, 3, 3) of colour at the corners. A texel is
    taken from where its point of the surface projects to (bicubic), so perspective is exact in large triangles too.
    """
    height, width = page.shape[:2]
    fx, fy, cx, cy = intrinsics
    value = np.empty(3, np.float32)
    for f in range(corners_uv.shape[0]):
        ax, ay = corners_uv[f, 0]
        bx, by = corners_uv[f, 1]
        dx, dy = corners_uv[f, 2]
        twice = (bx - ax) * (dy - ay) - (by - ay) * (dx - ax)
        if twice == 0:
            continue
        # How much a barycentric weight changes from texel to texel, at most: 1 / height of the triangle.
        slope_a = np.sqrt((bx - dx) ** 2 + (by - dy) ** 2) / abs(twice)
        slope_b = np.sqrt((dx - ax) ** 2 + (dy - ay) ** 2) / abs(twice)
        slope_c = np.sqrt((ax - bx) ** 2 + (ay - by) ** 2) / abs(twice)
        first_x = max(0, int(np.floor(min(ax, bx, dx) - _MARGIN)))
        last_x = min(width - 1, int(max(ax, bx, dx) + _MARGIN))
        first_y = max(0, int(np.floor(min(ay, by, dy) - _MARGIN)))
        last_y = min(height - 1, int(max(ay, by, dy) + _MARGIN))
        for y in range(first_y, last_y + 1):
            for x in range(first_x, last_x + 1):
                px, py = x + 0.5, y + 0.5
                b = ((px - ax) * (dy - ay) - (py - ay) * (dx - ax)) / twice
                c = ((bx - ax) * (py - ay) - (by - ay) * (px - ax)) / twice
                a = 1 - b - c
                beside = max(-a / slope_a, -b / slope_b, -c / slope_c)  # texels
                if beside > _MARGIN:
                    continue
                z = a * corners_cam[f, 0, 2] + b * corners_cam[f, 1, 2] + c * corners_cam[f, 2, 2]
                if z <= 0:
                    continue
                X = a * corners_cam[f, 0, 0] + b * corners_cam[f, 1, 0] + c * corners_cam[f, 2, 0]
                Y = a * corners_cam[f, 0, 1] + b * corners_cam[f, 1, 1] + c * corners_cam[f, 2, 1]
                _bicubic(rgb, fx * X / z + cx - 0.5, fy * Y / z + cy - 0.5, value)
                a, b, c = max(a, np.float32(0)), max(b, np.float32(0)), max(c, np.float32(0))
                total = a + b + c
                weight = (a * weights[f, 0] + b * weights[f, 1] + c * weights[f, 2]) / total
                if beside > 0:
                    weight *= _OUTSIDE / (1 + 10 * beside)
                for k in range(3):
                    change = (a * changes[f, 0, k] + b * changes[f, 1, k] + c * changes[f, 2, k]) / total
                    page[y, x, k] += weight * (value[k] + change)
                page[y, x, 3] += weight


@kernel
def add_interpolated(
    corners_uv: NDArray[np.float32], values: NDArray[np.float32], done: NDArray[np.bool_], page: NDArray[np.float32]
) -> None:
    """Add values, interpolated from the corners (F, 3, 3) of triangles (F, 3, 2), to a page (H, W, 3 or more).

    Only to texels that are not ``done`` (H, W), each once, which then are. First those inside triangles, then those
    beside them.
    """
    height, width = page.shape[:2]
    for beside in range(2):
        margin = _MARGIN * beside
        for f in range(corners_uv.shape[0]):
            ax, ay = corners_uv[f, 0]
            bx, by = corners_uv[f, 1]
            dx, dy = corners_uv[f, 2]
            twice = (bx - ax) * (dy - ay) - (by - ay) * (dx - ax)
            if twice == 0:
                continue
            for y in range(max(0, int(min(ay, by, dy) - margin)), min(height - 1, int(max(ay, by, dy) + margin)) + 1):
                for x in range(
                    max(0, int(min(ax, bx, dx) - margin)), min(width - 1, int(max(ax, bx, dx) + margin)) + 1
                ):
                    if done[y, x]:
                        continue
                    b = ((x + 0.5 - ax) * (dy - ay) - (y + 0.5 - ay) * (dx - ax)) / twice
                    c = ((bx - ax) * (y + 0.5 - ay) - (by - ay) * (x + 0.5 - ax)) / twice
                    if beside == 0 and (b < 0 or c < 0 or b + c > 1):
                        continue
                    b, c = min(max(b, 0.0), 1.0), min(max(c, 0.0), 1.0)
                    a = max(1 - b - c, 0.0)
                    total = a + b + c
                    for k in range(3):
                        page[y, x, k] += (a * values[f, 0, k] + b * values[f, 1, k] + c * values[f, 2, k]) / total
                    done[y, x] = True


@kernel
def _bicubic(image: NDArray[np.float32], x: float, y: float, value: NDArray[np.float32]) -> None:
    """Catmull-Rom interpolation of (H, W, 3) at column ``x`` and row ``y``, clamped to the four pixels around.

    Without the clamp it rings at hard edges, which the sums would carry on.
    """
    height, width = image.shape[:2]
    x, y = min(max(x, 0.0), width - 1.0), min(max(y, 0.0), height - 1.0)
    col, row = min(int(x), width - 2), min(int(y), height - 2)
    tx, ty = x - col, y - row
    for k in range(3):
        total = 0.0
        for j in range(-1, 3):
            line = 0.0
            r = min(max(row + j, 0), height - 1)
            for i in range(-1, 3):
                line += _cubic_weight(i - tx) * image[r, min(max(col + i, 0), width - 1), k]
            total += _cubic_weight(j - ty) * line
        around_low = min(image[row, col, k], image[row, col + 1, k], image[row + 1, col, k], image[row + 1, col + 1, k])
        around_high = max(
            image[row, col, k], image[row, col + 1, k], image[row + 1, col, k], image[row + 1, col + 1, k]
        )
        value[k] = min(max(total, around_low), around_high)


@kernel
def _cubic_weight(distance: float) -> float:
    t = abs(distance)
    if t < 1:
        return (1.5 * t - 2.5) * t * t + 1
    if t < 2:
        return ((-0.5 * t + 2.5) * t - 4) * t + 2
    return 0.0
