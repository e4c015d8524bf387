"""Data augmentation: samples cropped, resized, flipped; images with other light, colours, sharpness and noise.

Photometric changes leave the geometry as it is. All randomness comes from the generator that is passed in. OpenCV
changes bytes in place; kornia's augmentations take 5 to 20 times as long on a CPU, and draw from torch's global
generator, which the reading threads would share.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from lotus_recon.datasets.samples import Sample
from lotus_recon.training.config import DataConfig
from lotus_recon.training.framing import Box, cropped, mirrored, resized

_GREY = np.array([0.299, 0.587, 0.114])  # luma of Rec. 601, as in JPEG
_LEVELS = np.arange(256) / 255
_DISPLAY_GAMMA = 2.2


def augmented(sample: Sample, width: int, height: int, config: DataConfig, rng: np.random.Generator) -> Sample:
    """A sample at the size to train on: cropped, resized, perhaps mirrored, with other colours, as ``config`` says."""
    box = random_box(sample, width, height, config.smallest_crop, rng)
    result = resized(cropped(sample, box), width, height)
    if config.flip and rng.random() < 0.5:
        result = mirrored(result)
    if config.photometric > 0:
        result = replace(result, rgb=recoloured(result.rgb, config.photometric, rng))
    return result


def random_box(sample: Sample, width: int, height: int, smallest_crop: float, rng: np.random.Generator) -> Box:
    """A part of a photo with the proportions of ``width`` x ``height``, at a random place.

    Its sides are ``smallest_crop`` to 1 times those of the largest such part. With 1 it is that part, from the middle.
    """
    share, right, down = 1.0, 0.5, 0.5
    if smallest_crop < 1:
        share, right, down = rng.uniform(smallest_crop, 1), rng.random(), rng.random()
    full_height, full_width = sample.rgb.shape[:2]
    scale = share * min(full_width / width, full_height / height)
    box_width, box_height = max(round(scale * width), 1), max(round(scale * height), 1)
    return Box(round(right * (full_width - box_width)), round(down * (full_height - box_height)), box_width, box_height)


def recoloured(rgb: NDArray[np.uint8], strength: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A photo (H, W, 3) of the same scene in other light and from another camera. ``strength`` 1 is a strong change."""
    result: NDArray = np.ascontiguousarray(rgb)
    for change, probability in _CHANGES:
        if rng.random() < probability:
            result = change(result, strength, rng)
    return np.asarray(result, np.uint8)


def _shaded(rgb: NDArray, strength: float, rng: np.random.Generator) -> NDArray:
    """Light that is uneven over the image."""
    coarse = np.exp(strength * rng.uniform(-0.5, 0.5, size=(4, 5))).astype(np.float32)
    height, width = rgb.shape[:2]
    light = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.multiply(rgb, cv2.merge([light] * 3), dtype=cv2.CV_8U)


def _exposed(rgb: NDArray, strength: float, rng: np.random.Generator) -> NDArray:
    """Another exposure and white balance (factors on light), tone curve and contrast."""
    stops = rng.normal(0, 0.5 * strength) + rng.normal(0, 0.15 * strength, size=3)
    tone = np.exp(rng.normal(0, 0.15 * strength))
    contrast = np.exp(rng.normal(0, 0.15 * strength))
    light = np.minimum(_LEVELS[:, None] ** _DISPLAY_GAMMA * 2.0**stops, 1)
    display = (light ** (tone / _DISPLAY_GAMMA) - 0.5) * contrast + 0.5
    return cv2.LUT(rgb, np.rint(display * 255).clip(0, 255).astype(np.uint8)[None])


def _saturated(rgb: NDArray, strength: float, rng: np.random.Generator) -> NDArray:
    """Stronger or weaker colours, sometimes none."""
    none = rng.random() < 0.08 * strength
    colour = 0.0 if none else np.exp(rng.normal(0, 0.35 * strength))
    return cv2.transform(rgb, colour * np.eye(3) + (1 - colour) * _GREY)


def _blurred(rgb: NDArray, strength: float, rng: np.random.Generator) -> NDArray:
    """Out of focus, by up to half a percent of the longer side."""
    sigma_px = rng.uniform(0, 0.005 * strength) * max(rgb.shape)
    return cv2.GaussianBlur(rgb, (0, 0), max(sigma_px, 0.1))


def _noised(rgb: NDArray, strength: float, rng: np.random.Generator) -> NDArray:
    """Noise of the sensor."""
    sigma = rng.uniform(0, 255 * 0.04 * strength)
    return cv2.add(rgb, rng.standard_normal(rgb.shape, np.float32) * np.float32(sigma), dtype=cv2.CV_8U)


def _compressed(rgb: NDArray, strength: float, rng: np.random.Generator) -> NDArray:
    """The blocks of JPEG."""
    quality = int(rng.uniform(max(95 - 65 * strength, 10), 95))
    _, file = cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR), np.uint8)


# In the order in which light, lens, sensor and file come; each with its probability.
_CHANGES: tuple[tuple[Callable[[NDArray, float, np.random.Generator], NDArray], float], ...] = (
    (_shaded, 0.4),
    (_exposed, 0.9),
    (_saturated, 0.6),
    (_blurred, 0.3),
    (_noised, 0.4),
    (_compressed, 0.4),
)
