"""Acceptance of nano: rooms and worlds it never saw, real photos with measured depth, time and memory."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lotus_recon.datasets import hololens, single_images
from lotus_recon.datasets.rooms import RoomsSet
from lotus_recon.datasets.samples import Sample
from lotus_recon.datasets.single_images import MeasuredPhoto
from lotus_recon.evaluation.boundaries import boundary_f1
from lotus_recon.evaluation.metrics import aligned_depth, depth_errors, normal_metrics
from lotus_recon.evaluation.robust import robust_metrics
from lotus_recon.io.images import read_rgb
from lotus_recon.models import load_model
from lotus_recon.models.base import Model
from tests.acceptance.depth_scores import depth_scores, mean_of, trivial_disparities
from tests.acceptance.evaluated import evaluate
from tests.acceptance.rows import Row

RUN = "nano"
UNSEEN_SEED = 987654  # no training set has it
UNSEEN_SCENES, UNSEEN_VIEWS = 25, 8
SHARPER = 0.24  # half as much again as nano of rooms alone had
_ROOM_DEPTH_M = 10.0  # no room is deeper: predictions are clipped there, as in NYUv2's protocol
_WORLD_DEPTH_M = 200.0
_LEAST_SHARE = 0.05  # of a photo that has depth: less is no map to align
_TRIVIAL = ("nyu_00000", "motorcycle", "arc2017")  # indoors or near: what nano was made for
_SPEED = """
import sys, time
import numpy as np
import torch
torch.set_num_threads(2)
from lotus_recon.models import load_model
from lotus_recon.measuring import peak_memory_mb
model = load_model(sys.argv[1], device="cpu")
rgb = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
seconds = []
for _ in range(6):
    started = time.perf_counter()
    model.predict(rgb)
    seconds.append(time.perf_counter() - started)
print(seconds[0], min(seconds), peak_memory_mb())
"""


def nano(data: Path, work: Path, name: str = "nano") -> list[Row]:
    """All rows. ``data``: ../shared/data; ``work``: where the rooms are rendered, once."""
    model = load_model(name, device="cpu")
    shutil.rmtree(work / "evaluated", ignore_errors=True)  # maps of an older nano
    return [
        *unseen_rooms(model, work / "unseen_rooms"),
        *unseen_worlds(model, work / "unseen_worlds"),
        *hololens_photos(name, data, work / "evaluated"),
        *measured_photos(name, data, work / "evaluated"),
        *speed(name),
    ]


def render_unseen(module: str, root: Path, *options: str) -> Path:
    """``root`` with 200 photos of another seed than any training set's; those that are there stay."""
    shared = ("--views", str(UNSEEN_VIEWS), "--size", "256x192", "--seed", str(UNSEEN_SEED), "--quiet")
    subprocess.run([sys.executable, "-m", module, "--out", str(root), *shared, *options], check=True)
    return root


def render_unseen_rooms(root: Path) -> Path:
    """200 photos of rooms in ``root``."""
    return render_unseen("pipelines.make_rooms", root, "--scenes", str(UNSEEN_SCENES), "--no-mesh")


def unseen_rooms(model: Model, root: Path) -> list[Row]:
    """Depth, normals and boundaries of rooms."""
    scores = unseen_scores(model, render_unseen_rooms(root), _ROOM_DEPTH_M)
    error, angle, sharp = (mean_of(scores, name) for name in ("abs_rel", "normals", "boundary_f1"))
    of = f"{len(scores)} unseen rooms"
    return [
        Row(RUN, f"{of}: AbsRel after scale and shift", f"{error:.3f}", "<= 0.11", error <= 0.11),
        Row(RUN, f"{of}: normals, mean angle", f"{angle:.1f} deg", "<= 12.5 deg", angle <= 12.5),
        Row(RUN, f"{of}: boundary F-score", f"{sharp:.3f}", f">= {SHARPER}", sharp >= SHARPER),
    ]


def unseen_worlds(model: Model, root: Path) -> list[Row]:
    """Depth, normals, boundaries and the sky of streets and of objects close by."""
    render_unseen("pipelines.make_worlds", root, "--count", str(UNSEEN_SCENES), "--family", "streets,objects")
    scores = unseen_scores(model, root, _WORLD_DEPTH_M)
    error, angle, sharp = (mean_of(scores, name) for name in ("abs_rel", "normals", "boundary_f1"))
    of = f"{len(scores)} unseen worlds"
    median = np.median([photo["abs_rel"] for photo in scores])  # the mean is made by the far ends of a few photos
    figure = f"{error:.3f}, median {median:.3f}"
    return [
        Row(RUN, f"{of}: AbsRel after scale and shift", figure, "<= 0.16", error <= 0.16),
        Row(RUN, f"{of}: rel by MoGe's protocol", f"{mean_of(scores, 'rel'):.3f}", "", None),
        Row(RUN, f"{of}: normals, mean angle", f"{angle:.1f} deg", "<= 20 deg", angle <= 20),
        Row(RUN, f"{of}: boundary F-score", f"{sharp:.3f}", "", None),
        Row(RUN, f"{of}: pixels whose sky is told right", f"{mean_of(scores, 'sky'):.1%}", "", None),
    ]


def unseen_scores(model: Model, root: Path, max_depth_m: float) -> list[dict[str, float]]:
    """Scores of each photo of a rendered set."""
    photos = RoomsSet(root, "all")
    return [scores for index in range(len(photos)) if (scores := _scores(model, photos.load(index), max_depth_m))]


