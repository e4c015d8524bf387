"""What tells that the depth of a pixel is poor, each on a scale on which its error is a power of it.

All are logarithms, so that a standard deviation that is log-linear in them is a product of powers of the quantities.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lotus_recon.geometry.camera import pixel_index, rays_in_cam
from lotus_recon.geometry.depth import depth_edges
from lotus_recon.geometry.normals import angle_deg, normals_from_depth
from lotus_recon.io.scene_maps import ViewMaps
from lotus_recon.types import BoolArray, Camera, DepthKind, DepthMap, FloatArray, NormalMap

Predictors = Mapping[str, NDArray[np.float32]]  # (H, W) by name

_EDGE_JUMP = 0.03  # relative depth, beyond which two neighbouring pixels lie on different surfaces
_SMOOTHED_PX = 2.0  # normals of depth are noisy from pixel to pixel
_NEAREST_SHARE = 1e-3  # of the diagonal: closer to an edge, or a point, nothing changes
_LEAST_COSINE = 0.05
_LEAST_CONFIDENCE = 1e-3
_LEAST_AWAY = 0.03  # of depth from its median, relative
_LEAST_EMPTY = 0.01  # of a photo
_LEAST_SPREAD = 1e-5  # relative
_UNKNOWN_ANGLE_DEG = 20.0


def shape_predictors(depth: DepthMap, normals: NormalMap | None, camera: Camera) -> dict[str, NDArray[np.float32]]:
    """What the map (H, W) itself shows: ``edge``, ``slant``, and ``bent``, where there are predicted ``normals``.

    edge: nearness of a discontinuity, as a share of the diagonal. slant: 1 / cosine between surface and ray. bent:
    angle between the predicted normal and that of the depth.
    """
    height, width = depth.shape
    edges = depth_edges(depth.values, depth.valid, _EDGE_JUMP) | ~depth.valid
    own, known = _smooth_normals(depth, camera)
    rays = rays_in_cam(camera)
    cosine = -(own * rays).sum(-1) / np.linalg.norm(rays, axis=-1)
    found = {
        "edge": -_log_share(_distance_px(edges), (height, width)),
        "slant": -np.log(np.where(known, np.clip(cosine, _LEAST_COSINE, 1), 1)),
    }
    if normals is not None:
        angle = np.where(known & normals.valid, angle_deg(own, normals.values), _UNKNOWN_ANGLE_DEG)
        found["bent"] = np.log(angle + 1)
    return {name: value.astype(np.float32) for name, value in found.items()}


def photo_predictors(depth: DepthMap) -> dict[str, NDArray[np.float32]]:
    """What counts where nothing but one photo tells its depth (H, W): ``middle`` and ``empty``.

    middle: how far depth is from its median, as a logarithm; where the shift of depth was guessed it is off by as much.
    empty: share of the photo without depth, of which most is sky: outdoors errors are larger.
    """
    known = depth.values[depth.valid]
    away = np.log(np.where(depth.valid, depth.values, 1) / (np.median(known) if known.size else 1.0))
    share = max(1 - known.size / depth.valid.size, _LEAST_EMPTY)
    return {
        "middle": np.log(np.maximum(np.abs(away), _LEAST_AWAY)).astype(np.float32),
        "empty": np.full(depth.shape, np.log(share), np.float32),
    }


def view_predictors(checked: ViewMaps, stereo: NDArray[np.float32] | None) -> dict[str, NDArray[np.float32]]:
    """What other photos say: ``doubt`` of the views that see the pixel, and ``unmatched``, how unsure stereo is.

    ``checked``: the map of the consistency stage, whose confidence is that of ``stereo`` (H, W), where there is one,
    times the agreement of the views.
    """
    if stereo is None:
        return {"doubt": _log_doubt(checked.weight)}
    sure = np.maximum(stereo, _LEAST_CONFIDENCE)
    return {"unmatched": _log_doubt(sure), "doubt": _log_doubt(checked.weight / sure)}


def _log_doubt(confidence: FloatArray) -> NDArray[np.float32]:
    return -np.log(np.clip(confidence, _LEAST_CONFIDENCE, 1)).astype(np.float32)


def point_predictor(xy: FloatArray, height: int, width: int) -> NDArray[np.float32]:
    """(H, W) distance from the nearest of the points at pixels ``xy`` (N, 2), as a share of the diagonal."""
    free = np.ones((height, width), bool)
    if not len(xy):
        return np.zeros((height, width), np.float32)
    free[pixel_index(xy, height, width)] = False
    return _log_share(ndimage.distance_transform_edt(free), (height, width)).astype(np.float32)


def spread_predictor(spread: FloatArray, depth: FloatArray, kind: DepthKind) -> NDArray[np.float32]:
    """(H, W) of the standard deviation of an ensemble's members, in the unit of what a model of this kind predicts.

    That is ``depth`` (H, W) itself, or its inverse, whose relative deviation is the same.
    """
    relative = spread * depth if kind is DepthKind.AFFINE_DISPARITY else spread / np.maximum(depth, 1e-12)
    return np.log(np.maximum(relative, _LEAST_SPREAD)).astype(np.float32)


def _smooth_normals(depth: DepthMap, camera: Camera) -> tuple[NDArray[np.float64], BoolArray]:
    """Normals (H, W, 3) of depth, averaged over some pixels, and where they are known."""
    raw, known = normals_from_depth(depth.values, depth.valid, camera)
    weighed = np.where(known[..., None], raw, 0)
    mean = np.stack([ndimage.gaussian_filter(weighed[..., axis], _SMOOTHED_PX) for axis in range(3)], axis=-1)
    length = np.linalg.norm(mean, axis=-1, keepdims=True)
    return mean / np.maximum(length, 1e-12), known & (length[..., 0] > 1e-6)


def _distance_px(marked: BoolArray) -> NDArray[np.float64]:
    """(H, W) to the nearest marked pixel; the diagonal where none is."""
    if not marked.any():
        return np.full(marked.shape, np.hypot(*marked.shape))
    distance: NDArray[np.float64] = ndimage.distance_transform_edt(~marked)
    return distance


def _log_share(distance_px: FloatArray, shape: tuple[int, int]) -> NDArray[np.float64]:
    return np.log(np.maximum(distance_px / np.hypot(*shape), _NEAREST_SHARE))
