"""From photos as given to pinhole photos: cameras, images and sparse points."""

from __future__ import annotations

import logging
import math
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from lotus_recon.colmap import pycolmap
from lotus_recon.errors import SfmError
from lotus_recon.geometry.camera import fit_longer_edge, pixel_centers, project
from lotus_recon.geometry.pose import transform
from lotus_recon.io.cameras import PosedPhotos, SourceCamera
from lotus_recon.io.images import resize_rgb
from lotus_recon.types import BoolArray, Camera, FloatArray, Scene, SparsePoints, View

log = logging.getLogger(__name__)

_LEAST_SHARE = 0.2  # of the view that the border of the photo allows: less is no lens but a wrong calibration
_CROP_PRECISION = 0.5**9  # of the view
_WIDEST = 2.0  # width and height of the largest view over those of the photo, as in COLMAP
_FOLD_GRID = 48  # places along each side of a view where the distortion is looked at
_FOLD_STEP = 1e-5  # of the derivatives, in tangents of angles
_LEAST_SIDE_PX = 16


def pinhole_camera(source: SourceCamera, max_size: int) -> Camera:
    """The largest pinhole camera all of whose pixels the photo holds, its longer edge at most ``max_size`` (0: any).

    It ends where the distortion model folds back, and a warning says so. Raises SfmError when the distortion leaves no
    such camera (a wrong calibration, or a lens beyond 180 degrees).
    """
    if source.is_pinhole:
        fx, fy, cx, cy = source.with_two_focals().params[:4]
        full = Camera(source.width, source.height, fx, fy, cx, cy)
    else:
        full = _without_blank_pixels(source)
    return full.resized(*fit_longer_edge(*full.size, max_size))


def _without_blank_pixels(source: SourceCamera) -> Camera:
    """The largest view, as wide over high as COLMAP makes it, inside the photo and where the lens model is one-to-one.

    COLMAP looks at the middle and the corners of the border; a strong lens can still leave blank pixels between. And it
    inverts the model at the border of the photo, where a polynomial may have turned back already, or where the photo
    sees beyond 90 degrees from its axis: then its view is the least that it allows.
    """
    options = pycolmap.UndistortCameraOptions()
    options.blank_pixels = 0.0
    flat = pycolmap.undistort_camera(options, source.to_colmap())
    camera = Camera(flat.width, flat.height, *(float(p) for p in flat.params))
    folds = not is_one_to_one(source, camera)
    if folds or camera.width <= math.ceil(options.min_scale * source.width):
        fx, fy, cx, cy = source.with_two_focals().params[:4]
        full = Camera(source.width, source.height, fx, fy, cx, cy)
        camera = _cropped(full, _WIDEST)
    cropped = _largest_usable(source, camera)
    if cropped is None:
        raise SfmError(
            f"the estimated distortion {source.model} {source.params} of a {source.width}x{source.height} photo cannot "
            "be removed; try another --camera-model (OPENCV_FISHEYE for a fisheye lens) or give --intrinsics"
        )
    if folds:
        log.warning(
            "the lens model %s %s holds as far as its distortion grows outwards, not to the corners of the photo: the "
            "undistorted view is limited to that part, %.0f degrees wide",
            source.model,
            tuple(round(p, 4) for p in source.params),
            cropped.fov_deg[0],
        )
    return cropped


def _largest_usable(source: SourceCamera, camera: Camera) -> Camera | None:
    """``camera`` cropped as little as possible, about its middle, to what ``source`` sees; None where that is nothing.

    By bisection: what lies inside a usable view is usable.
    """
    if _is_usable(source, camera):
        return camera
    low, high = _LEAST_SHARE, 1.0
    if not _is_usable(source, _cropped(camera, low)):
        return None
    while high - low > _CROP_PRECISION:
        middle = (low + high) / 2
        low, high = (middle, high) if _is_usable(source, _cropped(camera, middle)) else (low, middle)
    return _cropped(camera, low)


def _is_usable(source: SourceCamera, camera: Camera) -> bool:
    """Whether every border pixel of ``camera`` lies inside the photo (half a pixel over the edge is a rounding)."""
    if min(camera.size) < _LEAST_SIDE_PX:
        return False
    centers = pixel_centers(camera.height, camera.width)
    border = np.concatenate([centers[0], centers[-1], centers[:, 0], centers[:, -1]])
    xy = source.pixels_of(_tangents(border, camera))
    inside = (xy >= -0.5) & (xy <= np.array([source.width, source.height]) + 0.5)
    return bool(inside.all()) and is_one_to_one(source, camera)


def _tangents(xy: FloatArray, camera: Camera) -> NDArray[np.float64]:
    """(N, 2) x and y over z of the rays of pixels (N, 2)."""
    return (np.asarray(xy, np.float64) - (camera.cx, camera.cy)) / (camera.fx, camera.fy)


