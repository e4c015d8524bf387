"""The same points of the scene in two frames of a video, by dense optical flow, and how their depth must change.

Optical flow: Kroeger et al., Fast Optical Flow using Dense Inverse Search, ECCV 2016 (OpenCV's DIS).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lotus_recon.io.video import reduced_grey
from lotus_recon.types import BoolArray, DepthKind, DepthMap, FloatArray

COLUMNS, ROWS = 28, 20  # points of a pair: one in the middle of each cell of this grid
SAMPLES = COLUMNS * ROWS
_FOCAL = 1.0  # in longer edges, of the camera that tells how a turn changes z-depth: 53 degrees wide
_RETURN_PX = 1.0  # there and back again a point may be off by this, or by a share of its way
_RETURN_SHARE = 0.05
_FOLLOWED = 0.5  # share of the points that the flow should follow; with fewer, features are asked for the turn
_FEATURES, _LEAST_FEATURES, _RATIO, _NEAR_PX = 500, 12, 0.8, 4.0  # SIFT: most, least, Lowe's ratio, off a homography
_PATCH = np.arange(-9, 10, 3, dtype=np.float32)  # pixels around a point that must look alike in both frames
_LEAST_CORRELATION, _FLAT = 0.5, 4.0  # of patches; and grey levels that are no texture
_LEAST_POINTS = 30  # that tell a motion of 9 unknowns
_ROUNDS = 5  # of reweighting
_LARGEST_CHANGE = 1.3  # of disparity from one frame to the next: more is a mistake


@dataclass(frozen=True, eq=False)
class Glance:
    """A frame as the alignment sees it, small: (h, w) grey, and (h, w) values of its depth map, NaN where invalid.

    Values are disparities where the depth has no open shift, else the numbers of the map.
    """

    grey: NDArray[np.uint8]
    values: NDArray[np.float32]
    is_disparity: bool  # false: depth up to scale and shift

    @property
    def levels(self) -> NDArray[np.float64]:
        """(4,) of the values: 2nd percentile, median, 98th percentile, mean distance from the median."""
        known = self.values[np.isfinite(self.values)].astype(np.float64)
        if not len(known):
            return np.array([0.0, 0.0, 1.0, 1.0])
        low, middle, high = np.percentile(known, (2, 50, 98))
        return np.array([low, middle, high, np.abs(known - middle).mean()])


def glance(rgb: NDArray[np.uint8], depth: DepthMap) -> Glance:
    """What is kept of a frame (H, W, 3) and its depth (H, W)."""
    grey = reduced_grey(rgb)
    values = cv2.resize(values_of(depth), grey.shape[::-1], interpolation=cv2.INTER_NEAREST)
    return Glance(grey, np.asarray(values, np.float32), is_disparity=depth.kind is not DepthKind.AFFINE)


def values_of(depth: DepthMap) -> NDArray[np.float32]:
    """(H, W) what is brought to one scale: disparity where the depth has no open shift, else its numbers; NaN: none."""
    values = np.where(depth.valid, depth.values, np.nan)
    return np.asarray(values if depth.kind.has_shift else 1 / values, np.float32)


def sampled(first: Glance, second: Glance) -> NDArray[np.float32]:
    """What two frames have in common: (SAMPLES, 5), a row of NaN where that is nothing.

    Value in the first frame, value in the second, factor from the disparity in the first to that in the second as the
    motion of the camera explains it (1 for what is no disparity), and where the point is in the second: x and y in
    shares of its size.
    """
    there, kept = _matched(first.grey, second.grey)
    here = _grid(first.grey.shape)
    size = first.grey.shape[::-1]
    found = np.ones((SAMPLES, 5), np.float32)
    found[:, 0], found[:, 1] = _read(first.values, here), _read(second.values, there)
    found[:, 3:] = (there + 0.5) / size
    known = kept & np.isfinite(found).all(1)
    found[~known] = np.nan
    if first.is_disparity and known.sum() >= _LEAST_POINTS:
        here_ray, there_ray = (
            ((points[known] + 0.5 - np.array(size) / 2) / max(size) / _FOCAL).astype(np.float64)
            for points in (here, there)
        )
        found[known, 2] = change_of_disparity(here_ray, there_ray, found[known, 0].astype(np.float64))
    return found


def _grid(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """(SAMPLES, 2) pixels x, y, the first pixel centre at 0, as OpenCV has it."""
    height, width = shape[:2]
    x, y = (np.arange(COLUMNS) + 0.5) * width / COLUMNS - 0.5, (np.arange(ROWS) + 0.5) * height / ROWS - 0.5
    return np.stack(np.meshgrid(x, y), -1).reshape(-1, 2).astype(np.float32)


def _matched(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> tuple[NDArray[np.float32], BoolArray]:
    """Where the points of the grid are in the second frame (SAMPLES, 2), and whether the way back agrees.

    Where that is few of them, the camera may have turned by more than the flow can follow: then features tell the turn.
    """
    there, kept = _followed(first, second)
    turn = _turn(first, second) if kept.mean() < _FOLLOWED else None
    if turn is None:
        return there, kept
    height, width = first.shape
    turned = cv2.warpPerspective(second, turn, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    seen = cv2.warpPerspective(
        np.ones_like(second), turn, (width, height), flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    )
    close, agreed = _followed(first, np.asarray(turned, np.uint8))
    with np.errstate(invalid="ignore"):
        agreed &= _read(seen.astype(np.float32), close) > 0.99
    if agreed.sum() <= kept.sum():
        return there, kept
    return np.asarray(cv2.perspectiveTransform(close[None], turn)[0], np.float32), agreed


def _followed(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> tuple[NDArray[np.float32], BoolArray]:
    """``_matched`` by the flow alone."""
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)  # type: ignore[attr-defined]
    forward, backward = flow.calc(first, second, None), flow.calc(second, first, None)
    here = _grid(first.shape)
    way = _read(forward, here)
    there = here + way
    back = _read(backward, there)
    allowed = np.maximum(_RETURN_PX, _RETURN_SHARE * np.linalg.norm(way, axis=1))
    with np.errstate(invalid="ignore"):
        return there, (np.linalg.norm(way + back, axis=1) < allowed) & _alike(first, second, here, there)


def _alike(
    first: NDArray[np.uint8], second: NDArray[np.uint8], here: NDArray[np.float32], there: NDArray[np.float32]
) -> BoolArray:
    """(N,) whether patches around the points of both frames correlate; two without texture do."""
    around = np.stack(np.meshgrid(_PATCH, _PATCH), -1).reshape(1, -1, 2)
    patches = [
        np.nan_to_num(_read(frame.astype(np.float32), (points[:, None] + around).reshape(-1, 2)))
        for frame, points in ((first, here), (second, there))
    ]
    plain = [patch - patch.mean(1, keepdims=True) for patch in (each.reshape(len(here), -1) for each in patches)]
    spreads = [patch.std(1) for patch in plain]
    correlation = (plain[0] * plain[1]).mean(1) / np.maximum(spreads[0] * spreads[1], 1e-6)
    return (correlation > _LEAST_CORRELATION) | (np.maximum(*spreads) < _FLAT)


def _turn(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    """The homography (3, 3) from pixels of the first to those of the second frame that features agree on."""
    finder = cv2.SIFT_create(_FEATURES)  # type: ignore[attr-defined]
    (points, about), (others, of_others) = (finder.detectAndCompute(frame, None) for frame in (first, second))
    if min(len(points), len(others)) < _LEAST_FEATURES:
        return None
    pairs = cv2.BFMatcher(cv2.NORM_L2).knnMatch(about, of_others, k=2)
    good = [best for best, other in pairs if best.distance < _RATIO * other.distance]
    if len(good) < _LEAST_FEATURES:
        return None
    here, there = (
        np.array(xy, np.float32)
        for xy in ([points[m.queryIdx].pt for m in good], [others[m.trainIdx].pt for m in good])
    )
    found, inside = cv2.findHomography(here, there, cv2.RANSAC, _NEAR_PX)
    return None if found is None or inside.sum() < _LEAST_FEATURES else np.asarray(found, np.float64)


def _read(image: NDArray[np.float32], xy: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values (N,) or (N, 2) of an image between its pixels, NaN outside."""
    x, y = np.ascontiguousarray(xy[None, :, 0]), np.ascontiguousarray(xy[None, :, 1])
    read = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(np.nan,) * 4)
    return np.asarray(read[0], np.float32)


