"""Final bundle adjustment: principal point, fx, fy and distortion too, for cameras that the photos constrain.

Which intrinsics are refined is decided by observability: those of a camera that took several photos are, and stay so
when the covariance of the solution says that its image corners are known well enough. Otherwise fewer are refined.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lotus_recon.colmap import pycolmap
from lotus_recon.config import Runtime
from lotus_recon.io.cameras import SourceCamera
from lotus_recon.sfm.config import SfmConfig
from lotus_recon.sfm.features import thread_count

log = logging.getLogger(__name__)

Intrinsics = Literal["all", "principal point", "no distortion", "focal length", "none"]

_MIN_PHOTOS = 5  # of one camera
_MAX_CORNER_SD = 0.005  # standard deviation of where an image corner lies, in longer edges
_MAX_SHIFT = 0.1  # of the principal point from the image centre, in longer edges: more is hardly ever true
_SLIGHT_DISTORTION = 0.002  # at the image corners, in longer edges
_NEEDLESS = 1.01  # a distortion that lowers the error by less than this factor is taken for noise
_LOSS_OVER_MEDIAN = 2.0  # scale of the Cauchy loss over the median reprojection error: ~3 sigma of good features
_COST_TOLERANCE = 1e-6  # relative change of the cost at which a bundle adjustment has converged
_MAX_ERROR_PX = 4.0  # at the working size, as while mapping
_MIN_ANGLE_DEG = 0.5
_SANE = (0.1, 10.0, 1.0)  # least and largest focal length in longer edges, largest distortion parameter: as in COLMAP


@dataclass
class Refined:
    """The refined model, its refined intrinsics by camera id, and the median error of the points in pixels.

    "all" are fx, fy, principal point and distortion, "principal point" all but distortion; "no distortion" is the
    latter with the distortion found needless; "focal length" means one focal length and distortion.
    """

    model: pycolmap.Reconstruction
    intrinsics: dict[int, Intrinsics]
    error_before_px: float
    error_after_px: float


def refine(model: pycolmap.Reconstruction, fixed: set[int], config: SfmConfig, runtime: Runtime) -> Refined:
    """Bundle adjustment with as many intrinsics per camera as the photos constrain; ``fixed`` cameras stay as given."""
    before = _median_error(model)
    others = _camera_ids(model) - fixed
    candidates: list[Intrinsics] = [] if config.advanced.refine_principal_point == "off" else ["all", "principal point"]
    for intrinsics in candidates:
        free = {c for c in others if config.advanced.refine_principal_point == "on" or _many(model, c)}
        trial, free = _adjust_well_constrained(model, free, intrinsics, config, runtime)
        after = _median_error(trial)
        if free and after <= before:
            named: dict[int, Intrinsics] = {c: intrinsics if c in free else "none" for c in _camera_ids(model)}
            return _without_needless_distortion(model, Refined(trial, named, before, after), free, config, runtime)
    trial = _copy(model)
    _adjust(trial, others, "focal length", runtime)
    if any(trial.camera(c).has_bogus_params(*_SANE) for c in others):
        return Refined(model, dict.fromkeys(_camera_ids(model), "none"), before, before)
    simple: dict[int, Intrinsics] = {c: "none" if c in fixed else "focal length" for c in _camera_ids(model)}
    return Refined(trial, simple, before, _median_error(trial))


def _without_needless_distortion(
    model: pycolmap.Reconstruction, refined: Refined, free: set[int], config: SfmConfig, runtime: Runtime
) -> Refined:
    """``refined``, or a model whose cameras have no distortion where that explains the photos as well.

    Photos that were undistorted before they came here then stay as they are, instead of being resampled.
    """
    slight = {
        c for c in free if _corner_distortion(SourceCamera.of_colmap(refined.model.camera(c))) < _SLIGHT_DISTORTION
    }
    if config.camera_model != "auto" or not slight:
        return refined
    trial = _copy(refined.model)
    for camera_id in slight:
        camera = trial.camera(camera_id)
        pinhole = SourceCamera.of_colmap(camera).with_two_focals().params[:4]
        camera.model, camera.params = pycolmap.CameraModelId.PINHOLE, list(pinhole)
    _adjust(trial, slight, "principal point", runtime)
    after = _median_error(trial)
    if after > _NEEDLESS * refined.error_after_px:
        return refined
    named = {c: "no distortion" if c in slight else intrinsics for c, intrinsics in refined.intrinsics.items()}
    return Refined(trial, named, refined.error_before_px, after)


def _corner_distortion(camera: SourceCamera) -> float:
    """How far distortion moves the image corners, in longer edges."""
    corners = _corners(camera)
    fx, fy, cx, cy = camera.with_two_focals().params[:4]
    undistorted = camera.rays_of(corners)[:, :2] * (fx, fy) + (cx, cy)
    distance = np.linalg.norm(undistorted - corners, axis=1).max()
    return float(distance / max(camera.width, camera.height)) if np.isfinite(distance) else np.inf


def _corners(camera: SourceCamera) -> NDArray[np.float64]:
    """(4, 2) pixels of the image corners."""
    w, h = camera.width, camera.height
    return np.array([[0, 0], [w, 0], [0, h], [w, h]], np.float64)


def _adjust_well_constrained(
    model: pycolmap.Reconstruction, free: set[int], intrinsics: Intrinsics, config: SfmConfig, runtime: Runtime
) -> tuple[pycolmap.Reconstruction, set[int]]:
    """Adjust with the cameras ``free``, leaving out those that prove badly constrained until none does."""
    while free:
        trial = _copy(model)
        for camera_id in free:
            _allow_two_focals(trial.camera(camera_id), config)
        adjuster = _adjust(trial, free, intrinsics, runtime)
        if config.advanced.refine_principal_point == "on":
            return trial, free
        good = _well_constrained(trial, adjuster, free)
        if good == free:
            return trial, free
        log.debug("the photos do not constrain cameras %s well enough to refine: %s", sorted(free - good), intrinsics)
        free = good
    return model, free


def _allow_two_focals(camera: pycolmap.Camera, config: SfmConfig) -> None:
    """Put the camera, unchanged, into a model that has fx and fy apart, unless the user chose the model."""
    if config.camera_model == "auto":
        source = SourceCamera.of_colmap(camera).with_two_focals()
        camera.model = pycolmap.CameraModelId.__members__[source.model]
        camera.params = list(source.params)


def _adjust(
    model: pycolmap.Reconstruction, free: set[int], intrinsics: Intrinsics, runtime: Runtime
) -> pycolmap.CeresBundleAdjuster:
    """Robust bundle adjustment in place, twice, with outliers dropped in between. Intrinsics not in ``free`` stay."""
    adjuster = _solve(model, free, intrinsics, runtime)
    _drop_outliers(model)
    adjuster = _solve(model, free, intrinsics, runtime)
    model.update_point_3d_errors()
    return adjuster


def _solve(
    model: pycolmap.Reconstruction, free: set[int], intrinsics: Intrinsics, runtime: Runtime
) -> pycolmap.CeresBundleAdjuster:
    options = pycolmap.BundleAdjustmentOptions()
    options.print_summary = False
    options.refine_principal_point = intrinsics in ("all", "principal point")
    options.refine_extra_params = intrinsics in ("all", "focal length")
    options.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
    options.ceres.loss_function_scale = max(1e-3, _LOSS_OVER_MEDIAN * _median_error(model))
    options.ceres.solver_options.num_threads = thread_count(runtime)
    options.ceres.solver_options.function_tolerance = _COST_TOLERANCE
    setup = pycolmap.BundleAdjustmentConfig()
    setup.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    for image_id in sorted(model.reg_image_ids()):
        setup.add_image(image_id)
    for camera_id in _camera_ids(model) - free:
        setup.set_constant_cam_intrinsics(camera_id)
    adjuster = pycolmap.create_default_ceres_bundle_adjuster(options, setup, model)
    adjuster.solve()
    return adjuster


def _drop_outliers(model: pycolmap.Reconstruction) -> None:
    observations = pycolmap.ObservationManager(model)
    observations.filter_all_points3D(_MAX_ERROR_PX, _MIN_ANGLE_DEG)


def _well_constrained(
    model: pycolmap.Reconstruction, adjuster: pycolmap.CeresBundleAdjuster, free: set[int]
) -> set[int]:
    """The cameras whose image corners the solution knows well and whose principal point is plausible."""
    options = pycolmap.BACovarianceOptions()
    options.params = pycolmap.BACovarianceOptionsParams.ALL
    covariance = pycolmap.estimate_ba_covariance(options, model, adjuster)
    if covariance is None:
        return set()
    # The covariance is that of residuals of 1 px; the real noise is smaller. A Rayleigh median is 1.177 sigma.
    sigma = _median_error(model) / 1.177
    return {c for c in free if _is_well_constrained(model.camera(c), covariance, sigma)}


def _is_well_constrained(camera: pycolmap.Camera, covariance: pycolmap.BACovariance, sigma: float) -> bool:
    of_intrinsics = covariance.get_other_params_cov(camera.params)
    if of_intrinsics is None or camera.has_bogus_params(*_SANE):
        return False
    longer = max(camera.width, camera.height)
    source = SourceCamera.of_colmap(camera)
    shift = np.hypot(camera.principal_point_x - camera.width / 2, camera.principal_point_y - camera.height / 2)
    free = slice(len(of_intrinsics))  # parameters held constant have no row; they are the last ones, of the distortion
    variances = np.stack([J[:, free] @ of_intrinsics @ J[:, free].T for J in _corner_jacobians(source)])
    if not np.isfinite(variances).all():
        return False
    sd = sigma * float(np.sqrt(np.linalg.norm(variances, 2, axis=(1, 2)).max()))
    log.debug("camera %d: corners known to %.2f px, principal point shifted by %.1f px", camera.camera_id, sd, shift)
    return bool(sd <= _MAX_CORNER_SD * longer and shift <= _MAX_SHIFT * longer)


def _corner_jacobians(camera: SourceCamera) -> list[NDArray[np.float64]]:
    """For each corner of the photo, the (2, P) derivative of where its ray is seen by the parameters."""
    rays = camera.rays_of(_corners(camera))
    columns = []
    for index, value in enumerate(camera.params):
        step = 1e-6 * max(1.0, abs(value))
        moved = [list(camera.params), list(camera.params)]
        moved[0][index] += step
        moved[1][index] -= step
        ahead, behind = (_seen(camera, params, rays) for params in moved)
        columns.append((ahead - behind) / (2 * step))
    return [np.column_stack([column[corner] for column in columns]) for corner in range(4)]


def _seen(camera: SourceCamera, params: list[float], rays: NDArray[np.float64]) -> NDArray[np.float64]:
    colmap = SourceCamera(camera.model, camera.width, camera.height, tuple(params)).to_colmap()
    return np.asarray(colmap.img_from_cam(rays), np.float64)


def _copy(model: pycolmap.Reconstruction) -> pycolmap.Reconstruction:
    return pycolmap.Reconstruction(model)


def _camera_ids(model: pycolmap.Reconstruction) -> set[int]:
    """Cameras of the registered photos."""
    return {model.image(i).camera_id for i in model.reg_image_ids()}


def _many(model: pycolmap.Reconstruction, camera_id: int) -> bool:
    photos = Counter(model.image(i).camera_id for i in model.reg_image_ids())
    return photos[camera_id] >= _MIN_PHOTOS


def _median_error(model: pycolmap.Reconstruction) -> float:
    """Median over the points of their mean reprojection error, in pixels at the working size."""
    model.update_point_3d_errors()
    return float(np.median([point.error for point in model.points3D.values()]))
