"""The prediction stage: depth and normals of every view, at the size of its undistorted photo."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lotus_recon.config import Runtime
from lotus_recon.errors import InputError
from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.geometry.resampling import Sampling, sample_mask, sample_prediction
from lotus_recon.io.cameras import SourceCamera
from lotus_recon.io.images import read_info, read_mask, read_rgb
from lotus_recon.io.scene_maps import SceneMaps
from lotus_recon.models.base import Model, expect_photos
from lotus_recon.models.config import PredictionConfig
from lotus_recon.models.kept import KeptMaps, Shot
from lotus_recon.models.precomputed import (
    MissingPredictionError,
    PrecomputedModel,
    load_for_photo,
    report_missing,
    shortened,
)
from lotus_recon.models.registry import make_model, model_fingerprint
from lotus_recon.models.registry import options_of as options_of  # the stage's callers use it too
from lotus_recon.progress import track
from lotus_recon.threads import in_threads, thread_count
from lotus_recon.types import Camera, Prediction, Scene, View
from lotus_recon.workspace import file_fingerprint, fingerprint, to_plain, write_json

log = logging.getLogger(__name__)

_SUMMARY = "prediction.json"
_TAKEN = ".taken.json"  # names of the views whose maps are kept ones; gone when the stage is done
_MOST_SAVED_AT_ONCE = 8  # maps of photos: bounds memory


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the stage reads. Mappings are by view name."""

    scene: Scene
    images_dir: Path  # undistorted photos
    photos_dir: Path  # photos as given
    source_cameras: Mapping[str, SourceCamera]  # of the photos as given
    masks: Mapping[str, Path]  # for the photos as given, not black = use; views may be left out
    runtime: Runtime
    kept: Path | None = None  # folder of what runs with other photos left, and find; None: nothing


@dataclass(frozen=True)
class PredictionResult:
    """What was predicted. The maps of view ``<stem>.<suffix>`` are in ``<stem>.npz`` of the stage's folder."""

    model: str
    names: tuple[str, ...]  # views with a prediction
    missing: tuple[str, ...]  # views without

    @classmethod
    def load(cls, out_dir: Path) -> PredictionResult:
        """The result of a finished stage. Raises InputError when there is none."""
        path = out_dir / _SUMMARY
        try:
            stored = json.loads(path.read_text())
        except (OSError, json.JSONDecodeError) as error:
            raise InputError(f"{path} cannot be read: {error}") from None
        return cls(stored["model"], tuple(stored["names"]), tuple(stored["missing"]))


def run(inputs: Inputs, config: PredictionConfig, out_dir: Path) -> PredictionResult:
    """Write ``<stem>.npz`` for every view that the model has a prediction for.

    Raises InputError when a photo, a stored map or a mask cannot be used or no view has a prediction, ModelError when
    the network cannot be loaded or run.
    """
    model = make_model(config.model, options_of(config, inputs.runtime), inputs.runtime.device, inputs.runtime.dtype)
    if isinstance(model, PrecomputedModel):
        missing = _resample_stored(inputs, model, out_dir)
    else:
        missing = _predict_views(inputs, model, out_dir, _kept_maps(inputs, config))
    names = tuple(view.name for view in inputs.scene.views if view.name not in missing)
    if not names:
        raise InputError(f"no view has a valid prediction: the masks exclude every pixel of all {len(missing)} views")
    result = PredictionResult(model.name, names, tuple(missing))
    write_json(out_dir / _SUMMARY, result)
    return result


def _kept_maps(inputs: Inputs, config: PredictionConfig) -> KeptMaps | None:
    if inputs.kept is None:
        return None
    runtime = inputs.runtime
    weights = model_fingerprint(config.model, options_of(config, runtime))
    made_with = fingerprint(to_plain([config, weights, runtime.seed, runtime.dtype], paths=False))
    return KeptMaps(inputs.kept, made_with, runtime.deterministic)


def _shot(inputs: Inputs, view: View) -> Shot:
    mask = inputs.masks.get(view.name)
    content = file_fingerprint(inputs.photos_dir / view.name)
    return Shot(content, file_fingerprint(mask) if mask else "", inputs.source_cameras[view.name], view.camera)


def _take_kept(inputs: Inputs, kept: KeptMaps, out_dir: Path) -> set[str]:
    """Bring what is kept of the views to its place; their names. A run that is resumed stays with what it took."""
    file = out_dir / _TAKEN
    if file.exists():
        return set(json.loads(file.read_text()))
    views, taken = inputs.scene.views, set()
    for view in views:

        def save(prediction: Prediction, view: View = view) -> None:
            _save_usable(inputs, view, prediction, _sampling(inputs, view), out_dir)

        if kept.give(_shot(inputs, view), SceneMaps(out_dir).path(view), save):
            taken.add(view.name)
    if taken:
        log.info("the maps of %d of %d photos are kept", len(taken), len(views))
    write_json(file, sorted(taken))
    return taken


