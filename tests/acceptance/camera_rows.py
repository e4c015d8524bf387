"""Acceptance of the camera of a single view: field of view, shift and flatness on renders with errors of known size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lotus_recon.calibration.config import OutputConfig
from lotus_recon.calibration.single_view_camera import CameraEstimate, estimate_camera
from lotus_recon.calibration.stage import NEAREST_OF_SHOWN
from lotus_recon.datasets import hololens, rooms, single_images
from lotus_recon.datasets.rooms import RoomsSet
from lotus_recon.geometry.camera import unproject
from lotus_recon.geometry.depth import RANGE_PERCENTILES, scale_free_from_affine
from lotus_recon.io.images import read_rgb
from lotus_recon.io.intrinsics import DEFAULT_FOV_DEG
from lotus_recon.models.base import Model
from lotus_recon.types import BoolArray, Camera, DepthKind, DepthMap, FloatArray, NormalMap, Prediction
from tests.acceptance.nano_rows import render_unseen_rooms
from tests.acceptance.rows import Row

RUN = "camera"
DEFAULT_RATIO = OutputConfig().depth_range_ratio
# The constant for the caution of the stated uncertainty was set on the other half of the views.
VIEWS = slice(1, None, 2)
NOISE_SIGMA = 1 / 8  # of the width: low frequencies
_LEAST_PLANE = 0.05  # of the pixels


@dataclass(frozen=True, eq=False)
class Truth:
    """A render: exact z-depth, normals and camera."""

    name: str
    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    normals: NDArray[np.float32]
    valid: BoolArray
    camera: Camera

    @cached_property
    def planes(self) -> list[BoolArray]:
        """Masks of floors, walls and large flat things: connected pixels of one plane."""
        n = np.where(self.valid[..., None], self.normals, 0).astype(np.float64)
        offset = (n * unproject(np.where(self.valid, self.depth, 1), self.camera)).sum(-1)
        key = np.concatenate([np.round(n * 50), np.round(offset[..., None] / 0.05)], axis=-1)
        _, label = np.unique(key.reshape(-1, 4), axis=0, return_inverse=True)
        label = label.reshape(offset.shape)
        found = []
        for value in np.flatnonzero(np.bincount(label.ravel()) > _LEAST_PLANE * label.size):
            parts, count = ndimage.label((label == value) & self.valid)
            sizes = np.bincount(parts.ravel())[1:]
            found += [parts == k + 1 for k in range(count) if sizes[k] > _LEAST_PLANE * label.size]
        return found


@dataclass(frozen=True)
class Errors:
    """What is added to true maps: normals by pixel, disparity in low frequencies, as a share of its range (rms)."""

    normals_deg: float = 0.0
    disparity: float = 0.0


def read_truth(root: Path) -> list[Truth]:
    """All renders below ``root``."""
    data = RoomsSet(root, "all")
    cameras = {
        f"{scene.name}/{frame.photo.stem}": frame.view.camera
        for scene in sorted(root.glob("scene_*"))
        for frame in rooms.frames(scene)
    }
    found = []
    for index in range(len(data)):
        sample = data.load(index)
        assert sample.depth is not None
        assert sample.depth_valid is not None
        assert sample.normals is not None
        assert sample.normals_valid is not None
        valid = sample.depth_valid & sample.normals_valid
        found.append(Truth(sample.name, sample.rgb, sample.depth, sample.normals, valid, cameras[sample.name]))
    return found


def low_frequency_noise(shape: tuple[int, int], random: np.random.Generator) -> NDArray[np.float64]:
    """(H, W) white noise smoothed by a Gaussian of an eighth of the width; mean 0, rms 1. No border shows in it."""
    sigma = NOISE_SIGMA * shape[1]
    pad = int(4 * sigma)
    wide = ndimage.gaussian_filter(random.normal(size=(shape[0] + 2 * pad, shape[1] + 2 * pad)), sigma)
    noise = wide[pad:-pad, pad:-pad]
    return np.asarray((noise - noise.mean()) / noise.std())


def turned(normals: FloatArray, sigma_deg: float, random: np.random.Generator) -> NDArray[np.float64]:
    """Unit normals, each turned about a random axis across it; the angle has ``sigma_deg`` in both directions."""
    noise = np.tan(np.radians(sigma_deg)) * random.normal(size=normals.shape)
    noisy = normals + noise - (noise * normals).sum(-1, keepdims=True) * normals
    return np.asarray(noisy / np.linalg.norm(noisy, axis=-1, keepdims=True))


def maps_of(truth: Truth, errors: Errors, seed: int) -> tuple[DepthMap, NormalMap]:
    """Affine disparity of random scale and shift, and normals, with errors."""
    random = np.random.default_rng(seed)
    disparity = 1 / np.where(truth.valid, truth.depth, 1).astype(np.float64)
    low, high = np.percentile(disparity[truth.valid], RANGE_PERCENTILES)
    disparity += errors.disparity * (high - low) * low_frequency_noise(disparity.shape, random)
    values = np.exp(random.uniform(-1, 1)) * disparity + random.uniform(-1, 1)
    normals = np.where(truth.valid[..., None], truth.normals, np.array([0, 0, -1.0]))
    noisy = turned(normals, errors.normals_deg, random) if errors.normals_deg else normals
    return (
        DepthMap(values.astype(np.float32), truth.valid, DepthKind.AFFINE_DISPARITY),
        NormalMap(noisy.astype(np.float32), truth.valid),
    )


@dataclass(frozen=True)
class Score:
    """One photo: errors of the estimate, and of the default."""

    fov_deg: float
    fov_default_deg: float
    covered: bool
    abs_rel: float
    abs_rel_default: float
    flatness: tuple[float, ...]  # of each plane
    flatness_default: tuple[float, ...]
    estimate: CameraEstimate


def score(truth: Truth, depth: DepthMap, normals: NormalMap) -> Score:
    """Estimate, and compare with the truth and with the default."""
    height, width = depth.shape
    default = Camera.from_fov_deg(DEFAULT_FOV_DEG, width, height)
    view = estimate_camera(depth, normals, default, focal_known=False, depth_range_ratio=DEFAULT_RATIO)
    found = view.estimate
    camera = Camera(width, height, found.focal_px, found.focal_px, default.cx, default.cy)
    shown = NEAREST_OF_SHOWN if found.shift_from == "normals" else 0.5
    ours = scale_free_from_affine(view.depth.values, depth.valid, True, found.depth_range_ratio, shown)
    rule = scale_free_from_affine(depth.values, depth.valid, True, DEFAULT_RATIO)
    error = abs(found.fov_deg - truth.camera.fov_deg[0])
    return Score(
        error,
        abs(DEFAULT_FOV_DEG - truth.camera.fov_deg[0]),
        error <= found.fov_deg_90,
        _abs_rel(ours, truth),
        _abs_rel(rule, truth),
        tuple(_flatness(unproject(ours, camera)[plane]) for plane in truth.planes),
        tuple(_flatness(unproject(rule, default)[plane]) for plane in truth.planes),
        found,
    )


def _abs_rel(depth: FloatArray, truth: Truth) -> float:
    """Mean relative error after one scale (the median)."""
    ratio = depth[truth.valid] / truth.depth[truth.valid]
    return float(np.abs(ratio / np.median(ratio) - 1).mean())


def _flatness(points: FloatArray) -> float:
    """Rms distance of points (N, 3) from their best plane over their rms distance from their centre."""
    singular = np.linalg.svd(points - points.mean(0), compute_uv=False)
    return float(singular[2] / np.linalg.norm(singular))


def scores(views: Sequence[Truth], errors: Errors) -> list[Score]:
    """All views with errors of one size."""
    return [score(truth, *maps_of(truth, errors, seed)) for seed, truth in enumerate(views)]


CASES = (
    ("true maps", Errors(), 0.5),
    ("normals 8 deg", Errors(8.0), 1.5),
    ("and disparity 0.5 %", Errors(8.0, 0.005), 3.0),
    ("and disparity 1 %", Errors(8.0, 0.01), 5.0),
    ("and disparity 2 %", Errors(8.0, 0.02), None),
)


def camera(data: Path, work: Path) -> list[Row]:
    """All rows. ``data``: ../shared/data; ``work``: where the rooms are rendered, once."""
    views = read_truth(render_unseen_rooms(work / "unseen_rooms"))[VIEWS]
    rows: list[Row] = []
    for name, errors, limit in CASES:
        rows += _rows_of(f"{len(views)} renders, {name}", scores(views, errors), errors, limit)
    return [*rows, *predicted_rows(views, data)]


def _rows_of(what: str, found: Sequence[Score], errors: Errors, limit: float | None) -> Iterator[Row]:
    error, default = (float(np.median([getattr(s, key) for s in found])) for key in ("fov_deg", "fov_default_deg"))
    covered = float(np.mean([s.covered for s in found]))
    half = float(np.median([s.estimate.fov_deg_90 for s in found]))
    asked = limit if limit is not None else default
    below = "<=" if limit is not None else "< default,"
    yield Row(
        RUN, f"{what}: field of view, median error", f"{error:.2f} deg", f"{below} {asked:.1f} deg", error < asked
    )
    yield Row(RUN, f"{what}: within the stated +- {half:.2f} deg", f"{covered:.0%}", ">= 90 %", covered >= 0.9)
    if errors == Errors():
        abs_rel = float(np.median([s.abs_rel for s in found]))
        yield Row(RUN, f"{what}: AbsRel after one scale", f"{abs_rel:.2%}", "<= 0.5 %", abs_rel <= 0.005)
    if errors.disparity:
        ours, rule = (
            float(np.median([f for s in found for f in getattr(s, key)])) for key in ("flatness", "flatness_default")
        )
        asked_here = errors.disparity == 0.005
        figure = f"{what}: rms from planes over their size (default {rule:.4f})"
        yield Row(RUN, figure, f"{ours:.4f}", "<= half" if asked_here else "", ours <= rule / 2 if asked_here else None)


def predicted_rows(views: Sequence[Truth], data: Path) -> Iterator[Row]:
    """What nano's own maps tell, of renders and of real photos. They are far worse than those above."""
    from lotus_recon.models import load_model

    model = load_model("nano", device="cpu")
    found = [score(truth, *_both(model.predict(truth.rgb))) for truth in views]
    error, default = (float(np.median([getattr(s, key) for s in found])) for key in ("fov_deg", "fov_default_deg"))
    covered = float(np.mean([s.covered for s in found]))
    ours, rule = (float(np.median([getattr(s, key) for s in found])) for key in ("abs_rel", "abs_rel_default"))
    decided = sum(s.estimate.focal_from == "normals" for s in found)
    what = f"{len(found)} renders, nano's maps"
    yield Row(RUN, f"{what}: field of view, median error (default {default:.1f})", f"{error:.1f} deg", "", None)
    told = f"{covered:.0%} ({decided} focal lengths from normals)"
    yield Row(RUN, f"{what}: within the stated uncertainty", told, ">= 90 %", covered >= 0.9)
    yield Row(RUN, f"{what}: AbsRel after one scale (default {rule:.3f})", f"{ours:.3f}", "", None)
    yield _hololens_row(model, data / "hololens_a")
    yield from guessed_rows(model, data)
    for photo in single_images.measured_photos(data / "single_images"):
        if photo.camera is None:  # a focal length in doubt is no truth
            continue
        depth, normals = _both(model.predict(photo.rgb))
        camera = Camera.from_fov_deg(DEFAULT_FOV_DEG, depth.shape[1], depth.shape[0])
        estimate = estimate_camera(depth, normals, camera, False, DEFAULT_RATIO).estimate
        true = float(np.degrees(2 * np.arctan(0.5 * camera.width / photo.camera.fx)))
        figure = f"{photo.name}, nano's maps: field of view (true {true:.1f} deg)"
        told = f"{estimate.fov_deg:.1f} +- {estimate.fov_deg_90:.1f} deg ({estimate.focal_from})"
        yield Row(RUN, figure, told, "", None)