def _scores(model: Model, sample: Sample, max_depth_m: float) -> dict[str, float]:
    """Nothing for a photo without normals or of the sky alone."""
    prediction = model.predict(sample.rgb)
    assert prediction.depth is not None
    assert prediction.normals is not None
    assert sample.depth is not None
    assert sample.depth_valid is not None
    assert sample.normals is not None
    assert sample.normals_valid is not None
    assert sample.sky is not None
    valid = sample.depth_valid & (sample.depth <= max_depth_m)
    if valid.mean() < _LEAST_SHARE or not sample.normals_valid.any():
        return {}
    depth = aligned_depth(prediction.depth.values, sample.depth, valid, "affine_disparity", max_depth=max_depth_m)
    return {
        **depth_errors(depth[valid], sample.depth[valid].astype(np.float64)),
        "rel": robust_metrics(prediction.depth.values, sample.depth, valid, prediction.depth.kind)["disparity_rel"],
        "normals": normal_metrics(prediction.normals.values, sample.normals, sample.normals_valid)["mean"],
        "boundary_f1": boundary_f1(np.nan_to_num(depth, nan=1.0), np.where(valid, sample.depth, 1), valid),
        "sky": float(((~prediction.depth.valid) == sample.sky)[valid | sample.sky].mean()),
    }


def hololens_photos(name: str, data: Path, work: Path) -> list[Row]:
    """47 real photos against sensor depth, and against the normals of planes fitted to it."""
    which = ("--sets", "[{kind: hololens, root: hololens_a}]", "--data", str(data))
    sets = ("--model", name, *which, "--holes", "skip")  # where it sees the sky
    depth = evaluate("depth", work, *sets, "--protocol", "both", kind="hololens")
    normals = evaluate("normals", work, *sets, kind="hololens")
    photos = []
    for frame in hololens.frames(data / "hololens_a"):
        truth, valid = hololens.sensor_depth(data / "hololens_a", frame.view.name)
        photos.append(MeasuredPhoto(frame.view.name, read_rgb(frame.photo), truth, valid))
    trivial, trivial_share = _best_trivial(photos)
    error, share, robust = (depth.score(key) for key in ("abs_rel", "delta1", "disparity_rel"))
    one_scale = depth.score("abs_rel_one_scale")
    angle, near = normals.score("mean"), normals.score("pct_11_25")
    figures = f"{angle:.1f} deg, {near:.0f} % < 11.25"
    return [
        depth.row(
            RUN,
            f"hololens_a: AbsRel after scale and shift (trivial map {trivial:.3f})",
            f"{error:.3f}",
            "<= 0.092",
            error <= 0.092,
        ),
        depth.row(RUN, "hololens_a: AbsRel after one scale, as single_view writes it", f"{one_scale:.3f}"),
        depth.row(
            RUN, f"hololens_a: delta1 (trivial map {trivial_share:.3f})", f"{share:.3f}", ">= 0.90", share >= 0.9
        ),
        depth.row(RUN, "hololens_a: rel by MoGe's protocol", f"{robust:.3f}"),
        normals.row(RUN, "hololens_a: normals of sensor depth, mean angle", figures),
    ]


def _best_trivial(photos: Sequence[MeasuredPhoto]) -> tuple[float, float]:
    """AbsRel and delta1 of the better of the maps that see nothing."""
    found = []
    for name in trivial_disparities(photos[0]):
        scores = depth_scores(photos, [trivial_disparities(photo)[name] for photo in photos])
        found.append((mean_of(scores, "abs_rel"), mean_of(scores, "delta1")))
    return min(found)


def measured_photos(name: str, data: Path, work: Path) -> list[Row]:
    """Three real photos, each from another camera."""
    photos = [photo for photo in single_images.measured_photos(data / "single_images") if photo.name in _TRIVIAL]
    names = work / "indoors.txt"
    names.parent.mkdir(parents=True, exist_ok=True)
    names.write_text("\n".join(_TRIVIAL) + "\n")
    part = f"[{{kind: single_images, root: single_images, file_list: {names.resolve()}}}]"
    sets = ("--model", name, "--sets", part, "--data", str(data), "--holes", "skip")
    depth = evaluate("depth", work, *sets, kind="single_images")
    normals = evaluate("normals", work, *sets, kind="single_images")
    error, (trivial, _) = depth.score("abs_rel"), _best_trivial(photos)
    each = ", ".join(f"{photo} {value:.3f}" for photo, value in depth.photo_scores("abs_rel").items())
    angles = ", ".join(f"{photo} {value:.1f}" for photo, value in normals.photo_scores("mean").items())
    gain = 1 - error / trivial
    figure = f"single photos: AbsRel after scale and shift, below the trivial map's {trivial:.3f}"
    written = ", ".join(f"{photo} {value:.3f}" for photo, value in depth.photo_scores("abs_rel_one_scale").items())
    one_scale = f"{depth.score('abs_rel_one_scale'):.3f} ({written})"
    return [
        depth.row(RUN, figure, f"{error:.3f}, {gain:.0%} ({each})", ">= 35 %", gain >= 0.35),
        depth.row(RUN, "single photos: AbsRel after one scale, as single_view writes it", one_scale),
        normals.row(RUN, "single photos: normals of measured depth, mean angle in deg", angles),
    ]


def speed(name: str) -> list[Row]:
    """Time and memory of both maps of a photo of 640x480, in a process of its own with 2 threads."""
    answer = subprocess.run([sys.executable, "-c", _SPEED, name], check=True, capture_output=True, text=True).stdout
    first, best, peak_mb = (float(word) for word in answer.split())
    figure = f"640x480, both maps, 2 threads (first call {first:.2f} s)"
    return [
        Row(RUN, figure, f"{best:.2f} s", "<= 0.2 s", best <= 0.2),
        Row(RUN, "peak memory of the process", f"{peak_mb:.0f} MB", "<= 600 MB", peak_mb <= 600),
    ]
