"""Data augmentation: samples cropped, resized, flipped; images with other light, colours, sharpness and noise.

Photometric changes leave the geometry as it is. All randomness comes from the generator that is passed in. OpenCV
changes bytes in place; kornia's augmentations take 5 to 20 times as long on a CPU, and draw from torch's global
generator, which the reading threads would share.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lotus_recon.datasets.samples import Sample
from lotus_recon.training.config import DataConfig
from lotus_recon.training.framing import Box, cropped, mirrored, resized

GREY = np.array([0.299, 0.587, 0.114])  # luma of Rec. 601, as in JPEG
_LEVELS = np.arange(256) / 255
_DISPLAY_GAMMA = 2.2


@dataclass(frozen=True, eq=False)
class Recolouring:
    """Changes to a photo (H, W, 3), in the order in which light, lens, sensor and file come; None: left out."""

    light: NDArray[np.float32] | None = None  # (4, 5) factors, coarse over the photo
    table: NDArray[np.uint8] | None = None  # (256, 3) new values of each channel
    colour: float | None = None  # factor on the distance from grey
    blur_px: float | None = None  # standard deviation
    noise: NDArray[np.float32] | None = None  # (H, W, 3) to add
    quality: int | None = None  # of JPEG


@dataclass(frozen=True, eq=False)
class Draw:
    """What chance makes of a sample: the part that is cut out, whether it is mirrored, its colours."""

    box: Box
    width: int  # of the result
    height: int
    mirror: bool
    recolouring: Recolouring


def draw(shape: tuple[int, ...], width: int, height: int, config: DataConfig, rng: np.random.Generator) -> Draw:
    """Draw what is done to a sample of ``shape`` (H, W, ...) that is to be ``width`` x ``height``."""
    box = random_box(shape, width, height, config.smallest_crop, rng)
    mirror = config.flip and bool(rng.random() < 0.5)
    strength = config.photometric
    return Draw(
        box, width, height, mirror, drawn_colours((height, width, 3), strength, rng) if strength else Recolouring()
    )


def augmented(sample: Sample, drawn: Draw) -> Sample:
    """A sample at the size to train on: cropped, resized, perhaps mirrored, with other colours."""
    result = resized(cropped(sample, drawn.box), drawn.width, drawn.height)
    result = mirrored(result) if drawn.mirror else result
    return replace(result, rgb=recoloured(result.rgb, drawn.recolouring))


def random_box(shape: tuple[int, ...], width: int, height: int, smallest_crop: float, rng: np.random.Generator) -> Box:
    """A part of a photo with the proportions of ``width`` x ``height``, at a random place.

    Its sides are ``smallest_crop`` to 1 times those of the largest such part. With 1 it is that part, from the middle.
    """
    share, right, down = 1.0, 0.5, 0.5
    if smallest_crop < 1:
        share, right, down = rng.uniform(smallest_crop, 1), rng.random(), rng.random()
    full_height, full_width = shape[:2]
    scale = share * min(full_width / width, full_height / height)
    box_width, box_height = max(round(scale * width), 1), max(round(scale * height), 1)
    return Box(round(right * (full_width - box_width)), round(down * (full_height - box_height)), box_width, box_height)


def drawn_colours(shape: tuple[int, ...], strength: float, rng: np.random.Generator) -> Recolouring:
    """Another light and camera for a photo of ``shape`` (H, W, 3). ``strength`` 1 is a strong change."""
    changes: dict[str, Any] = {}
    for name, chance, probability in _CHANGES:
        if rng.random() < probability:
            changes[name] = chance(shape, strength, rng)
    return Recolouring(**changes)


def _light(shape: tuple[int, ...], strength: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Light that is uneven over the photo."""
    return np.exp(strength * rng.uniform(-0.5, 0.5, size=(4, 5))).astype(np.float32)


def _table(shape: tuple[int, ...], strength: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Another exposure and white balance (factors on light), tone curve and contrast."""
    stops = rng.normal(0, 0.5 * strength) + rng.normal(0, 0.15 * strength, size=3)
    tone = np.exp(rng.normal(0, 0.15 * strength))
    contrast = np.exp(rng.normal(0, 0.15 * strength))
    light = np.minimum(_LEVELS[:, None] ** _DISPLAY_GAMMA * 2.0**stops, 1)
    display = (light ** (tone / _DISPLAY_GAMMA) - 0.5) * contrast + 0.5
    return np.rint(display * 255).clip(0, 255).astype(np.uint8)


def _colour(shape: tuple[int, ...], strength: float, rng: np.random.Generator) -> float:
    """Stronger or weaker colours, sometimes none."""
    none = rng.random() < 0.08 * strength
    return 0.0 if none else float(np.exp(rng.normal(0, 0.35 * strength)))


def _blur_px(shape: tuple[int, ...], strength: float, rng: np.random.Generator) -> float:
    """Out of focus, by up to half a percent of the longer side."""
    return max(float(rng.uniform(0, 0.005 * strength)) * max(shape), 0.1)


def _noise(shape: tuple[int, ...], strength: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Noise of the sensor."""
    sigma = rng.uniform(0, 255 * 0.04 * strength)
    return rng.standard_normal(shape, np.float32) * np.float32(sigma)


def _quality(shape: tuple[int, ...], strength: float, rng: np.random.Generator) -> int:
    """The blocks of JPEG."""
    return int(rng.uniform(max(95 - 65 * strength, 10), 95))


# Each with its probability.
_CHANGES: tuple[tuple[str, Callable[[tuple[int, ...], float, np.random.Generator], Any], float], ...] = (
    ("light", _light, 0.4),
    ("table", _table, 0.9),
    ("colour", _colour, 0.6),
    ("blur_px", _blur_px, 0.3),
    ("noise", _noise, 0.4),
    ("quality", _quality, 0.4),
)


def recoloured(rgb: NDArray[np.uint8], changes: Recolouring) -> NDArray[np.uint8]:
    """A photo (H, W, 3) of the same scene in other light and from another camera."""
    result: NDArray = np.ascontiguousarray(rgb)
    if changes.light is not None:
        light = cv2.resize(changes.light, result.shape[1::-1], interpolation=cv2.INTER_CUBIC)
        result = cv2.multiply(result, cv2.merge([light] * 3), dtype=cv2.CV_8U)
    if changes.table is not None:
        result = cv2.LUT(result, changes.table[None])
    if changes.colour is not None:
        result = cv2.transform(result, changes.colour * np.eye(3) + (1 - changes.colour) * GREY)
    if changes.blur_px is not None:
        result = cv2.GaussianBlur(result, (0, 0), changes.blur_px)
    if changes.noise is not None:
        result = cv2.add(result, changes.noise, dtype=cv2.CV_8U)
    if changes.quality is not None:
        _, file = cv2.imencode(".jpg", result, [cv2.IMWRITE_JPEG_QUALITY, changes.quality])
        result = np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR))
    return np.asarray(result, np.uint8)
