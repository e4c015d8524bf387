"""What --tiles makes of renders of 24 megapixels, beside the map of the whole photo; its time and memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lotus_recon.datasets.rooms import RoomsSet
from lotus_recon.datasets.samples import Sample
from lotus_recon.evaluation.boundaries import boundary_f1
from lotus_recon.evaluation.metrics import aligned_depth, depth_errors, normal_metrics
from lotus_recon.models import load_model
from lotus_recon.models.tiling import level_sizes, tiles_of
from lotus_recon.types import Prediction
from tests.acceptance.rows import Row

RUN = "tiles"
SIZE = (6000, 4000)
SCENES = 4
_MAX_DEPTH_M = 10.0
_NEAR_PX = 17  # of the merged map
_COST = """
import sys, time
import torch
torch.set_num_threads(2)
from lotus_recon.io.images import read_rgb
from lotus_recon.measuring import peak_memory_mb
from lotus_recon.models import load_model
from pathlib import Path
rgb = read_rgb(Path(sys.argv[1]))
started = time.perf_counter()
load_model("nano", device="cpu", tiles="auto").predict(rgb)
print(time.perf_counter() - started, peak_memory_mb())
"""


def tiles(work: Path) -> list[Row]:
    """All rows. ``work``: where the rooms are rendered, once."""
    root = work / "tiled_rooms"
    size = "x".join(map(str, SIZE))
    options = ("--scenes", str(SCENES), "--views", "1", "--samples", "1", "--size", size, "--seed", "78", "--no-mesh")
    maker = [sys.executable, "-m", "pipelines.make_rooms", "--out", str(root), "--renderer", "raycast", *options]
    subprocess.run([*maker, "--quiet"], check=True)
    photos = RoomsSet(root, "all")
    whole, tiled = (load_model("nano", device="cpu", tiles=each) for each in ("off", "auto"))
    scores: dict[str, list[dict[str, float]]] = {"whole": [], "tiled": []}
    seams, moved = [], []
    for index in range(len(photos)):
        sample = photos.load(index)
        before, after = whole.predict(sample.rgb), tiled.predict(sample.rgb)
        scores["whole"].append(_scores(before, sample))
        scores["tiled"].append(_scores(after, sample))
        seams.append(_seam_ratio(after))
        moved.append(_moved_waves(before, after))
    before_, after_ = (_mean(found) for found in scores.values())
    is_sharper = after_["boundary_f1"] > 1.3 * before_["boundary_f1"]
    of = f"{len(photos)} rooms of 24 MP"
    seconds, memory_mb = map(float, _cost(root / "scene_000000/images").split())
    return [
        Row(
            RUN,
            f"{of}: boundary F-score, beside the whole photo's",
            f"{after_['boundary_f1']:.4f}, {before_['boundary_f1']:.4f}",
            "> 1.3 x",
            is_sharper,
        ),
        Row(
            RUN,
            f"{of}: AbsRel, beside the whole photo's",
            f"{after_['abs_rel']:.4f}, {before_['abs_rel']:.4f}",
            "not worse",
            after_["abs_rel"] <= before_["abs_rel"],
        ),
        Row(
            RUN,
            f"{of}: normals, beside the whole photo's",
            f"{after_['normals']:.2f}, {before_['normals']:.2f} deg",
            "",
            None,
        ),
        Row(
            RUN,
            f"{of}: bends at the borders of tiles, beside those near by",
            f"{np.mean(seams):.2f}",
            "<= 1.1",
            float(np.mean(seams)) <= 1.1,
        ),
        Row(
            RUN,
            f"{of}: waves wider than an eighth of the photo moved by",
            f"{np.max(moved):.2%}",
            "<= 0.2 %",
            max(moved) <= 0.002,
        ),
        Row(RUN, "24 MP with nano: time, 2 threads", f"{seconds:.0f} s", "<= 90 s", seconds <= 90),
        Row(RUN, "24 MP with nano: memory", f"{memory_mb / 1000:.2f} GB", "<= 1.5 GB", memory_mb <= 1500),
    ]


def _scores(prediction: Prediction, sample: Sample) -> dict[str, float]:
    assert prediction.depth is not None
    assert prediction.normals is not None
    assert sample.depth is not None
    assert sample.depth_valid is not None
    assert sample.normals is not None
    assert sample.normals_valid is not None
    truth, valid = sample.depth, sample.depth_valid & (sample.depth <= _MAX_DEPTH_M)
    depth = aligned_depth(prediction.depth.values, truth, valid, "affine_disparity", max_depth=_MAX_DEPTH_M)
    return {
        "abs_rel": depth_errors(depth[valid], truth[valid].astype(np.float64))["abs_rel"],
        "boundary_f1": boundary_f1(np.nan_to_num(depth, nan=1.0), np.where(valid, truth, 1), valid),
        "normals": normal_metrics(prediction.normals.values, sample.normals, sample.normals_valid)["mean"],
    }


def _mean(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of every figure; rooms without a boundary have no F-score."""
    return {name: float(np.nanmean([each[name] for each in scores])) for name in scores[0]}


def _seam_ratio(prediction: Prediction) -> float:
    """Bend (second difference) across the borders of tiles, over that up to 17 pixels beside them: the mean of borders.

    Measured in pixels of the merged map, as enlarging it bends it at every one of them; the median along a border, as
    the mean is that of the edges of things. Borders that are not blended at all have 1.06, other lines 0.98 to 1.02.
    """
    assert prediction.depth is not None
    width, height = prediction.meta["tiled_size"]
    values = cv2.resize(prediction.depth.values, (width, height))
    found = tiles_of(width, height, *level_sizes(*SIZE, max(prediction.meta["processing_size"]), SIZE[0])[0])
    ratios = []
    for axis, ends in (
        (1, {x for tile in found for x in (tile.left, tile.right)}),
        (0, {y for tile in found for y in (tile.top, tile.bottom)}),
    ):
        bend = np.median(np.abs(np.diff(values, 2, axis=axis)), axis=1 - axis)
        for at in (end - 1 for end in ends if _NEAR_PX < end - 1 < len(bend) - _NEAR_PX):
            beside = np.r_[bend[at - _NEAR_PX : at - 1], bend[at + 1 : at + _NEAR_PX]]
            ratios.append(bend[at - 1 : at + 1].mean() / beside.mean())
    return float(np.mean(ratios))


def _moved_waves(before: Prediction, after: Prediction) -> float:
    """Root mean square change of what is wider than an eighth of the photo, as a share of the range of the map."""
    assert before.depth is not None
    assert after.depth is not None
    a, b = (_waves(each.depth.values) for each in (before, after) if each.depth is not None)
    return float(np.sqrt(np.mean((a - b) ** 2)) / np.ptp(before.depth.values))


def _waves(values: NDArray[np.float32]) -> NDArray[np.float64]:
    small = cv2.resize(values, (SIZE[0] // 16, SIZE[1] // 16), interpolation=cv2.INTER_AREA).astype(np.float64)
    return np.asarray(cv2.GaussianBlur(small, (0, 0), SIZE[0] / 16 / 16), np.float64)


def _cost(photos: Path) -> str:
    """Seconds and megabytes, as a process of its own measures them."""
    command = [sys.executable, "-c", _COST, str(min(photos.iterdir()))]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


RUNS: Mapping[str, tuple[str, Callable[[Path, Path], list[Row]]]] = {"tiles": (".", lambda _, work: tiles(work.parent))}
