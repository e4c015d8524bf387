"""How steady the depth of a video is, at points whose way from frame to frame is known exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lotus_recon.geometry.pose import invert_rigid, transform
from lotus_recon.types import BoolArray, View

_EVERY_PX = 6  # between the points
_SEEN_TWICE = 0.03  # of the depth by which the true maps of two frames may differ at a point that both see
_LEAST_POINTS = 50
_DEEPEST_M = 15.0
_FITTED = 50  # every so many pixels tell the scale and shift of a scene


@dataclass(frozen=True, eq=False)
class TrueFrame:
    """Camera, and exact depth in metres (H, W) where it is known."""

    view: View
    depth: NDArray[np.float32]
    valid: BoolArray


@dataclass(frozen=True)
class Steadiness:
    """Means over frames, all relative."""

    warped: float  # by how much the depth of a point changes from frame to frame, beyond its true change
    of_frames: float  # AbsRel, each frame after its own scale and shift
    of_video: float  # AbsRel, all frames of a scene after one scale and shift


def steadiness(
    disparities: Sequence[NDArray[np.float32]], truth: Sequence[TrueFrame], scenes: Sequence[int]
) -> Steadiness:
    """Of disparities (H, W) up to scale and shift; ``scenes`` has the number of the scene of each frame."""
    fitted = _fitted(disparities, truth, scenes)
    warped = [
        error
        for i in range(len(truth) - 1)
        if scenes[i] == scenes[i + 1]
        and (error := _warped(fitted[i], fitted[i + 1], truth[i], truth[i + 1])) is not None
    ]
    each = _fitted(disparities, truth, range(len(truth)))
    of_frames, of_video = (
        float(np.mean([np.abs(1 / d[t.valid] / t.depth[t.valid] - 1).mean() for d, t in zip(maps, truth, strict=True)]))
        for maps in (each, fitted)
    )
    return Steadiness(float(np.mean(warped)), of_frames, of_video)


def _fitted(
    disparities: Sequence[NDArray[np.float32]], truth: Sequence[TrueFrame], scenes: Sequence[int]
) -> list[NDArray[np.float64]]:
    """Disparities in 1 / m after the least squares scale and shift of each scene."""
    fits = {}
    for scene in set(scenes):
        own = [(d, t) for d, t, s in zip(disparities, truth, scenes, strict=True) if s == scene]
        values = np.concatenate([d[t.valid][::_FITTED] for d, t in own])
        fits[scene] = np.polyfit(values, np.concatenate([1 / t.depth[t.valid][::_FITTED] for _, t in own]), 1)
    return [np.maximum(np.polyval(fits[s], d), 1 / _DEEPEST_M) for d, s in zip(disparities, scenes, strict=True)]


def _warped(here: NDArray[np.float64], there: NDArray[np.float64], first: TrueFrame, second: TrueFrame) -> float | None:
    """Mean relative change of depth from one frame to the next; None where they share nothing."""
    height, width = first.depth.shape
    rows, columns = np.mgrid[4:height:_EVERY_PX, 4:width:_EVERY_PX]
    known = first.valid[rows, columns]
    rows, columns = rows[known], columns[known]
    depth, camera = first.depth[rows, columns].astype(np.float64), first.view.camera
    rays = np.stack([(columns + 0.5 - camera.cx) / camera.fx, (rows + 0.5 - camera.cy) / camera.fy], 1)
    points = np.concatenate([rays * depth[:, None], depth[:, None]], 1)
    moved = transform(second.view.cam_from_world @ invert_rigid(first.view.cam_from_world), points)
    ahead = moved[:, 2] > 0.1
    rows, columns, depth, moved = rows[ahead], columns[ahead], depth[ahead], moved[ahead]
    x = moved[:, 0] / moved[:, 2] * camera.fx + camera.cx
    y = moved[:, 1] / moved[:, 2] * camera.fy + camera.cy
    inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    column, row = x[inside].astype(int), y[inside].astype(int)
    seen = inside.copy()
    seen[inside] = second.valid[row, column] & (np.abs(second.depth[row, column] / moved[inside, 2] - 1) < _SEEN_TWICE)
    if seen.sum() < _LEAST_POINTS:
        return None
    at_x, at_y = ((each[seen] - 0.5).astype(np.float32)[None] for each in (x, y))
    read = cv2.remap(there.astype(np.float32), at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
    change = moved[seen, 2] / depth[seen]
    return float(np.abs(here[rows[seen], columns[seen]] / (read * change) - 1).mean())