def _hololens_row(model: Model, data: Path) -> Row:
    """Depth of every third real photo. Its field of view of 57 degrees is near the default: the shift counts."""
    found: list[tuple[float, float]] = []
    for frame in hololens.frames(data)[::3]:
        measured, seen = hololens.sensor_depth(data, frame.view.name)
        depth, normals = _both(model.predict(read_rgb(frame.photo)))
        camera = Camera.from_fov_deg(DEFAULT_FOV_DEG, depth.shape[1], depth.shape[0])
        view = estimate_camera(depth, normals, camera, focal_known=False, depth_range_ratio=DEFAULT_RATIO)
        shown = NEAREST_OF_SHOWN if view.estimate.shift_from == "normals" else 0.5
        ours = scale_free_from_affine(view.depth.values, depth.valid, True, view.estimate.depth_range_ratio, shown)
        rule = scale_free_from_affine(depth.values, depth.valid, True, DEFAULT_RATIO)
        truth = Truth(frame.view.name, read_rgb(frame.photo), measured, normals.values, seen, camera)
        found.append((_abs_rel(ours, truth), _abs_rel(rule, truth)))
    ours_mean, rule_mean = np.mean(found, axis=0)
    figure = f"hololens_a, {len(found)} photos, nano's maps: AbsRel after one scale, mean (default {rule_mean:.3f})"
    return Row(RUN, figure, f"{ours_mean:.3f}", "", None)


