"""The uncertainty stage: checked depth in, its standard deviation per pixel out, calibrated on held-out points."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lotus_recon.alignment.control_points import relative_depth_sigma
from lotus_recon.geometry.camera import pixel_index
from lotus_recon.geometry.points import seen_points
from lotus_recon.geometry.pose import transform
from lotus_recon.io.scene_maps import POSED_DEPTH, SceneMaps, ViewMaps
from lotus_recon.progress import track
from lotus_recon.types import BoolArray, DepthMap, FloatArray, Scene, View
from lotus_recon.uncertainty.conformal import FEWEST_POINTS, HELD_OUT, Calibration, calibrated
from lotus_recon.uncertainty.predictors import (
    point_predictor,
    shape_predictors,
    spread_predictor,
    view_predictors,
)
from lotus_recon.uncertainty.results import UncertaintyResult, ViewUncertainty
from lotus_recon.uncertainty.scale import ErrorScale, learnt

log = logging.getLogger(__name__)

_WORK = "work"  # folder for what is not calibrated yet; removed when the stage is done
_LEAST_FACTOR = 0.1  # no photos are so good that depth has no error
_FEWEST_PHOTOS = 3  # of a point: two rays meet somewhere even where they were matched wrongly


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the stage reads: ``<stem>.npz`` of each view in every folder, where it has one."""

    scene: Scene
    held_out: BoolArray  # (P,) points that the alignment did not use
    checked_dir: Path  # of the consistency stage
    prediction_dir: Path  # normals, and the spread of an ensemble
    stereo_dir: Path | None = None  # of multi-view stereo
    aligned_dir: Path | None = None
    # By view, of the model's values to depth, or to 1 / depth where they are disparity.
    aligned_scale: Mapping[str, float] = field(default_factory=dict)


def run(inputs: Inputs, out_dir: Path) -> UncertaintyResult:
    """Write ``<stem>.npz`` with ``sigma`` per view and uncertainty.json. Raises InputError for broken files."""
    checked = SceneMaps(inputs.checked_dir, ("depth", "confidence"), POSED_DEPTH)
    views = [view for view in inputs.scene.views if checked.has(view)]
    work = SceneMaps(out_dir / _WORK, ("sigma",), compressed=False)
    at_points, scale = _AtPoints.of(inputs), None
    for view, maps in zip(views, track(checked.stream(views), "predict errors of depth", len(views)), strict=True):
        depth = maps.required_depth
        predictors = predictors_of(inputs, view, maps)
        scale = learnt("scene", list(predictors))
        of_pixels = scale.of(predictors)
        at_points.add(view, depth, of_pixels)
        work.save(view, sigma=np.where(depth.valid, of_pixels, 0))
    assert scale is not None  # consistency refuses a scene without maps
    calibration = at_points.calibration(scale)
    reports = []
    with SceneMaps(out_dir).saving_behind() as final:
        for view in views:
            sigma = work.load(view).sigma
            assert sigma is not None  # as it was saved
            sigma = calibration.sigma_of(sigma)
            final.save(view, sigma=sigma)
            reports.append(ViewUncertainty.of(view.name, sigma))
    shutil.rmtree(out_dir / _WORK)
    result = UncertaintyResult(out_dir, calibration, tuple(reports))
    result.save()
    return result


def predictors_of(inputs: Inputs, view: View, checked: ViewMaps) -> dict[str, NDArray[np.float32]]:
    """All predictors (H, W) that the files of a view allow."""
    depth = checked.required_depth
    predicted = SceneMaps(inputs.prediction_dir, ("depth", "normals", "depth_sigma"))
    prediction = predicted.load(view) if predicted.has(view) else ViewMaps()
    found = shape_predictors(depth, prediction.normals, view.camera)
    found |= view_predictors(checked, _stereo_confidence(inputs, view))
    xy, _ = seen_points(inputs.scene, inputs.scene.index[view.name], ~inputs.held_out)
    found["far"] = point_predictor(xy, *depth.shape)
    scale, values, spread = inputs.aligned_scale.get(view.name), prediction.depth, prediction.depth_sigma
    if scale is not None and values is not None and spread is not None and inputs.aligned_dir is not None:
        aligned = SceneMaps(inputs.aligned_dir, ("depth",), POSED_DEPTH).load(view).depth_or_zero
        found["spread"] = spread_predictor(scale * spread, aligned, values.kind)
    return found


def _stereo_confidence(inputs: Inputs, view: View) -> NDArray[np.float32] | None:
    if inputs.stereo_dir is None:
        return None
    stereo = SceneMaps(inputs.stereo_dir, ("confidence",))
    return stereo.load(view).confidence if stereo.has(view) else None


@dataclass(eq=False)
class _AtPoints:
    """Errors of the maps at held-out points, one for each photo that sees one.

    An error that is measured is that of the map and that of the point; their variances add.
    """

    scene: Scene
    chosen: BoolArray  # (O,) observations
    noise: FloatArray  # (O,) expected error of the depth of a point, relative
    errors: list[FloatArray]
    scales: list[FloatArray]
    noises: list[FloatArray]
    seen: set[int]

    @classmethod
    def of(cls, inputs: Inputs) -> _AtPoints:
        points = inputs.scene.points
        chosen = (inputs.held_out & (points.track_length >= _FEWEST_PHOTOS))[points.obs_point]
        noise = relative_depth_sigma(inputs.scene) if chosen.any() else np.zeros(len(chosen))
        return cls(inputs.scene, chosen & np.isfinite(noise), noise, [], [], [], set())

    def add(self, view: View, depth: DepthMap, scale: FloatArray) -> None:
        """What the map of a view, and the scale (H, W) of its errors, say at the points that it sees."""
        points, rows = self.scene.points, self.scene.points.rows_of(self.scene.index[view.name])
        rows = rows[self.chosen[rows]]
        z = transform(view.cam_from_world, points.xyz[points.obs_point[rows]])[:, 2]
        at = pixel_index(points.obs_xy[rows], *depth.shape)
        known = depth.valid[at] & (z > 0)
        self.errors.append(np.log(depth.values[at][known] / z[known]))
        self.scales.append(scale[at][known])
        self.noises.append(self.noise[rows][known])
        self.seen |= set(points.obs_point[rows][known].tolist())

    def calibration(self, scale: ErrorScale) -> Calibration:
        """Of the scene; that of the rooms where too few points were held out.

        Points lie where photos have texture: what they show holds for pixels as sure as half of them are. Groups
        of their own, as in Mondrian conformal prediction (Vovk et al., 2005, section 4.5).
        """
        if len(self.seen) < FEWEST_POINTS:
            log.info("%d held-out points are too few to calibrate error bars: those of rendered rooms", len(self.seen))
            return scale.rooms
        scales = np.concatenate(self.scales)
        found = calibrated(np.concatenate(self.errors), np.hypot(scales, np.concatenate(self.noises)), HELD_OUT)
        factor = max(found.factor, _LEAST_FACTOR)
        half_sigmas = found.half_sigmas * found.factor / factor
        return replace(found, factor=factor, half_sigmas=half_sigmas, reach=float(np.median(scales)))