def change_of_disparity(here: FloatArray, there: FloatArray, values: FloatArray) -> NDArray[np.float64]:
    """Factors (N,) by which the disparity of points changes as the camera moves, from where they are seen.

    ``here`` and ``there`` are (N, 2) rays x / z, y / z of the first and second frame; ``values`` (N,) are the disparity
    in the first up to scale and shift, D = s v + c. A camera that turns by w (small) and moves by t sees the point
    (x, y, 1) / D at x' b = x + wy - wz y + tx D, y' b = y - wx + wz x + ty D, with b = 1 + wx y - wy x + tz D the
    factor of its z-depth (Longuet-Higgins and Prazdny, 1980): linear in w, s t and c t. Robust least squares.
    """
    x, y, u, v = here[:, 0], here[:, 1], there[:, 0], there[:, 1]
    spread = float(np.std(values)) or 1.0
    d = (values - np.median(values)) / spread
    one, none = np.ones_like(x), np.zeros_like(x)
    # columns: wx wy wz, s t, c t
    across = np.stack([u * y, -u * x - one, y, -d, none, u * d, -one, none, u], -1)
    down = np.stack([v * y + one, -v * x, -x, none, -d, v * d, none, -one, v], -1)
    rows, rhs = np.concatenate([across, down]), np.concatenate([x - u, y - v])
    weights = np.ones(len(rhs))
    found = np.zeros(9)
    ridge = 1e-3 * np.eye(9)
    for _ in range(_ROUNDS):
        weighted = rows * weights[:, None]
        found = np.linalg.solve(weighted.T @ rows + ridge, weighted.T @ rhs)
        error = rows @ found - rhs
        scale = 1.5 * float(np.median(np.abs(error))) + 1e-6
        weights = 1 / (1 + (error / (2 * scale)) ** 2)
    bracket = 1 + found[0] * y - found[1] * x + found[5] * d + found[8]
    return np.clip(1 / np.maximum(bracket, 0.1), 1 / _LARGEST_CHANGE, _LARGEST_CHANGE)
