"""What a camera makes of light: exposure, white balance, lens, noise and tone curve, different for every photo."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from lotus_recon.errors import InputError
from lotus_recon.geometry.camera import pixel_centers
from lotus_recon.io.srgb import srgb_of_linear
from lotus_recon.synthetic.rooms.lens import through_lens
from lotus_recon.synthetic.rooms.look import Look
from lotus_recon.types import DepthMap, FloatArray

_LUMA = np.array([0.2126, 0.7152, 0.0722])  # of linear sRGB (ITU-R BT.709)
# Automatic exposure: a compromise between mid grey for the median and just below white for the highlights. Bright
# windows may take this share of the light of the rest, not more: they burn out.
_MEDIAN_AIM, _HIGHLIGHT_PERCENTILE, _HIGHLIGHT_AIM = 0.16, 95, 0.85
_LEAST_SHARE = 0.5
_DARK = 1e-6  # radiance taken for black


def develop(
    radiance: FloatArray, seed: int, look: Look | None = None, depth: DepthMap | None = None
) -> NDArray[np.uint8]:
    """The photo (H, W, 3) that a camera takes of linear radiance (H, W, 3); the same seed gives the same photo.

    With the ``depth`` (metric, (H, W)) some photos are out of focus in parts. What the truth says stays right to within
    a pixel.
    """
    look, random = look or Look(), np.random.default_rng(seed)
    image = np.asarray(radiance, np.float64)
    if image.ndim != 3 or image.shape[2] != 3 or not np.isfinite(image).all():
        raise InputError(f"radiance of shape {image.shape}; allowed: (H, W, 3), all values finite")
    image = image * (_exposure(image) * 2 ** (look.exposure_stops * random.standard_normal()))
    image = through_lens(image, look, np.random.default_rng([seed, 1]), depth)
    image = _white_balanced(image, look, random)
    image = image * _vignette(image.shape[:2], look.vignetting * random.random())
    image = _blurred(image, look.blur_px * random.random())
    image = _noisy(image, look, random)
    encoded = srgb_of_linear(_filmic(image) if random.random() < look.filmic else image)
    graded = _graded(encoded, look, random)
    sharp = _sharpened(graded, look.sharpening * random.random())
    return np.asarray(np.round(255 * np.clip(sharp, 0, 1)), np.uint8)


def _exposure(image: NDArray[np.float64]) -> float:
    """Factor of automatic exposure; 1 for a black image."""
    luminance = image @ _LUMA
    if luminance.max() < _DARK:
        return 1.0
    median, highlight = np.maximum(np.percentile(luminance, (50, _HIGHLIGHT_PERCENTILE)), _DARK)
    for_median, for_highlight = _MEDIAN_AIM / median, _HIGHLIGHT_AIM / highlight
    return float(max(np.sqrt(for_median * for_highlight), _LEAST_SHARE * for_median))


def _white_balanced(image: NDArray[np.float64], look: Look, random: np.random.Generator) -> NDArray[np.float64]:
    mean = np.maximum(np.minimum(image, 1).mean((0, 1)), _DARK)
    gains = (float(mean @ _LUMA) / mean) ** (look.grey_world * np.sqrt(random.random()))
    gains[[0, 2]] *= np.exp(look.white_balance * random.standard_normal(2))
    return np.asarray(image * gains)


def _vignette(shape: tuple[int, ...], loss: float) -> NDArray[np.float64]:
    """(H, W, 1) share of the light that arrives: 1 in the middle, 1 - loss in the corners."""
    height, width = shape
    off_center = pixel_centers(height, width) - [width / 2, height / 2]
    share = (off_center**2).sum(-1, keepdims=True) / (width**2 / 4 + height**2 / 4)
    return np.asarray(1 - loss * share)


def _blurred(image: NDArray[np.float64], sigma_px: float) -> NDArray[np.float64]:
    return np.asarray(gaussian_filter(image, (sigma_px, sigma_px, 0), mode="nearest"))


def _noisy(image: NDArray[np.float64], look: Look, random: np.random.Generator) -> NDArray[np.float64]:
    """Noise of reading and of counting photons (variance grows with the signal), more of both at high sensitivity."""
    sensitivity = random.random() ** 2
    variance = look.read_noise**2 + look.shot_noise**2 * np.clip(image, 0, 1)
    return np.asarray(image + sensitivity * np.sqrt(variance) * random.standard_normal(image.shape))


def _filmic(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Soft shoulder and toe: Narkowicz's fit of the ACES curve, scaled so that mid grey stays where it is."""
    x = np.maximum(image, 0) * 0.75
    return np.asarray(x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14))


def _graded(encoded: NDArray[np.floating], look: Look, random: np.random.Generator) -> NDArray[np.float64]:
    contrast, saturation = 1 + np.array([look.contrast, look.saturation]) * random.uniform(-1, 1, 2)
    grey = (encoded @ _LUMA)[..., None]
    colored = grey + saturation * (encoded - grey)
    return np.asarray(0.5 + contrast * (colored - 0.5))


def _sharpened(encoded: NDArray[np.float64], amount: float) -> NDArray[np.float64]:
    return np.asarray(encoded + amount * (encoded - _blurred(encoded, 1.0)))