def is_one_to_one(source: SourceCamera, camera: Camera) -> bool:
    """Whether no two pixels of the undistorted ``camera`` look at one pixel of the photo.

    A distortion polynomial that stops growing folds the photo over: its Jacobian determinant, positive on the optical
    axis, changes sign there, so it must be positive all over the view.
    """
    u, v = np.meshgrid(np.linspace(0, camera.width, _FOLD_GRID), np.linspace(0, camera.height, _FOLD_GRID))
    tangents = _tangents(np.stack([u, v], axis=-1).reshape(-1, 2), camera)
    step = _FOLD_STEP * (1 + np.abs(tangents).max())
    along_u, along_v = (
        source.pixels_of(tangents + offset) - source.pixels_of(tangents - offset) for offset in np.diag([step, step])
    )
    determinant = along_u[:, 0] * along_v[:, 1] - along_u[:, 1] * along_v[:, 0]
    return bool((determinant > 0).all())  # False for NaN: rays that the model does not see


def _cropped(camera: Camera, share: float) -> Camera:
    """The middle ``share`` of each side of a view (more than 1: the view enlarged)."""
    width, height = max(1, int(camera.width * share)), max(1, int(camera.height * share))
    left, top = (camera.width - width) / 2, (camera.height - height) / 2
    return replace(camera, width=width, height=height, cx=camera.cx - left, cy=camera.cy - top)


def is_identity(source: SourceCamera, camera: Camera) -> bool:
    """Whether the undistorted photo is the photo itself, pixel by pixel."""
    return source.is_pinhole and source.with_two_focals().params[:4] == (camera.fx, camera.fy, camera.cx, camera.cy)


def undistort(image: NDArray[np.uint8], source: SourceCamera, camera: Camera) -> NDArray[np.uint8]:
    """(H, W, 3) the photo ``image`` of ``source`` as ``camera`` sees it; area average where it shrinks.

    Shrinking comes first, to about the final scale, so that the interpolation that follows skips no pixel.
    """
    if is_identity(source, camera):
        return image
    scale = min(1.0, max(f / g for f, g in zip((camera.fx, camera.fy), source.focal_px, strict=True)))
    small = resize_rgb(image, max(1, round(source.width * scale)), max(1, round(source.height * scale)))
    at_scale = source.resized(small.shape[1], small.shape[0])
    if at_scale.is_pinhole and np.allclose(
        at_scale.with_two_focals().params[:4], SourceCamera.of_pinhole(camera).params
    ):
        return small
    # cv2 puts the first pixel centre at 0; beyond the border it repeats the last pixel.
    x, y = np.moveaxis(at_scale.xy_of(camera) - np.float32(0.5), -1, 0)
    return np.asarray(cv2.remap(small, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def undistort_mask(used: BoolArray, source: SourceCamera, camera: Camera) -> BoolArray:
    """(H, W) where ``camera`` sees nothing but pixels that are ``used`` in the photo of ``source``."""
    grey = np.where(used, np.uint8(255), np.uint8(0))
    return np.asarray(undistort(np.repeat(grey[..., None], 3, axis=2), source, camera)[..., 0] == 255)


def undistorted_scene(photos: PosedPhotos, max_size: int, metric: bool) -> Scene:
    """The same photos as pinhole views: poses stay, points stay, observations move to the undistorted pixels.

    Observations that the undistorted views no longer show are dropped, and points then seen by one view only. The error
    of each point becomes its mean reprojection error in undistorted pixels.
    """
    of_source = {source: pinhole_camera(source, max_size) for source in set(photos.cameras.values())}
    views = tuple(View(n, of_source[photos.cameras[n]], photos.cam_from_world[n]) for n in photos.names)
    points = photos.points
    xy = np.full_like(points.obs_xy, np.nan)
    for index, view in enumerate(views):
        own = points.obs_view == index
        if own.any():
            xy[own] = project(photos.cameras[view.name].rays_of(points.obs_xy[own]), view.camera)
    sizes = np.array([view.camera.size for view in views], np.float64).reshape(-1, 2)
    with np.errstate(invalid="ignore"):
        shown = np.asarray(np.all((xy >= 0) & (xy < sizes[points.obs_view]), axis=1), bool)
    return Scene(views, _with_errors(_seen_twice(replace(points, obs_xy=xy), shown), views), metric)


def _seen_twice(points: SparsePoints, shown: BoolArray) -> SparsePoints:
    """Only the observations ``shown`` and the points with two of them."""
    count = np.bincount(points.obs_point[shown], minlength=len(points.xyz))
    kept = count >= 2
    rows = shown & kept[points.obs_point]
    new_index = np.cumsum(kept) - 1
    return SparsePoints(
        points.xyz[kept],
        points.rgb[kept],
        points.error_px[kept],
        new_index[points.obs_point[rows]],
        points.obs_view[rows],
        points.obs_xy[rows],
    )


def _with_errors(points: SparsePoints, views: tuple[View, ...]) -> SparsePoints:
    distance = reprojection_errors(points, views)
    total = np.bincount(points.obs_point, distance, minlength=len(points.xyz))
    return replace(points, error_px=total / np.maximum(1, points.track_length))


def reprojection_errors(points: SparsePoints, views: tuple[View, ...]) -> FloatArray:
    """(O,) distance in pixels of every observation from the projection of its point."""
    errors = np.zeros(len(points.obs_view))
    for index, view in enumerate(views):
        own = points.obs_view == index
        in_cam = transform(view.cam_from_world, points.xyz[points.obs_point[own]])
        errors[own] = np.linalg.norm(project(in_cam, view.camera) - points.obs_xy[own], axis=1)
    return errors
