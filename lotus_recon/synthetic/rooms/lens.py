"""What a lens and a hand do to an image before the sensor: defocus, shake, distortion, coloured fringes."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from lotus_recon.geometry.camera import pixel_centers
from lotus_recon.synthetic.rooms.look import Look
from lotus_recon.types import DepthMap

_LEVELS = 5  # blurred copies that the image is put together from
_LARGEST_BLUR_PX = 6.0


def through_lens(
    image: NDArray[np.float64], look: Look, random: np.random.Generator, depth: DepthMap | None
) -> NDArray[np.float64]:
    """The image (H, W, 3) as it falls on the sensor; ``depth`` is metric."""
    out_of_focus, shaken = random.random(2)
    strength, length, turn, focus = random.random(4)
    if depth is not None and depth.valid.any() and out_of_focus < look.defocus:
        image = _defocused(image, depth, look.aperture * strength, focus)
    if shaken < look.motion:
        image = _shaken(image, look.motion_px * length, np.pi * turn)
    distortion, fringe = random.uniform(-1, 1, 2) * (look.distortion_px, look.fringe_px)
    return _magnified(image, float(distortion), float(fringe))


def _defocused(image: NDArray[np.float64], depth: DepthMap, aperture: float, focus: float) -> NDArray[np.float64]:
    """Sharp at the distance of one pixel, more blurred the more 1/z differs from that."""
    inverse = np.where(depth.valid, 1 / np.maximum(depth.values, 0.05), 0.0)
    known = np.sort(inverse[depth.valid])
    sharp = known[int((0.3 + 0.65 * focus) * (len(known) - 1))]  # things rather than what is behind
    blur = np.minimum(aperture * image.shape[1] * np.abs(inverse - sharp), _LARGEST_BLUR_PX)
    steps = np.linspace(0, max(float(blur.max()), 1e-6), _LEVELS)
    level = np.interp(gaussian_filter(blur, 1.0), steps, np.arange(_LEVELS))
    result = np.zeros_like(image)
    for index, sigma in enumerate(steps):
        weight = np.clip(1 - np.abs(level - index), 0, 1)[..., None]
        result += weight * gaussian_filter(image, (sigma, sigma, 0), mode="nearest")
    return result


def _shaken(image: NDArray[np.float64], length_px: float, turn: float) -> NDArray[np.float64]:
    steps = np.linspace(-0.5, 0.5, max(2, int(2 * length_px) + 1)) * length_px
    shift = [_shifted(image, step * np.cos(turn), step * np.sin(turn)) for step in steps]
    return np.asarray(np.mean(shift, axis=0))


def _shifted(image: NDArray[np.float64], dx: float, dy: float) -> NDArray[np.float64]:
    matrix = np.array([[1, 0, dx], [0, 1, dy]])
    size = image.shape[1], image.shape[0]
    return np.asarray(cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def _magnified(image: NDArray[np.float64], distortion_px: float, fringe_px: float) -> NDArray[np.float64]:
    """Points move along the radius: by the distortion in the corners (as its cube), red and blue by the fringe."""
    height, width = image.shape[:2]
    off = pixel_centers(height, width) - [width / 2, height / 2]
    corner = np.hypot(width, height) / 2
    square = (off**2).sum(-1, keepdims=True) / corner**2
    result = np.empty_like(image)
    for channel, side in enumerate((-0.5, 0.0, 0.5)):
        factor = 1 + (distortion_px * square + side * fringe_px) / corner
        place = (off * factor + [width / 2, height / 2] - 0.5).astype(np.float32)
        result[..., channel] = cv2.remap(
            image[..., channel], place[..., 0], place[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    return result
