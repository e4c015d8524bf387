"""Depth of every frame, each by itself, and the points that it shares with the frames before it."""

from __future__ import annotations

import itertools
import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lotus_recon.config import Runtime
from lotus_recon.errors import InputError
from lotus_recon.geometry.camera import fit_longer_edge
from lotus_recon.io.images import resize_rgb
from lotus_recon.io.maps import load_arrays, load_prediction, save_arrays, save_prediction
from lotus_recon.models.base import Model, expect_photos
from lotus_recon.models.config import PredictionConfig
from lotus_recon.models.registry import make_model
from lotus_recon.models.registry import options_of as model_options
from lotus_recon.progress import track
from lotus_recon.scene_job import SceneJob
from lotus_recon.types import Prediction
from lotus_recon.video.flow import SAMPLES, Glance, glance, sampled
from lotus_recon.video.footage import Footage, footage_of, frames_in
from lotus_recon.video.temporal import REACH
from lotus_recon.workspace import write_json

_SUMMARY = "frames.json"


@dataclass(frozen=True)
class PredictedFrames:
    """Maps and shared points of every frame of a video, by its name, in a folder."""

    folder: Path
    names: tuple[str, ...]
    rate: Fraction  # frames per second

    @classmethod
    def load(cls, folder: Path) -> PredictedFrames:
        """The result of a finished stage. Raises InputError when it cannot be read."""
        path = folder / _SUMMARY
        try:
            stored = json.loads(path.read_text())
            return cls(folder, tuple(stored["names"]), Fraction(stored["rate"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} cannot be read: {error!r}") from None

    def prediction(self, name: str) -> Prediction:
        """What the network made of a frame."""
        return load_prediction(maps_file(self.folder, name))

    def shared(self, name: str) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Points in common with frames before, by ``REACH`` (3, S, 5), and levels of the values (4,): see flow.py."""
        arrays = load_arrays(_shared_file(self.folder, name))
        return arrays["samples"], arrays["levels"]


def maps_file(folder: Path, name: str) -> Path:
    """Where the maps of a frame are."""
    return folder / "frames" / f"{name}.npz"


def run(job: SceneJob, config: PredictionConfig, runtime: Runtime, max_size: int, out: Path) -> PredictedFrames:
    """Write frames/<name>.npz as the network gives it and shared/<name>.npz; those that are there are kept.

    All frames get the same noise: that of ``runtime.seed``. Maps have a longer edge of ``max_size`` pixels at most
    (0: any). Raises InputError for a frame without depth, ModelError when the network cannot be loaded or run.
    """
    footage = footage_of(job)
    model = make_model(config.model, model_options(config, runtime), runtime.device, runtime.dtype)
    due = [name for name in footage.names if not maps_file(out, name).exists()]
    expect_photos(model, len(due))
    size = fit_longer_edge(footage.width, footage.height, max_size)
    before: deque[Glance] = deque(maxlen=max(REACH))
    predicted = _predicted(job, footage, model, runtime.seed, size, out)
    for name, rgb, prediction in track(predicted, "predicting frames", len(footage.names)):
        if prediction.depth is None or not prediction.depth.valid.any():
            raise InputError(f"frame {name} of {job.source} has no depth")
        seen = glance(rgb, prediction.depth)
        if not maps_file(out, name).exists():
            nothing = np.full((SAMPLES, 5), np.nan, np.float32)
            samples = [sampled(before[-k], seen) if k <= len(before) else nothing for k in REACH]
            save_arrays(_shared_file(out, name), False, samples=np.stack(samples), levels=seen.levels)
            save_prediction(maps_file(out, name), prediction)
        before.append(seen)
    write_json(out / _SUMMARY, {"names": footage.names, "rate": str(footage.rate)})
    return PredictedFrames(out, footage.names, footage.rate)


def _predicted(
    job: SceneJob, footage: Footage, model: Model, seed: int, size: tuple[int, int], out: Path
) -> Iterator[tuple[str, NDArray[np.uint8], Prediction]]:
    """Name, pixels and maps of every frame, in batches; a batch of which all maps are there is read."""
    frames = zip(footage.names, (resize_rgb(rgb, *size) for rgb in frames_in(job)), strict=True)
    while batch := list(itertools.islice(frames, model.batch_size)):
        names, images = [name for name, _ in batch], [rgb for _, rgb in batch]
        if all(maps_file(out, name).exists() for name in names):
            predictions = [load_prediction(maps_file(out, name)) for name in names]
        else:
            predictions = model.predict_batch(images, seed, names)
        yield from zip(names, images, predictions, strict=True)


def _shared_file(folder: Path, name: str) -> Path:
    return folder / "shared" / f"{name}.npz"
