"""Steady depth of a video from the depth of its frames: maps, videos, and what was done to each frame."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.io.maps import save_prediction
from lotus_recon.io.video_writing import colour_video, grey16_video
from lotus_recon.io.visualization import colorize_depth
from lotus_recon.progress import track
from lotus_recon.types import DepthKind, DepthMap
from lotus_recon.video.flow import values_of
from lotus_recon.video.prediction import PredictedFrames, maps_file
from lotus_recon.video.smoothing import Seen, fields, full_size
from lotus_recon.video.temporal import REACH, Affine, aligned, compared, value_at_infinity
from lotus_recon.workspace import write_json

SUMMARY = "video.json"
COLOUR_VIDEO, GREY_VIDEO = "depth.mp4", "depth_16bit.mkv"
_LEAST_DISPARITY = 0.1  # of its own that smoothing leaves to a pixel of depth without an open shift
_MARGIN = 0.25  # of the range of a scene, beyond it on both sides, that 16-bit numbers can say


@dataclass(frozen=True)
class SteadyVideo:
    """What was written."""

    folder: Path
    frames: int
    scenes: int

    @classmethod
    def load(cls, folder: Path) -> SteadyVideo:
        """The result of a finished stage. Raises InputError when it cannot be read."""
        path = folder / SUMMARY
        try:
            stored = json.loads(path.read_text())
            return cls(folder, len(stored["frames"]), len(stored["scenes"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} cannot be read: {error!r}") from None


def run(predicted: PredictedFrames, out: Path) -> SteadyVideo:
    """Write frames/<name>.npz, depth.mp4 (colours of one range in each scene), depth_16bit.mkv and video.json.

    Values of kinds with an open shift are on one scale and shift in each scene; of the others, on one scale. 16-bit
    numbers are 1 + 65534 (value - low) / (high - low) with the range of the scene in video.json, and 0 where invalid;
    the values of kinds without a shift are disparities. Raises InputError for frames of different kinds of depth.
    """
    first = predicted.prediction(predicted.names[0]).depth
    assert first is not None  # by the stage before
    levels, affine = _affine(predicted, first.kind)
    ranges = [_range(levels, affine, scene) for scene in range(int(affine.scene[-1]) + 1)]
    corrections = fields(_seen(predicted, first.kind, levels, affine))
    rows: list[dict[str, Any]] = []
    with ExitStack() as videos:
        colours = videos.enter_context(colour_video(out / COLOUR_VIDEO, predicted.rate))
        numbers = videos.enter_context(grey16_video(out / GREY_VIDEO, predicted.rate))
        steps = zip(predicted.names, affine.scale, affine.shift, affine.scene, corrections, strict=True)
        for name, scale, shift, scene, correction in track(steps, "writing frames", len(predicted.names)):
            prediction = predicted.prediction(name)
            depth = prediction.depth
            if depth is None or depth.kind is not first.kind:
                raise InputError(f"frame {name} has no depth of the kind of the first, {first.kind.value}")
            values = _steady(values_of(depth), float(scale), float(shift), correction, depth.kind)
            meta = {**prediction.meta, "video": {"scale": scale, "shift": shift, "scene": int(scene)}}
            sigma = prediction.depth_sigma
            if sigma is not None:
                sigma = sigma * np.float32(scale if depth.kind.has_shift else 1 / scale)
            steady = replace(prediction, depth=_depth(depth, values), depth_sigma=sigma, meta=meta)
            save_prediction(maps_file(out, name), steady)
            low, high = ranges[scene]
            shown_kind = DepthKind.AFFINE if depth.kind is DepthKind.AFFINE else DepthKind.AFFINE_DISPARITY
            shown = DepthMap(np.nan_to_num(values), depth.valid, shown_kind)
            colours.write(colorize_depth(shown, (low, high)))
            numbers.write(_quantised(shown, *_widened(low, high)))
            rows.append({"name": name, "scene": int(scene), "scale": float(scale), "shift": float(shift)})
    scenes = [dict(zip(("low", "high"), _widened(*found), strict=True)) for found in ranges]
    content = {
        "kind": first.kind.value,
        "rate": str(predicted.rate),
        "zero": "invalid",
        "scenes": scenes,
        "frames": rows,
    }
    write_json(out / SUMMARY, content)
    return SteadyVideo(out, len(rows), len(scenes))


def _affine(predicted: PredictedFrames, kind: DepthKind) -> tuple[NDArray[np.float64], Affine]:
    """Levels of the values of each frame (N, 4), and what brings it onto its scene."""
    infinities: list[float | None] = []
    levels, pairs = [], []
    for name in track(predicted.names, "comparing frames", len(predicted.names)):
        samples, level = predicted.shared(name)
        infinities.append(value_at_infinity(level) if kind.has_shift else None)
        told = np.zeros((len(REACH), 5))
        for row, distance in enumerate(REACH):
            if distance < len(infinities):
                told[row] = compared(samples[row], infinities[-1 - distance])
        levels.append(level)
        pairs.append(told)
    middle, spread = (float(np.median([level[column] for level in levels])) for column in (1, 3))
    return np.stack(levels), aligned(np.stack(pairs), middle, spread, kind.has_shift)


def _seen(predicted: PredictedFrames, kind: DepthKind, levels: NDArray[np.float64], affine: Affine) -> Iterator[Seen]:
    for number, name in enumerate(predicted.names):
        samples, _ = predicted.shared(name)
        infinity = value_at_infinity(levels[number]) if kind.has_shift else 0.0
        scale, shift = float(affine.scale[number]), float(affine.shift[number])
        by_distance = dict(zip(REACH, samples, strict=True))
        yield Seen(int(affine.scene[number]), scale, shift, infinity, scale * float(levels[number, 3]), by_distance)


def _steady(
    values: NDArray[np.float32], scale: float, shift: float, correction: NDArray[np.float32], kind: DepthKind
) -> NDArray[np.float32]:
    """The values (H, W) of a frame on those of its scene; disparities without an open shift stay positive."""
    moved = scale * values + shift
    found = moved + full_size(correction, values.shape[1], values.shape[0])
    return np.asarray(found if kind.has_shift else np.maximum(found, _LEAST_DISPARITY * moved), np.float32)


def _depth(depth: DepthMap, values: NDArray[np.float32]) -> DepthMap:
    """Depth of the same kind with other ``values``, see ``values_of``."""
    plain = values if depth.kind.has_shift else 1 / values
    return DepthMap(np.where(depth.valid, plain, 0), depth.valid, depth.kind)


def _range(levels: NDArray[np.float64], affine: Affine, scene: int) -> tuple[float, float]:
    """Of the values of a scene, without the nearest and farthest 2 % of each frame."""
    inside = affine.scene == scene
    scale, shift = affine.scale[inside], affine.shift[inside]
    low, high = float((scale * levels[inside, 0] + shift).min()), float((scale * levels[inside, 2] + shift).max())
    return low, max(high, low + 1e-6)


def _widened(low: float, high: float) -> tuple[float, float]:
    return low - _MARGIN * (high - low), high + _MARGIN * (high - low)


def _quantised(depth: DepthMap, low: float, high: float) -> NDArray[np.uint16]:
    share = np.clip((depth.values.astype(np.float64) - low) / (high - low), 0, 1)
    return np.where(depth.valid, 1 + np.rint(share * 65534), 0).astype(np.uint16)
