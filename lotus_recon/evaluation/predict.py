"""The first loop: predict the maps of every photo of a set and write them; scoring does not need the model."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon.datasets.benchmarks.base import Benchmark
from lotus_recon.errors import InputError
from lotus_recon.interruption import doing
from lotus_recon.io.maps import save_prediction
from lotus_recon.models.base import Model, expect_photos
from lotus_recon.progress import track
from lotus_recon.types import DepthMap, NormalMap, Prediction
from lotus_recon.workspace import remove_unfinished, write_json

_MADE_BY = "made_by.json"


def parse_shard(text: str) -> tuple[int, int]:
    """(number, count) of a shard "2/8", numbered from 1. Raises InputError for anything else."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    number, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= number <= count:
        raise InputError(f"--shard {text}: allowed is NUMBER/COUNT with 1 <= NUMBER <= COUNT, such as 2/8")
    return number, count


def indices_of(total: int, shard: tuple[int, int]) -> range:
    """The photos of a shard: every COUNT-th."""
    return range(shard[0] - 1, total, shard[1])


def predict_set(benchmark: Benchmark, model: Model, folder: Path, indices: Sequence[int], seed: int) -> int:
    """Write ``folder/<name>.npz`` for the photos ``indices`` that have none yet; returns how many were predicted.

    Files are written by rename, so an interrupted loop resumes, and several processes may share a folder. Raises
    InputError when a photo cannot be read, ModelError when the network fails.
    """
    own = {prediction_file(folder, benchmark.name(i)) for i in indices}
    remove_unfinished(folder, own.__contains__)
    todo = [i for i in indices if not prediction_file(folder, benchmark.name(i)).is_file()]
    expect_photos(model, len(todo))
    size = model.batch_size
    batches = [todo[start : start + size] for start in range(0, len(todo), size)]
    with doing("the photos in work", "maps that are written are kept"):
        for batch in track(batches, f"predicting {benchmark.spec.title}", len(batches)):
            _predict_batch(benchmark, model, folder, batch, seed)
    return len(todo)


def _predict_batch(benchmark: Benchmark, model: Model, folder: Path, batch: Sequence[int], seed: int) -> None:
    photos = [benchmark.photo(i) for i in batch]
    padded = [pad(photo, benchmark.spec.padding) for photo in photos]
    names = [benchmark.name(i) for i in batch]
    predictions = model.predict_batch(padded, seed, [f"{name}.png" for name in names])
    for name, photo, prediction in zip(names, photos, predictions, strict=True):
        cropped = crop(prediction, photo.shape[0], photo.shape[1])
        save_prediction(prediction_file(folder, name), cropped)


def prediction_file(folder: Path, name: str) -> Path:
    """The file with the maps of a photo. Raises InputError for a name that leads out of ``folder``."""
    parts = PurePosixPath(name).parts
    if not parts or parts[0] == "/" or ".." in parts or "\0" in name:
        raise InputError(
            f"{name!r} is no name of a photo: its maps would lie outside {folder}; allowed: a path below it"
        )
    return folder / f"{name}.npz"


def claim(folder: Path, made_by: dict[str, Any]) -> None:
    """Record in ``folder`` the settings of its maps. Raises InputError when they were generated with other settings."""
    path = folder / _MADE_BY
    if path.is_file():
        check_claim(folder, made_by)
    elif any(folder.rglob("*.npz")):
        raise InputError(f"{folder} holds maps, and {path.name}, which says what made them, is gone; remove the folder")
    else:
        write_json(path, made_by)


def check_claim(folder: Path, made_by: dict[str, Any]) -> None:
    """Raise InputError unless the maps in ``folder`` were generated with these settings."""
    path = folder / _MADE_BY
    try:
        before = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}, which says what made the maps beside it, cannot be read: {error}") from None
    if not isinstance(before, dict):
        raise InputError(f"{path}, which says what made the maps beside it, holds no object; remove the folder")
    differing = sorted(key for key in before.keys() | made_by if before.get(key) != made_by.get(key))
    if differing:
        changes = ", ".join(f"{key} {before.get(key)!r}, now {made_by.get(key)!r}" for key in differing)
        raise InputError(
            f"{folder} holds maps generated with different settings ({changes}); choose another --out or remove the "
            "folder"
        )


def padding(height: int, width: int, multiple: int) -> tuple[int, int, int, int]:
    """Rows above and below, columns left and right that make both sides divisible: the smaller half comes first."""
    rows, columns = -height % multiple, -width % multiple
    return rows // 2, rows - rows // 2, columns // 2, columns - columns // 2


def pad(rgb: NDArray[np.uint8], multiple: int) -> NDArray[np.uint8]:
    """``rgb`` (H, W, 3) with black around it, as DSINE's protocol pads."""
    top, bottom, left, right = padding(rgb.shape[0], rgb.shape[1], multiple)
    return np.pad(rgb, ((top, bottom), (left, right), (0, 0))) if top + bottom + left + right else rgb


def crop(prediction: Prediction, height: int, width: int) -> Prediction:
    """The maps of the photo of (height, width) inside those of the padded one."""
    rows, columns = prediction.shape
    top, left = (rows - height) // 2, (columns - width) // 2
    window = (slice(top, top + height), slice(left, left + width))
    depth, normals = prediction.depth, prediction.normals
    return replace(
        prediction,
        depth=None if depth is None else DepthMap(depth.values[window], depth.valid[window], depth.kind),
        normals=None if normals is None else NormalMap(normals.values[window], normals.valid[window]),
        depth_sigma=None if prediction.depth_sigma is None else prediction.depth_sigma[window],
        normals_sigma_deg=None if prediction.normals_sigma_deg is None else prediction.normals_sigma_deg[window],
    )
