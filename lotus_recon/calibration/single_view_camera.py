"""Focal length and shift of depth of a single photo, from its depth and its normals, with honest uncertainty."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from lotus_recon.calibration.normals_fit import (
    HEAD,
    LOG_FOCAL,
    LOG_OFFSET,
    PRIOR_SIGMA,
    NormalsFit,
    Prior,
    fit_normals,
)
from lotus_recon.calibration.slope_cells import SlopeCells, slope_cells
from lotus_recon.errors import InputError
from lotus_recon.geometry.depth import RANGE_PERCENTILES
from lotus_recon.types import BoolArray, Camera, DepthKind, DepthMap, FloatArray, NormalMap

Source = Literal["given", "normals", "default"]

MIN_CELLS = 24
# Errors over what the fit says of them, measured on renders (one half of them; acceptance scores the other): cells are
# fewer and less alike than the model of their errors has it.
_CAUTION = 2.0
_TWO_SIDED_90 = 1.645  # standard deviations
# Normals decide where they leave at most this share of the uncertainty there was without them. A poor shift is still
# better than one that looks at nothing: on nano's maps of renders and of real photos it is so in most.
_FOCAL_DECIDED, _SHIFT_DECIDED = 0.5, 0.67
# Of the range: the far end of a corrected map stays nearer than infinity.
_LEAST_OFFSET = 1e-3
# Normals that mostly look away from the camera are in other axes than ours.
_LARGEST_AWAY = 0.5


@dataclass(frozen=True)
class CameraEstimate:
    """Camera and shift of one photo, where they came from and how sure they are.

    ``..._90``: half width, or limits, of an interval that holds the truth with 90 % probability.
    """

    focal_from: Source
    focal_px: float  # along x
    fov_deg: float  # horizontal
    fov_deg_90: float
    shift_from: Source
    depth_range_ratio: float  # depth of the 98th over that of the 2nd percentile: says the shift whatever the scale
    depth_range_ratio_90: tuple[float, float]
    normals_angle_deg: float | None = None  # median between the normals given and those of the depth
    smooth_error: float | None = None  # of the map, rms over its range
    reason: str = ""  # why a default was taken


@dataclass(frozen=True, eq=False)
class SingleView:
    """The estimate, and the depth map with the shift it says, without the smooth error that the normals show."""

    estimate: CameraEstimate
    depth: DepthMap  # of the kind that was given


def estimate_camera(
    depth: DepthMap, normals: NormalMap, camera: Camera, focal_known: bool, depth_range_ratio: float
) -> SingleView:
    """Focal length and shift at which the normals of the unprojected ``depth`` agree with ``normals`` (same photo).

    ``camera`` is the given one (``focal_known``: then the shift alone is estimated) or the default, which is kept where
    the maps do not decide; so is ``depth_range_ratio``. METRIC, SCENE and SCALE_FREE depth has no shift to estimate.

    Raises InputError when the sizes of the maps and the camera differ.
    """
    if not depth.shape == normals.shape == (camera.height, camera.width):
        sizes = [f"{w}x{h}" for h, w in (depth.shape, normals.shape)]
        raise InputError(
            f"depth is {sizes[0]} pixels, normals {sizes[1]}, the camera {camera.width}x{camera.height}: must agree"
        )
    usable = depth.valid & normals.valid
    # Where nothing can be estimated the given is kept, and its uncertainty is what it is without any map.
    prior = _prior(depth, camera, focal_known, depth_range_ratio)
    estimate, fit = _fitted(depth, normals, usable, camera, prior)
    if fit is None or estimate.shift_from != "normals":
        return SingleView(estimate, depth)
    span = np.percentile(depth.values[usable], RANGE_PERCENTILES).astype(np.float64)
    values = (depth.values - np.ptp(span) * fit.smooth_error).astype(np.float32)
    corrected = np.percentile(values[depth.valid], RANGE_PERCENTILES).astype(np.float64)
    ratio, least, most = (
        _ratio_of(r, span, corrected) for r in (estimate.depth_range_ratio, *estimate.depth_range_ratio_90)
    )
    estimate = replace(estimate, depth_range_ratio=ratio, depth_range_ratio_90=(least, most))
    return SingleView(estimate, DepthMap(values, depth.valid, depth.kind))


def _ratio_of(depth_range_ratio: float, span: FloatArray, corrected: FloatArray) -> float:
    """The ratio of the ends of ``corrected`` at the shift that gives ``depth_range_ratio`` to those of ``span``."""
    shift = span[0] - (span[1] - span[0]) / (depth_range_ratio - 1)
    return float((corrected[1] - shift) / max(corrected[0] - shift, _LEAST_OFFSET * (span[1] - span[0])))


def _fitted(
    depth: DepthMap, normals: NormalMap, usable: BoolArray, camera: Camera, prior: Prior
) -> tuple[CameraEstimate, NormalsFit | None]:
    """The estimate and the fit behind it, None where there is nothing to fit."""
    if not usable.any():
        return _nothing(camera, prior, "no pixel has both depth and a normal")
    low, high = np.percentile(depth.values[usable], RANGE_PERCENTILES).astype(np.float64)
    if not high - low > 1e-6 * max(abs(low), abs(high)):
        return _nothing(camera, prior, "the depth is the same everywhere")
    share = (depth.values.astype(np.float64) - low) / (high - low)
    cells = slope_cells(share, normals.values, usable)
    if len(cells) < MIN_CELLS:
        return _nothing(camera, prior, f"only {len(cells)} places have a slope and a normal; needed: {MIN_CELLS}")
    return _estimated(cells, depth.kind, camera, prior)


def _prior(depth: DepthMap, camera: Camera, focal_known: bool, depth_range_ratio: float) -> Prior:
    """What is known before the maps are compared. The offset is 1 / (far over near - 1) of the range."""
    affine = depth.kind.has_shift
    if not affine and depth.valid.any():
        low, high = np.percentile(depth.values[depth.valid], RANGE_PERCENTILES)
        depth_range_ratio = float(high / low)
    center = (camera.cx - camera.width / 2) / camera.width, (camera.cy - camera.height / 2) / camera.width
    mean = np.array([np.log(camera.fx), -np.log(max(depth_range_ratio - 1, 1e-9)), *center])
    return Prior(mean, np.array([not focal_known, affine, not focal_known, not focal_known]))


def _estimated(
    cells: SlopeCells, kind: DepthKind, camera: Camera, prior: Prior
) -> tuple[CameraEstimate, NormalsFit | None]:
    """Both; the focal length stays at the default where it is not decided, and the shift is then found for that one."""
    sign = 1.0 if kind is DepthKind.AFFINE_DISPARITY else -1.0
    fit = fit_normals(cells, sign, camera.fy / camera.fx, prior)
    if fit.away > _LARGEST_AWAY:
        return _nothing(camera, prior, f"{fit.away:.0%} of the normals look away from the camera")
    sigma = _sigma(fit)
    if prior.free[LOG_FOCAL] and sigma[LOG_FOCAL] > _FOCAL_DECIDED * PRIOR_SIGMA[LOG_FOCAL]:
        given = Prior(prior.mean, prior.free & (np.arange(HEAD) == LOG_OFFSET))
        shift = fit_normals(cells, sign, camera.fy / camera.fx, given) if given.free.any() else fit
        # The default may be as wrong as the estimate is far from it, and unsure.
        focal_sigma = np.hypot(sigma[LOG_FOCAL], fit.head[LOG_FOCAL] - prior.mean[LOG_FOCAL])
        told = _told(camera, prior, shift, "default", float(focal_sigma), float(sigma[LOG_OFFSET]))
        return told, shift
    source: Source = "normals" if prior.free[LOG_FOCAL] else "given"
    return _told(camera, prior, fit, source, float(sigma[LOG_FOCAL]), float(sigma[LOG_OFFSET])), fit


def _sigma(fit: NormalsFit) -> np.ndarray:
    return _CAUTION * np.sqrt(np.diag(fit.covariance))


def _told(
    camera: Camera, prior: Prior, fit: NormalsFit, focal_from: Source, focal_sigma: float, offset_sigma: float
) -> CameraEstimate:
    """The estimate in the words of users; the shift stays at its default where it is not decided."""
    focal = float(np.exp(fit.head[LOG_FOCAL])) if focal_from == "normals" else camera.fx
    shift_from: Source = "normals" if prior.free[LOG_OFFSET] else "given"
    log_offset = float(fit.head[LOG_OFFSET])
    reason = "the normals do not decide the focal length" if focal_from == "default" else ""
    if shift_from == "normals" and _CAUTION * fit.covariance[LOG_OFFSET, LOG_OFFSET] ** 0.5 > (
        _SHIFT_DECIDED * PRIOR_SIGMA[LOG_OFFSET]
    ):
        shift_from, log_offset = "default", float(prior.mean[LOG_OFFSET])
        reason = "the normals do not decide " + ("focal length and shift" if reason else "the shift")
    half = _TWO_SIDED_90 * (offset_sigma if prior.free[LOG_OFFSET] else 0.0)
    return CameraEstimate(
        focal_from,
        focal,
        _fov_deg(focal, camera),
        _fov_deg_90(focal, _TWO_SIDED_90 * focal_sigma, camera),
        shift_from,
        _depth_range_ratio(log_offset),
        (_depth_range_ratio(log_offset + half), _depth_range_ratio(log_offset - half)),
        fit.angle_deg,
        float(np.sqrt(np.mean(fit.smooth_error**2))),
        reason,
    )


def _nothing(camera: Camera, prior: Prior, reason: str) -> tuple[CameraEstimate, None]:
    return _kept(camera, prior, reason), None


def _kept(camera: Camera, prior: Prior, reason: str) -> CameraEstimate:
    """What was given, with the uncertainty that it has without any map."""
    focal, shift = (1.0 if free else 0.0 for free in prior.free[:2])
    half = _TWO_SIDED_90 * shift * PRIOR_SIGMA[LOG_OFFSET]
    log_offset = float(prior.mean[LOG_OFFSET])
    return CameraEstimate(
        "default" if focal else "given",
        camera.fx,
        _fov_deg(camera.fx, camera),
        _fov_deg_90(camera.fx, _TWO_SIDED_90 * focal * PRIOR_SIGMA[LOG_FOCAL], camera),
        "default" if shift else "given",
        _depth_range_ratio(log_offset),
        (_depth_range_ratio(log_offset + half), _depth_range_ratio(log_offset - half)),
        reason=reason,
    )


def _depth_range_ratio(log_offset: float) -> float:
    return 1 + float(np.exp(-log_offset))


def _fov_deg(focal: float, camera: Camera) -> float:
    return Camera(camera.width, camera.height, focal, focal, camera.cx, camera.cy).fov_deg[0]


def _fov_deg_90(focal: float, log_half: float, camera: Camera) -> float:
    """Half width in degrees of the interval of fields of view of focal lengths within a factor."""
    wide, narrow = (_fov_deg(focal * np.exp(side * log_half), camera) for side in (-1, 1))
    return (wide - narrow) / 2
