"""Maps as colour images: depth and confidence as colours, normals as RGB, and sheets of several images.

All images are uint8 RGB (H, W, 3). Pixels without a value are dark grey.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from lotus_recon.errors import InputError
from lotus_recon.io.images import resize_rgb
from lotus_recon.types import BoolArray, DepthKind, DepthMap, FloatArray, NormalMap

RgbImage = NDArray[np.uint8]

ERROR_COLORS = (1e-3, 0.3)  # relative errors at the ends of the colours
_NO_VALUE = 48
_CLIPPED_PERCENT = 1.0  # of the values at each end that share the end colour
_GAP_PX = 6
_NEARER, _FARTHER = np.array([178.0, 24, 43]), np.array([33.0, 102, 172])
_DOTS_PER_EDGE = 150  # radius of a dot as a share of the longer edge
_LABEL_PX = 26


def colorize_depth(depth: DepthMap, limits: tuple[float, float] | None = None) -> RgbImage:
    """Depth as colours, the same way for every kind: near is red, then yellow, green, far is dark blue (turbo).

    ``limits`` are the values at both ends of the colours in the map's own numbers (depth or disparity); None takes the
    1st and 99th percentile of the map. Returns (H, W, 3).
    """
    low, high = limits or depth_limits([depth])
    share = (depth.values - low) / max(high - low, 1e-12)
    nearness = share if depth.kind is DepthKind.AFFINE_DISPARITY else 1 - share
    return colored(nearness, depth.valid, cv2.COLORMAP_TURBO)


def depth_limits(depths: Sequence[DepthMap]) -> tuple[float, float]:
    """1st and 99th percentile of the valid values of all maps; (0, 1) when there is none."""
    values = np.concatenate([depth.values[depth.valid] for depth in depths]) if depths else np.zeros(0)
    if len(values) == 0:
        return 0.0, 1.0
    low, high = np.percentile(values, (_CLIPPED_PERCENT, 100 - _CLIPPED_PERCENT))
    return float(low), float(high)


def colorize_normals(normals: NormalMap) -> RgbImage:
    """(H, W, 3) normals as (n + 1) / 2 in the usual axes of normal images: x right, y UP, z towards the camera.

    Red is to the right, green is up, blue is towards the viewer: a wall that is seen straight on is light blue.
    """
    shown = normals.values * np.array([1, -1, -1], np.float32)
    rgb = np.clip(np.round((shown + 1) * 127.5), 0, 255)
    return np.where(normals.valid[..., None], rgb, _NO_VALUE).astype(np.uint8)


def colorize_confidence(confidence: FloatArray, valid: BoolArray) -> RgbImage:
    """Confidence (H, W) in [0, 1] as colours: dark violet is 0, green in between, yellow is 1 (viridis)."""
    return colored(confidence, valid, cv2.COLORMAP_VIRIDIS)


def colorize_errors(relative: FloatArray, valid: BoolArray) -> RgbImage:
    """Relative errors (H, W) as colours (turbo), logarithmic: dark blue up to 0.1 %, red from 30 % on."""
    smallest, largest = ERROR_COLORS
    share = np.log(np.maximum(relative, smallest) / smallest) / np.log(largest / smallest)
    return colored(share, valid, cv2.COLORMAP_TURBO)


def colorize_change(before: FloatArray, after: FloatArray, valid: BoolArray) -> tuple[RgbImage, float]:
    """(H, W, 3): depth became nearer (red) or farther (blue); white is no change. Also the change of full colour.

    That is the 98th percentile of the changes, at least 0.1 %.
    """
    change = np.log(np.where(valid, after, 1) / np.where(valid, before, 1))
    full = max(float(np.percentile(np.abs(change[valid]), 98)) if valid.any() else 0.0, 1e-3)
    share = np.clip(change / full, -1, 1)[..., None]
    paint = np.where(share < 0, _NEARER, _FARTHER)
    rgb = np.round(255 + np.abs(share) * (paint - 255.0))
    return np.where(valid[..., None], rgb, _NO_VALUE).astype(np.uint8), full


def draw_errors(photo: RgbImage, xy: FloatArray, error: FloatArray, full: float = 0.03) -> RgbImage:
    """Dots at pixels (N, 2) of a pale photo: green for no error, yellow, red from ``full`` on (relative)."""
    image = np.ascontiguousarray(160 + photo // 4)
    radius = max(1, round(max(photo.shape[:2]) / _DOTS_PER_EDGE))
    for (x, y), share in zip(xy, np.clip(error / full, 0, 1), strict=True):
        color = (int(255 * min(1, 2 * share)), int(200 * min(1, 2 - 2 * share)), 0)
        cv2.circle(image, (int(x), int(y)), radius, color, -1, cv2.LINE_AA)
    return image


def colored(values: FloatArray, valid: BoolArray, colormap: int) -> RgbImage:
    """``values`` (H, W) in [0, 1], clipped, through an OpenCV colour map."""
    levels = np.round(255 * np.clip(np.where(valid, values, 0), 0, 1)).astype(np.uint8)
    rgb = np.asarray(cv2.applyColorMap(levels, colormap))[..., ::-1]
    return np.where(valid[..., None], rgb, _NO_VALUE).astype(np.uint8)


def fitted(image: RgbImage, width: int) -> RgbImage:
    """``image`` (H, W, 3) reduced to ``width`` pixels; smaller ones are returned unchanged."""
    height, old_width = image.shape[:2]
    if old_width <= width:
        return image
    return resize_rgb(image, width, max(1, round(height * width / old_width)))


def contact_sheet(images: Sequence[RgbImage], labels: Sequence[str], columns: int, cell_width: int = 320) -> RgbImage:
    """Images (H, W, 3) in rows of ``columns``, each scaled to ``cell_width`` pixels, with a label below it.

    Raises InputError when there is no image or not one label for each.
    """
    if not images or len(images) != len(labels) or columns < 1:
        raise InputError(
            f"a sheet needs images, a label for each and 1 or more columns, not {len(images)} images, "
            f"{len(labels)} labels, {columns} columns"
        )
    cells = [_cell(image, label, cell_width) for image, label in zip(images, labels, strict=True)]
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    return stacked_rows([side_by_side(row) for row in rows])


def _cell(image: RgbImage, label: str, width: int) -> RgbImage:
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    cell = Image.new("RGB", (width, height + (_LABEL_PX if label else 0)), "white")
    cell.paste(Image.fromarray(resize_rgb(image, width, height)))
    if label:
        ImageDraw.Draw(cell).text((4, height + 4), label, fill=(30, 30, 30), font=ImageFont.load_default(15))
    return np.asarray(cell, np.uint8)


def side_by_side(images: Sequence[RgbImage]) -> RgbImage:
    """Images (H, W, 3) in one row, aligned at the top, with a white gap between them."""
    height = max(image.shape[0] for image in images)
    width = sum(image.shape[1] + _GAP_PX for image in images) - _GAP_PX
    row = np.full((height, width, 3), 255, np.uint8)
    left = 0
    for image in images:
        row[: image.shape[0], left : left + image.shape[1]] = image
        left += image.shape[1] + _GAP_PX
    return row


def stacked_rows(images: Sequence[RgbImage]) -> RgbImage:
    """Images (H, W, 3) below each other, aligned at the left, with a white gap between them."""
    turned = [np.swapaxes(image, 0, 1) for image in images]
    return np.ascontiguousarray(np.swapaxes(side_by_side(turned), 0, 1))
