"""What comes in: refused with a reason, or brought into one form."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lotus_recon.compiled import kernel
from lotus_recon.errors import InputError
from lotus_recon.integration.blocks import in_blocks
from lotus_recon.integration.config import IntegrationConfig
from lotus_recon.types import BoolArray, FloatArray

log = logging.getLogger(__name__)

_AWAY_COS = 0.1  # normals that look away by less are those of a rim, and count as seen edge-on
_UNIT_TOLERANCE = 0.5  # normals that were resized are a little short
# What a normal may be; the first that applies counts.
_FAULTS = ("usable", "not finite", "zero", "not of unit length", "facing away from the camera")


@dataclass(frozen=True, eq=False)
class Problem:
    """Checked input. Arrays are float64; ``usable`` says where the normal is known; NaN is an unknown depth."""

    mask: BoolArray  # (H, W)
    normals: NDArray[np.float64]  # (H, W, 3) unit
    usable: BoolArray  # (H, W)
    K: NDArray[np.float64] | None  # (3, 3); None: orthographic
    confidence: NDArray[np.float64]  # (H, W)
    prior: NDArray[np.float64]  # (H, W)
    prior_weight: NDArray[np.float64]  # (H, W)
    anchors: NDArray[np.float64]  # (H, W)


def checked(
    normals: FloatArray,
    mask: BoolArray,
    K: FloatArray | None,
    depth_prior: FloatArray | None,
    prior_weight: ArrayLike | None,
    confidence: FloatArray | None,
    anchors: FloatArray | None,
    config: IntegrationConfig,
) -> Problem:
    """The problem as stated: normals (H, W, 3), mask (H, W), K 3x3.

    Raises InputError with what is wrong, where, and what is allowed.
    """
    normals, mask = np.asarray(normals), np.asarray(mask)
    if normals.ndim != 3 or normals.shape[2] != 3:
        raise InputError(f"normals have shape {normals.shape}; allowed: (H, W, 3)")
    if not np.issubdtype(normals.dtype, np.floating):
        raise InputError(f"normals are {normals.dtype}; allowed: floats from -1 to 1 (decode the image first)")
    shape = normals.shape[:2]
    if mask.shape != shape:
        raise InputError(f"mask has shape {mask.shape}; allowed: {shape}, as the normals")
    mask = mask.astype(bool)
    if mask.sum() < 2:
        raise InputError(f"mask has {int(mask.sum())} pixels; at least two are needed")
    K = None if K is None else _camera_matrix(K, shape)
    unit, usable = _usable_normals(normals, mask, K, config.max_bad_share)
    return Problem(
        mask=mask,
        normals=unit,
        usable=usable,
        K=K,
        confidence=_weights(confidence, "confidence", shape),
        prior=_depths(depth_prior, "depth_prior", mask, perspective=K is not None),
        prior_weight=_weights(prior_weight, "prior_weight", shape),
        anchors=_depths(anchors, "anchors", mask, perspective=K is not None),
    )


def _camera_matrix(given: FloatArray, shape: tuple[int, ...]) -> NDArray[np.float64]:
    K: NDArray[np.float64] = np.asarray(given, np.float64)
    if K.shape != (3, 3) or not np.isfinite(K).all():
        raise InputError(f"K has shape {K.shape}; allowed: a finite (3, 3)")
    if not (K[0, 0] > 0 and K[1, 1] > 0 and np.array_equal(K[2], [0, 0, 1])):
        raise InputError(f"K is {K.tolist()}; allowed: positive focal lengths and a last row of 0, 0, 1")
    height, width = shape
    if not (-width <= K[0, 2] <= 2 * width and -height <= K[1, 2] <= 2 * height):
        raise InputError(
            f"K has its principal point at ({K[0, 2]:g}, {K[1, 2]:g}), far outside the map of {width}x{height} pixels: "
            "it belongs to an image of another size"
        )
    if not (0.1 * width <= K[0, 2] <= 0.9 * width and 0.1 * height <= K[1, 2] <= 0.9 * height):
        log.warning(
            "K has its principal point at (%g, %g), far from the middle of %d x %d pixels: right for a part of an "
            "image, wrong for a K of another size",
            K[0, 2],
            K[1, 2],
            width,
            height,
        )
    return K


def _usable_normals(
    normals: FloatArray, mask: BoolArray, K: NDArray[np.float64] | None, max_bad_share: float
) -> tuple[NDArray[np.float64], BoolArray]:
    """Unit normals, and where they can be used; the others look straight at the camera."""
    unit, fault = np.empty(normals.shape), np.empty(mask.shape, np.uint8)
    rays_from_pixels = np.diag([0.0, 0.0, 1.0]) if K is None else np.linalg.inv(K)
    in_blocks(_normalise, len(mask), normals, rays_from_pixels, unit, fault, per_element=mask.shape[1])
    counts = np.bincount(fault[mask], minlength=len(_FAULTS))
    share = 1 - counts[0] / counts.sum()
    if share > max_bad_share:
        found = ", ".join(
            f"{100 * count / counts.sum():.1f} % {what}"
            for count, what in zip(counts[1:], _FAULTS[1:], strict=True)
            if count
        )
        raise InputError(
            f"normals inside the mask: {found}; allowed: {100 * max_bad_share:g} % bad ones together. Normals are unit "
            "vectors, x right, y down, z forward, and face the camera (n . ray < 0)"
        )
    return unit, fault == 0


@kernel
def _normalise(begin: int, end: int, normals: Any, rays_from_pixels: Any, unit: Any, fault: Any) -> None:
    """Fill rows of unit normals (H, W, 3), and what is wrong with those given (H, W): a place in ``_FAULTS``."""
    a = rays_from_pixels
    for row in range(begin, end):
        for col in range(normals.shape[1]):
            x, y, z = float(normals[row, col, 0]), float(normals[row, col, 1]), float(normals[row, col, 2])
            length = np.sqrt(x * x + y * y + z * z)
            u, v = col + 0.5, row + 0.5
            right, down = a[0, 0] * u + a[0, 1] * v + a[0, 2], a[1, 0] * u + a[1, 1] * v + a[1, 2]
            along = (x * right + y * down + z) / max(length, 1e-12)  # n . ray
            if not np.isfinite(x + y + z):
                fault[row, col] = 1
            elif length < 1e-6:
                fault[row, col] = 2
            elif abs(length - 1) > _UNIT_TOLERANCE:
                fault[row, col] = 3
            elif along > _AWAY_COS * np.sqrt(right * right + down * down + 1):
                fault[row, col] = 4
            else:
                fault[row, col] = 0
                unit[row, col, 0], unit[row, col, 1], unit[row, col, 2] = x / length, y / length, z / length
                continue
            unit[row, col, 0], unit[row, col, 1], unit[row, col, 2] = 0.0, 0.0, -1.0


def _weights(values: ArrayLike | None, name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    weights = np.asarray(1.0 if values is None else values, np.float64)
    if weights.shape not in ((), shape):
        raise InputError(f"{name} has shape {weights.shape}; allowed: a number or {shape}, as the normals")
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise InputError(f"{name} has values that are negative or not finite; allowed: 0 and above")
    return np.broadcast_to(weights, shape)


def _depths(values: FloatArray | None, name: str, mask: BoolArray, perspective: bool) -> NDArray[np.float64]:
    """Depth where it is known, NaN elsewhere."""
    if values is None:
        return np.full(mask.shape, np.nan)
    depth = np.asarray(values, np.float64)
    if depth.shape != mask.shape:
        raise InputError(f"{name} has shape {depth.shape}; allowed: {mask.shape}, as the normals")
    known = mask & np.isfinite(depth) & ((depth > 0) if perspective else True)
    if not known.any():
        allowed = "positive and finite" if perspective else "finite"
        raise InputError(f"{name} has no valid pixel inside the mask; valid is what is {allowed}")
    return np.where(known, depth, np.nan)