RATIOS = (1.2, 1.5, 2.0, 2.5, 3.0, 5.0)


def guessed_rows(model: Model, data: Path) -> Iterator[Row]:
    """AbsRel after one scale of real photos for each range of depth that could be the default."""
    decided: list[list[float]] = []
    undecided: list[list[float]] = []
    for rgb, measured, seen in _real_photos(data):
        depth, normals = _both(model.predict(rgb))
        camera = Camera.from_fov_deg(DEFAULT_FOV_DEG, depth.shape[1], depth.shape[0])
        truth = Truth("", rgb, measured, normals.values, seen, camera)
        each = [_abs_rel(scale_free_from_affine(depth.values, depth.valid, True, r), truth) for r in RATIOS]
        estimate = estimate_camera(depth, normals, camera, False, DEFAULT_RATIO).estimate
        (decided if estimate.shift_from == "normals" else undecided).append(each)
    for what, found in (("shape guessed", undecided), ("all", [*decided, *undecided])):
        means = dict(zip(RATIOS, np.mean(found, axis=0), strict=True)) if found else {}
        told = ", ".join(f"{ratio:g}: {mean:.3f}" for ratio, mean in means.items())
        figure = f"{len(found)} real photos ({what}): AbsRel after one scale, by the depth range ratio taken"
        best = min(means.values(), default=0.0)
        yield Row(RUN, figure, told, f"{DEFAULT_RATIO:g} within 0.02 of the best", means[DEFAULT_RATIO] <= best + 0.02)


def _real_photos(data: Path) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32], BoolArray]]:
    """Photo, measured depth and where it is, of the single photos and every third photo of hololens_a."""
    for photo in single_images.measured_photos(data / "single_images"):
        yield photo.rgb, photo.depth, photo.valid
    for frame in hololens.frames(data / "hololens_a")[::3]:
        yield read_rgb(frame.photo), *hololens.sensor_depth(data / "hololens_a", frame.view.name)


def _both(prediction: Prediction) -> tuple[DepthMap, NormalMap]:
    assert prediction.depth is not None
    assert prediction.normals is not None
    return prediction.depth, prediction.normals
