"""Acceptance of videos: depth that is steady over time and no less exact, memory, and the frames that are chosen."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from lotus_recon.datasets import hololens
from lotus_recon.datasets.posed import Frame
from lotus_recon.geometry.pose import fit_similarity
from lotus_recon.io.cameras import read_colmap_scene
from lotus_recon.io.maps import load_arrays, load_prediction
from tests.acceptance.command import ROOT, multi_view
from tests.acceptance.rows import Row
from tests.acceptance.video_scores import Steadiness, TrueFrame, steadiness
from tests.acceptance.video_walk import FRAMES, write_clip, write_video_walk

RUN = "video"
_ROOM = 9  # a furnished one that is seven metres long
_EVERY = 10
_LONGER = 4  # times the walk, forth and back


def video(data: Path, work: Path) -> list[Row]:
    """All rows. ``data``: ../shared/data; ``work``: where the walk is rendered."""
    frames, clip = write_video_walk(_ROOM, work / "walk"), work / "walk/clip.mp4"
    return [
        *_steady_rows(f"walk of {FRAMES} frames", clip, work / "walk_out", _truth_of_walk(frames, work / "walk/truth")),
        *_steady_rows(
            "hololens_a, 47 frames", data / "hololens_a/images", work / "hololens_out", _truth_of_hololens(data)
        ),
        _memory(work),
        *_chosen(clip, frames, work),
    ]


def _steady_rows(what: str, source: Path, out: Path, truth: list[TrueFrame]) -> list[Row]:
    """Of nano's depth: each frame by itself, and after alignment."""
    _single_view(source, out)
    scenes = [frame["scene"] for frame in json.loads((out / "video/video.json").read_text())["frames"]]
    alone, steady = (_scores(out / folder / "frames", truth, scenes) for folder in ("predicted", "video"))
    share = steady.warped / alone.warped
    warped = f"{alone.warped:.2%} -> {steady.warped:.2%} ({share:.2f} x)"
    frames, whole = (f"{getattr(alone, name):.3f} -> {getattr(steady, name):.3f}" for name in ("of_frames", "of_video"))
    kept = steady.of_frames <= 1.01 * alone.of_frames
    of = f"{what}, {scenes[-1] + 1} scene(s)"
    return [
        Row(RUN, f"{of}: warped error, each frame alone -> steady", warped, "<= 0.5 x", share <= 0.5),
        Row(RUN, f"{of}: AbsRel of each frame after scale and shift", frames, "<= 1.01 x", kept),
        Row(RUN, f"{of}: AbsRel of all frames after one scale and shift", whole, "", None),
    ]


def _single_view(source: Path, out: Path) -> None:
    options = ("--video", "--model", "nano", "--device", "cpu", "--quiet")
    command = [sys.executable, "-m", "pipelines.single_view", str(source), "--out", str(out), *options]
    subprocess.run(command, cwd=ROOT, check=True)


def _scores(folder: Path, truth: list[TrueFrame], scenes: list[int]) -> Steadiness:
    depths = [load_prediction(path, "depth").depth for path in sorted(folder.glob("*.npz"))]
    return steadiness([depth.values for depth in depths if depth is not None], truth, scenes)


def _truth_of_walk(frames: list[Frame], folder: Path) -> list[TrueFrame]:
    maps = [load_arrays(folder / f"{frame.view.stem}.npz") for frame in frames]
    return [TrueFrame(frame.view, each["depth"], each["valid"]) for frame, each in zip(frames, maps, strict=True)]


def _truth_of_hololens(data: Path) -> list[TrueFrame]:
    root = data / "hololens_a"
    frames = hololens.frames(root)
    return [TrueFrame(frame.view, *hololens.sensor_depth(root, frame.view.name)) for frame in frames]


def _memory(work: Path) -> Row:
    """Of the walk, and of one that goes forth and back: what does not end in time does not end in memory."""
    photos = sorted((work / "walk/images").glob("*.png"))
    longer = (photos + photos[::-1]) * (_LONGER // 2)
    _single_view(write_clip(longer, work / "longer.mp4"), work / "longer_out")
    peaks = [
        max(json.loads(path.read_text())["peak_memory_mb"] for path in (work / out).glob("*/stage.json"))
        for out in ("walk_out", "longer_out")
    ]
    shutil.rmtree(work / "longer_out")
    figure = f"peak memory of {FRAMES} and of {len(longer)} frames"
    measured = " and ".join(f"{peak:.0f} MB" for peak in peaks)
    return Row(RUN, figure, measured, "<= 1000 MB", max(peaks) <= 1000)


def _chosen(clip: Path, frames: list[Frame], work: Path) -> list[Row]:
    """The photos that multi_view takes of the walk, and every tenth: how many SfM registers."""
    multi_view(clip, work / "chosen", "--only", "frames")
    multi_view(clip, work / "chosen", "--only", "sfm")
    every = work / "every"
    every.mkdir()
    for path in sorted((work / "walk/images").glob("*.png"))[::_EVERY]:
        shutil.copy(path, every)
    multi_view(every, work / "every_out", "--only", "sfm")
    taken, of = len(list((work / "chosen/frames").glob("*.jpg"))), len(list(every.glob("*.png")))
    (found, error), (plain, plain_error) = (_registered(work / out, frames) for out in ("chosen", "every_out"))
    measured, beside = f"{found} of {taken}; {error:.1f} cm", f"{plain} of {of}; {plain_error:.1f} cm"
    return [
        Row(RUN, "frames chosen that SfM registers; positions, rms", measured, "all", found == taken),
        Row(RUN, f"every {_EVERY}th frame instead", beside, "", None),
    ]


def _registered(out: Path, frames: list[Frame]) -> tuple[int, float]:
    """How many photos have a pose, and the rms error of their positions in cm after a similarity."""
    views = read_colmap_scene(out / "sfm/sparse").views
    found = np.stack([view.center_in_world for view in views])
    true = np.stack([frames[int(view.stem.split("_")[-1])].view.center_in_world for view in views])
    fit = fit_similarity(found, true)
    return len(views), 100 * float(np.sqrt(((fit.apply(found) - true) ** 2).sum(1).mean()))
