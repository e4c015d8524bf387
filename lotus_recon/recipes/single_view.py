"""One photo in; depth, normals, camera, points and mesh out. One folder per photo."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon.calibration.single_view_camera import SingleView, estimate_camera
from lotus_recon.errors import InputError, ReconError
from lotus_recon.geometry.camera import fit_longer_edge
from lotus_recon.geometry.depth import scale_free_from_affine
from lotus_recon.io.images import Photo, expand_photos, read_info, read_rgb, resize_rgb, write_png
from lotus_recon.io.intrinsics import DEFAULT_SOURCE, GivenIntrinsics, camera_of_photo
from lotus_recon.io.maps import save_prediction
from lotus_recon.io.meshes import write_glb, write_ply
from lotus_recon.meshing.depth_surface import surface_from_depth
from lotus_recon.models.base import Model, resolve_device
from lotus_recon.models.precomputed import PrecomputedModel
from lotus_recon.models.registry import check_model, fetch_model, make_model, maker_of, model_fingerprint
from lotus_recon.models.stage import options_of
from lotus_recon.normal_integration import stage as normal_integration
from lotus_recon.normal_integration.stage import integrated_depth
from lotus_recon.progress import track
from lotus_recon.recipes.config import SingleViewConfig
from lotus_recon.recipes.output_folder import OWN_FILES, check_apart
from lotus_recon.reporting.pictures import depth_picture, normals_picture
from lotus_recon.types import Camera, DepthKind, DepthMap, Prediction
from lotus_recon.workspace import Workspace, file_fingerprint, write_json

log = logging.getLogger(__name__)

# Least depth, where the nearest pixels (2nd percentile) are at 1 and the normals show the shift.
NEAREST_OF_SHOWN = 0.05


@dataclass(frozen=True)
class Job:
    """What to do, checked."""

    photos: tuple[Photo, ...]
    config: SingleViewConfig
    given: GivenIntrinsics


@dataclass(frozen=True)
class Outcome:
    """What became of one photo: ``done``, ``skipped`` (up to date) or ``failed``."""

    photo: Photo
    status: str
    detail: str = ""


def check_job(arguments: Sequence[str], config: SingleViewConfig, out: Path) -> Job:
    """The job of a command line. Raises InputError before any long work."""
    if not arguments:
        raise InputError("no photo was given; name one or more photos, folders, or patterns in quotes")
    photos = tuple(expand_photos(arguments))
    _refuse_nested(photos)
    written = [*(photo.stem for photo in photos), *OWN_FILES]
    inputs = {"--predictions": config.prediction.predictions, "--intrinsics": config.camera.intrinsics}
    check_apart(out, written, inputs)
    lens = config.camera
    given = GivenIntrinsics(lens.intrinsics, lens.focal_px, lens.focal_35mm, lens.fov_deg)
    options = options_of(config.prediction)
    info = check_model(config.prediction.model, config.runtime.device, config.runtime.dtype, options=options)
    normal_integration.check_config(config.integration)
    if config.surface.surface == "integrated" and "normal" not in info.tasks:
        raise InputError(
            f"--surface integrated: {maker_of(config.prediction)} no normals; name a model that predicts them, "
            "DEPTH,NORMAL, or --predictions with the array normals"
        )
    resolve_device(config.runtime.device)
    if config.output.max_size < 0:
        raise InputError(f"--max-size {config.output.max_size}: must be 0 (as is) or more pixels")
    if not config.output.depth_range_ratio > 1:
        raise InputError(f"--depth-range-ratio {config.output.depth_range_ratio}: must be above 1")
    fetch_model(config.prediction.model, options)
    return Job(photos, config, given)


def _refuse_nested(photos: Sequence[Photo]) -> None:
    """Photo ``a.jpg`` and a folder ``a`` with photos would write into each other."""
    stems = {photo.stem for photo in photos}
    for photo in photos:
        parents = {str(parent) for parent in Path(photo.stem).parents}
        if clash := parents & stems:
            raise InputError(f"{photo.path} would be written inside the output of photo {clash.pop()!r}; rename one")


def run_job(job: Job, workspace: Workspace) -> list[Outcome]:
    """Process every photo that is not up to date. A photo that cannot be used is reported; the others go on."""
    hashes, outcomes = _open(job)
    pending = []
    for photo, inputs in hashes.items():
        if workspace.is_current(photo.stem, _hashed(job.config), inputs):
            outcomes.append(Outcome(photo, "skipped", "up to date"))
        else:
            pending.append(photo)
    if pending:
        runtime, options = job.config.runtime, options_of(job.config.prediction)
        model = make_model(job.config.prediction.model, options, runtime.device, runtime.dtype)
        batches = [pending[i : i + model.batch_size] for i in range(0, len(pending), model.batch_size)]
        done = (outcome for batch in batches for outcome in _process(batch, model, job, workspace, hashes))
        outcomes += track(done, "photos", len(pending))
    order = {photo: i for i, photo in enumerate(job.photos)}
    return sorted(outcomes, key=lambda outcome: order[outcome.photo])


def pending(job: Job, workspace: Workspace) -> list[Photo]:
    """The photos that ``run_job`` would process: those that can be opened and are not up to date."""
    hashes, _ = _open(job)
    return [p for p, inputs in hashes.items() if not workspace.is_current(p.stem, _hashed(job.config), inputs)]


def _open(job: Job) -> tuple[dict[Photo, dict[str, str]], list[Outcome]]:
    """Fingerprints of what each photo's outputs depend on; photos that cannot even be opened have failed."""
    prediction = job.config.prediction
    model = model_fingerprint(prediction.model, options_of(prediction))
    intrinsics = file_fingerprint(job.given.intrinsics) if job.given.intrinsics else ""
    hashes, failed = {}, []
    for photo in job.photos:
        try:
            read_info(photo.path)
            hashes[photo] = {"photo": file_fingerprint(photo.path), "model": model, "intrinsics": intrinsics}
        except ReconError as error:
            failed.append(_failed(photo, error))
    return hashes, failed


