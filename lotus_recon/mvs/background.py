"""Backdrops and sky: uniform regions that reach the border of a photo, in which photos decide nothing."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, label

from lotus_recon.mvs.sources import Floats
from lotus_recon.types import BoolArray

Background = Literal["auto", "keep", "drop"]

_UNIFORM, _WINDOW_SIGMA_PX = 0.012, 2.0  # standard deviation of grey values (0 to 1) around a pixel, up to which
_BLACK, _WHITE = 0.06, 0.97  # grey values, below and above which a backdrop is as good as black or white
_DECIDED = 0.05  # share of a region that photos decide, from which it is a surface
_LEAST_SHARE = 0.01  # of the photo, that a region covers
_SKY_BRIGHTER, _SKY_FARTHER = 0.6, 0.9  # share of the other pixels that a sky is brighter than, and farther than


def background(gray: Floats, matched: BoolArray, shape: NDArray[np.float32] | None, rule: Background) -> BoolArray:
    """(H, W) pixels of background, of a photo ``gray`` (H, W; 0 to 1).

    ``matched`` (H, W): pixels whose depth photos decide. ``shape`` (H, W): depth of a network, by which a sky is told
    from a ceiling; 0 or None where unknown. See ``MvsConfig.background`` for the rules.
    """
    none = np.zeros(gray.shape, bool)
    if rule == "keep":
        return none
    regions, _ = label(_uniform(gray))
    at_border = np.unique(np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]]))
    found = none
    for number in at_border[at_border > 0]:
        region = regions == number
        if region.mean() < _LEAST_SHARE or matched[region].mean() > _DECIDED:
            continue
        if rule == "drop" or _is_plain(gray[region]) or _is_sky(region, gray, shape):
            found = found | region
    return found


def _uniform(gray: Floats) -> BoolArray:
    values = gray.astype(np.float64)
    mean = gaussian_filter(values, _WINDOW_SIGMA_PX)
    variance = gaussian_filter(values**2, _WINDOW_SIGMA_PX) - mean**2
    uniform: BoolArray = variance < _UNIFORM**2
    return uniform


def _is_plain(values: Floats) -> bool:
    middle = float(np.median(values))
    return middle < _BLACK or middle > _WHITE


def _is_sky(region: BoolArray, gray: Floats, shape: NDArray[np.float32] | None) -> bool:
    """Whether a region reaches the upper border, is brighter than most of the rest, and farther than nearly all."""
    rest = ~region
    if shape is None or not region[0].any() or not rest.any():
        return False
    here, there = shape[region & (shape > 0)], shape[rest & (shape > 0)]
    if len(here) == 0 or len(there) == 0:
        return len(here) == 0 and len(there) > 0  # the alignment puts a sky beyond all depth
    brighter = (np.median(gray[region]) > gray[rest]).mean() > _SKY_BRIGHTER
    return bool(brighter and (np.median(here) > there).mean() > _SKY_FARTHER)