def _predict_views(inputs: Inputs, model: Model, out_dir: Path, kept: KeptMaps | None = None) -> list[str]:
    """Run a network over the undistorted images; names of the views whose masks exclude every pixel.

    Batches are the same in every run: one that an interrupted run left unfinished is computed whole, so that its maps
    do not depend on the interruption.
    """
    taken = set() if kept is None else _take_kept(inputs, kept, out_dir)
    views, size = [view for view in inputs.scene.views if view.name not in taken], model.batch_size
    batches = [views[i : i + size] for i in range(0, len(views), size)]
    due = [batch for batch in batches if not all(SceneMaps(out_dir).has(view) for view in batch)]

    expect_photos(model, sum(map(len, due)))

    def read(batch: Sequence[View]) -> list[NDArray[np.uint8]]:
        return [_read_undistorted(inputs, view) for view in batch]

    def predicted() -> Iterator[tuple[View, Prediction]]:
        for batch, images in zip(due, in_threads(read, due, 1), strict=True):
            predictions = model.predict_batch(images, inputs.runtime.seed, [view.name for view in batch])
            yield from zip(batch, predictions, strict=True)

    def save(one: tuple[View, Prediction]) -> str | None:
        view, prediction = one
        if not _save_usable(inputs, view, prediction, _sampling(inputs, view), out_dir):
            return view.name
        if kept is not None:
            kept.keep(_shot(inputs, view), SceneMaps(out_dir).path(view))
        return None

    # One thread reads the next batch and others save the last one while the network runs in this one.
    saved = in_threads(save, predicted(), min(thread_count(), _MOST_SAVED_AT_ONCE))
    empty = [name for name in track(saved, "predicting", sum(map(len, due))) if name is not None]
    (out_dir / _TAKEN).unlink(missing_ok=True)
    if empty:
        log.warning("the masks of %d views exclude every pixel of their predictions: %s", len(empty), shortened(empty))
    return empty


def _read_undistorted(inputs: Inputs, view: View) -> NDArray[np.uint8]:
    path = inputs.images_dir / view.name
    rgb = read_rgb(path)
    if rgb.shape[1::-1] != view.camera.size:
        raise InputError(f"{path} is {rgb.shape[1]}x{rgb.shape[0]} pixels, its camera {view.camera.size}: must agree")
    return rgb


def _resample_stored(inputs: Inputs, model: PrecomputedModel, out_dir: Path) -> list[str]:
    """Undistort stored maps like their photos; names of the views without valid maps."""
    missing, empty = [], []
    views = inputs.scene.views
    for view in track(views, "reading predictions", len(views)):
        if SceneMaps(out_dir).has(view):
            continue
        sampling = _sampling(inputs, view)
        try:
            stored = load_for_photo(model.folder, view.name, sampling.shape[1], sampling.shape[0], model.meaning)
        except MissingPredictionError:
            missing.append(view.name)
            continue
        if not _save_usable(inputs, view, resampled(stored, sampling), sampling, out_dir):
            empty.append(view.name)
    report_missing(model.folder, missing, [view.name for view in views])
    if empty:
        log.warning("%d views have no valid pixel in their stored maps: %s", len(empty), shortened(empty))
    return missing + empty


def resampled(stored: Prediction, sampling: Sampling) -> Prediction:
    """Maps of a distorted photo resampled at the pixels of its undistorted image. Values keep their camera axes."""
    height, width = sampling.shape
    meta = {"model": PrecomputedModel.name, **stored.meta, "photo_size": [width, height]}
    return replace(sample_prediction(stored, sampling), meta=meta)


def _sampling(inputs: Inputs, view: View) -> Sampling:
    """Positions of the pixels of the undistorted view in the upright, distorted photo."""
    info = read_info(inputs.photos_dir / view.name)
    source = inputs.source_cameras[view.name]
    # The camera may have been estimated on a smaller copy of the photo.
    scale = np.array([info.width / source.width, info.height / source.height])
    return Sampling(_undistorted_xy(source, view.camera) * scale, (info.height, info.width))


@functools.lru_cache(maxsize=2)  # most scenes have one camera
def _undistorted_xy(source: SourceCamera, camera: Camera) -> NDArray[np.float64]:
    return source.xy_of(camera).astype(np.float64)


def _save_usable(inputs: Inputs, view: View, prediction: Prediction, sampling: Sampling, out_dir: Path) -> bool:
    """Save a prediction without masked pixels, pixels outside the photo, and normals that face away.

    Returns False, and saves nothing, when no valid pixel is left.
    """
    usable = sampling.inside
    if view.name in inputs.masks:
        height, width = sampling.shape
        usable &= sample_mask(read_mask(inputs.masks[view.name], width, height), sampling)
    depth, normals = prediction.depth, prediction.normals
    if depth is not None:
        depth = replace(depth, valid=depth.valid & usable)
    if normals is not None:
        facing = (normals.values * rays_in_cam(view.camera)).sum(-1) < 0
        normals = replace(normals, valid=normals.valid & usable & facing)
    first = depth or normals
    if first is None or not first.valid.any():
        return False
    sigmas = {"depth_sigma": prediction.depth_sigma, "normals_sigma_deg": prediction.normals_sigma_deg}
    SceneMaps(out_dir).save(view, depth, normals=normals, meta=prediction.meta, **sigmas)
    return True