def _failed(photo: Photo, error: ReconError) -> Outcome:
    log.error("%s: %s", photo.name, error)
    return Outcome(photo, "failed", str(error))


def _hashed(config: SingleViewConfig) -> Any:
    """The options that change the result: neither the device, nor where files are whose contents count anyway."""
    prediction, camera = replace(config.prediction, predictions=None), replace(config.camera, intrinsics=None)
    return replace(config, prediction=prediction, camera=camera, runtime=replace(config.runtime, device="auto"))


@dataclass(frozen=True)
class _Opened:
    """A photo that was read, and its camera."""

    photo: Photo
    rgb: NDArray[np.uint8]
    camera: Camera
    source: str  # where the focal length came from


def _process(
    batch: Sequence[Photo], model: Model, job: Job, workspace: Workspace, inputs: Mapping[Photo, dict[str, str]]
) -> Iterator[Outcome]:
    """Predict a batch of photos at once and write the files of each."""
    opened = []
    for photo in batch:
        try:
            opened.append(_read(photo, job))
        except ReconError as error:
            yield _failed(photo, error)
    for read, prediction in zip(opened, _predicted(opened, model, job.config.runtime.seed), strict=True):
        one = read
        try:
            if isinstance(prediction, ReconError):
                raise prediction
            one, found = _with_camera(read, prediction, job.config)
            workspace.run_stage(
                one.photo.stem,
                run=partial(_write_outputs, one, prediction, found, job.config),
                load=lambda folder: None,
                config=_hashed(job.config),
                inputs=inputs[one.photo],
            )
            yield Outcome(one.photo, "done", f"camera from {one.source}")
        except ReconError as error:
            yield _failed(one.photo, error)


def _predicted(opened: Sequence[_Opened], model: Model, seed: int) -> list[Prediction | ReconError]:
    """A prediction, or the reason why there is none, for each photo; one bad photo does not spoil its batch."""
    try:
        images, names = [one.rgb for one in opened], [one.photo.name for one in opened]
        return list(model.predict_batch(images, seed, names))
    except ReconError as error:
        if len(opened) <= 1:
            return [error] * len(opened)
        return [result for one in opened for result in _predicted([one], model, seed)]


def _read(photo: Photo, job: Job) -> _Opened:
    info = read_info(photo.path)
    longer_edge = 0 if job.config.prediction.model == PrecomputedModel.name else job.config.output.max_size
    width, height = fit_longer_edge(info.width, info.height, longer_edge)
    camera, source = camera_of_photo(info, job.given, width, height)
    return _Opened(photo, resize_rgb(read_rgb(photo.path), width, height), camera, source)


