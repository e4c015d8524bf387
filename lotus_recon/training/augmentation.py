"""Samples cropped, resized, mirrored, and photos with other light, colours, sharpness and noise.

Geometry changes with the picture, colours do not touch it. All chance comes from the generator that is passed in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from lotus_recon.datasets.samples import Sample
from lotus_recon.training.config import DataConfig

_GREY = np.array([0.299, 0.587, 0.114])  # luma of Rec. 601, as in JPEG
_LEVELS = np.arange(256) / 255
_DISPLAY_GAMMA = 2.2


@dataclass(frozen=True)
class Box:
    """A part of a picture, in whole pixels."""

    left: int
    top: int
    width: int
    height: int


def augmented(sample: Sample, width: int, height: int, config: DataConfig, rng: np.random.Generator) -> Sample:
    """A sample at the size to train on: cropped, resized, perhaps mirrored, with other colours, as ``config`` says."""
    box = random_box(sample, width, height, config.smallest_crop, rng)
    result = resized(cropped(sample, box), width, height)
    if config.flip and rng.random() < 0.5:
        result = mirrored(result)
    if config.photometric > 0:
        result = replace(result, rgb=recoloured(result.rgb, config.photometric, rng))
    return result


def centred(sample: Sample, width: int, height: int) -> Sample:
    """A sample at the size to train on, without chance: the largest part with its proportions, from the middle."""
    return resized(cropped(sample, _box(sample, width, height, share=1, right=0.5, down=0.5)), width, height)


def random_box(sample: Sample, width: int, height: int, smallest_crop: float, rng: np.random.Generator) -> Box:
    """A part of a photo with the proportions of ``width`` x ``height``, at a random place.

    Its sides are ``smallest_crop`` to 1 times those of the largest such part. With 1 it is that part, from the middle.
    """
    if smallest_crop >= 1:
        return _box(sample, width, height, share=1, right=0.5, down=0.5)
    share, right, down = rng.uniform(smallest_crop, 1), rng.random(), rng.random()
    return _box(sample, width, height, share, right, down)


def _box(sample: Sample, width: int, height: int, share: float, right: float, down: float) -> Box:
    """The largest part with the given proportions, times ``share``; ``right`` and ``down`` in [0, 1] place it."""
    full_height, full_width = sample.rgb.shape[:2]
    scale = share * min(full_width / width, full_height / height)
    box_width, box_height = max(round(scale * width), 1), max(round(scale * height), 1)
    return Box(round(right * (full_width - box_width)), round(down * (full_height - box_height)), box_width, box_height)


def cropped(sample: Sample, box: Box) -> Sample:
    """The part ``box`` of a sample."""
    rows, columns = slice(box.top, box.top + box.height), slice(box.left, box.left + box.width)
    return _mapped(sample, lambda map_: map_[rows, columns])


def mirrored(sample: Sample) -> Sample:
    """A sample as seen in a mirror: left and right exchanged, also in the directions of the normals."""
    result = _mapped(sample, lambda map_: map_[:, ::-1])
    if result.normals is None:
        return result
    return replace(result, normals=result.normals * np.array([-1, 1, 1], np.float32))


def resized(sample: Sample, width: int, height: int) -> Sample:
    """A sample at another size. Colours are averaged or interpolated; geometry is that of the pixel each centre is in,
    so that no value is mixed across an edge and a pixel is valid only if its source is."""
    full_height, full_width = sample.rgb.shape[:2]
    if (full_width, full_height) == (width, height):
        return sample
    rows, columns = _sources(full_height, height), _sources(full_width, width)
    smaller = width * height < full_width * full_height
    rgb = cv2.resize(sample.rgb, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    return replace(_mapped(sample, lambda map_: map_[rows][:, columns]), rgb=np.asarray(rgb, np.uint8))


def _sources(source: int, target: int) -> NDArray[np.int64]:
    """(target,) index among ``source`` pixels of the one that each new pixel's centre is in."""
    return np.asarray((np.arange(target) + 0.5) * source / target, np.int64)


def _mapped(sample: Sample, change: Callable[[NDArray], NDArray]) -> Sample:
    """A sample with the same change made to all its maps."""
    maps = (sample.depth, sample.depth_valid, sample.sky, sample.normals, sample.normals_valid)
    return Sample(sample.name, change(sample.rgb), *(None if map_ is None else change(map_) for map_ in maps))


def recoloured(rgb: NDArray[np.uint8], strength: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A photo (H, W, 3) of the same scene in other light and from another camera. ``strength`` 1 is a strong change."""
    result: NDArray = np.ascontiguousarray(rgb)
    for change, probability in _CHANGES:
        if rng.random() < probability:
            result = change(result, strength, rng)
    return np.asarray(result, np.uint8)


def _shaded(rgb: NDArray, strength: float, rng: np.random.Generator) -> NDArray:
    """Light that is uneven over the picture."""
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
