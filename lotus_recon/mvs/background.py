"""Backdrops and sky: uniform regions that reach the border of a photo, in which photos decide nothing."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, gaussian_filter, label

from lotus_recon.mvs.photos import gray_of
from lotus_recon.mvs.sources import Floats
from lotus_recon.types import BoolArray

Background = Literal["auto", "keep", "drop"]

_UNIFORM, _WINDOW_SIGMA_PX = 0.012, 2.0  # standard deviation of grey values (0 to 1) around a pixel, up to which
_RIM_PX = 4  # within which windows reach over the rim of a region
_BLACK, _WHITE = 0.06, 0.97  # grey values, below and above which a backdrop is as good as black or white
_DECIDED = 0.05  # share of a region that photos decide, from which it is a surface
_LEAST_SHARE = 0.01  # of the photo, that a region covers
_SKY_BRIGHTER, _SKY_FARTHER = 0.6, 0.9  # share of the other pixels that a sky is brighter than, and farther than
_BLUE = 0.03  # by which the blue of a sky exceeds its red


def background(
    rgb: NDArray[np.uint8], matched: BoolArray, shape: NDArray[np.float32] | None, rule: Background
) -> BoolArray:
    """(H, W) pixels of background, of a photo (H, W, 3).

    ``matched`` (H, W): pixels whose depth photos decide. ``shape`` (H, W): depth of a network, by which a grey sky is
    told from a ceiling; 0 or None where unknown. See ``MvsConfig.background`` for the rules.
    """
    found = np.zeros(matched.shape, bool)
    if rule == "keep":
        return found
    values = rgb.astype(np.float32) / np.float32(255)
    gray = gray_of(rgb)
    regions, _ = label(_uniform(gray))
    at_border = np.unique(np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]]))
    for number in at_border[at_border > 0]:
        region = regions == number
        if region.mean() < _LEAST_SHARE or matched[region].mean() > _DECIDED:
            continue
        if rule == "drop" or _is_plain(gray[region]) or _is_sky(region, values, gray, shape):
            found |= region
    return binary_dilation(found, iterations=_RIM_PX) & (found | ~matched)


def _uniform(gray: Floats) -> BoolArray:
    values = gray.astype(np.float64)
    mean = gaussian_filter(values, _WINDOW_SIGMA_PX)
    variance = gaussian_filter(values**2, _WINDOW_SIGMA_PX) - mean**2
    uniform: BoolArray = variance < _UNIFORM**2
    return uniform


def _is_plain(values: Floats) -> bool:
    middle = float(np.median(values))
    return middle < _BLACK or middle > _WHITE


def _is_sky(region: BoolArray, values: Floats, gray: Floats, shape: NDArray[np.float32] | None) -> bool:
    """Whether a region reaches the upper border, is brighter than most of the rest, and blue or farther than it."""
    rest = ~region
    if not region[0].any() or not rest.any() or (np.median(gray[region]) > gray[rest]).mean() < _SKY_BRIGHTER:
        return False
    red, _, blue = np.median(values[region], axis=0)
    return bool(blue - red > _BLUE) or (shape is not None and _is_farthest(region, shape))


def _is_farthest(region: BoolArray, shape: NDArray[np.float32]) -> bool:
    """Whether the network puts a region beyond nearly all else; the alignment puts a sky beyond all depth."""
    here, there = shape[region & (shape > 0)], shape[~region & (shape > 0)]
    if len(here) == 0 or len(there) == 0:
        return len(there) > 0
    return bool((np.median(here) > there).mean() > _SKY_FARTHER)