def _with_camera(one: _Opened, prediction: Prediction, config: SingleViewConfig) -> tuple[_Opened, SingleView | None]:
    """The photo with the camera that its maps show, and what they say; None where they are not asked."""
    found = None
    if config.camera.estimate_camera and prediction.depth is not None and prediction.normals is not None:
        known = one.source != DEFAULT_SOURCE
        rule = config.output.depth_range_ratio
        found = estimate_camera(prediction.depth, prediction.normals, one.camera, known, rule)
        estimate = found.estimate
        if estimate.focal_from == "normals":
            camera = replace(one.camera, fx=estimate.focal_px, fy=estimate.focal_px)
            one = replace(one, camera=camera, source=f"depth and normals, +- {estimate.fov_deg_90:.1f} degrees")
    width, height = one.camera.size
    log.info("%s: %dx%d, %.1f degrees wide, from %s", one.photo.name, width, height, one.camera.fov_deg[0], one.source)
    if found is not None and found.estimate.reason:
        log.info("%s: %s; the default stays", one.photo.name, found.estimate.reason)
    return one, found


def _write_outputs(
    one: _Opened, prediction: Prediction, found: SingleView | None, config: SingleViewConfig, folder: Path
) -> None:
    """All files of one photo (docs/formats.md)."""
    meta = dict(prediction.meta)
    if prediction.depth is not None:
        depth = _positive(prediction.depth, found, config.output.depth_range_ratio)
        low, high = float(depth.values[depth.valid].min()), float(depth.values[depth.valid].max())
        meta |= {"depth_16bit": {"kind": depth.kind.value, "low": low, "high": high, "zero": "invalid"}}
        write_png(folder / "depth.png", depth_picture(prediction.depth))
        write_png(folder / "depth_16bit.png", _quantised(depth, low, high))
        shape = _integrated(depth, one, prediction, config) if config.surface.surface == "integrated" else depth
        points, mesh = surface_from_depth(shape, one.rgb, one.camera, prediction.normals, config.surface)
        write_ply(folder / "points.ply", points)
        write_ply(folder / "mesh.ply", mesh)
        write_glb(folder / "mesh.glb", mesh)
    if prediction.normals is not None:
        write_png(folder / "normals.png", normals_picture(prediction.normals))
    save_prediction(folder / "prediction.npz", replace(prediction, meta=meta))
    told: dict[str, Any] = {**asdict(one.camera), "fov_deg": one.camera.fov_deg, "source": one.source}
    if found is not None:
        told["estimate"] = asdict(found.estimate)
    write_json(folder / "camera.json", told)


def _positive(depth: DepthMap, found: SingleView | None, depth_range_ratio: float) -> DepthMap:
    """Depth that can be unprojected: as it is, with the shift that the normals show, or with that of the rule."""
    if depth.kind not in (DepthKind.AFFINE, DepthKind.AFFINE_DISPARITY):
        return depth
    disparity = depth.kind is DepthKind.AFFINE_DISPARITY
    if found is not None and found.estimate.shift_from == "normals":
        shown, ratio = found.depth.values, found.estimate.depth_range_ratio
        values = scale_free_from_affine(shown, depth.valid, disparity, ratio, nearest=NEAREST_OF_SHOWN)
    else:
        values = scale_free_from_affine(depth.values, depth.valid, disparity, depth_range_ratio)
    return DepthMap(values.astype(np.float32), depth.valid, DepthKind.SCALE_FREE)


def _integrated(depth: DepthMap, one: _Opened, prediction: Prediction, config: SingleViewConfig) -> DepthMap:
    """The depth whose small shapes come from the normals, where they are known."""
    normals = prediction.normals
    if normals is None or not (depth.valid & normals.valid).any():
        log.warning("%s has no normals where it has depth: its surface is that of the depth", one.photo.name)
        return depth
    found = integrated_depth(depth, np.ones(depth.shape), normals, one.camera, None, config.integration).depth
    return DepthMap(np.where(np.isfinite(found), found, depth.values), depth.valid, depth.kind)


def _quantised(depth: DepthMap, low: float, high: float) -> NDArray[np.uint16]:
    """0 where invalid, otherwise 1 + 65534 (depth - low) / (high - low), rounded."""
    share = (depth.values.astype(np.float64) - low) / max(high - low, 1e-12)
    return np.where(depth.valid, 1 + np.rint(np.clip(share, 0, 1) * 65534), 0).astype(np.uint16)
