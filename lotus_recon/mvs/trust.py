"""Which of the network's maps to complete the depth of a view by: those that predict best what photos decide."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lotus_recon.mvs.completion import complete
from lotus_recon.mvs.guides import Guide
from lotus_recon.mvs.sources import Floats
from lotus_recon.types import BoolArray, Camera

_EVERY = 4  # pixels: where depth is smooth enough to be filled in, a quarter of the size shows how well
_CELLS = 12  # along the longer side; every third is left out
_FEWEST = 50  # pixels that can be compared


def trusted(guide: Guide, depth: Floats, matched: BoolArray, camera: Camera) -> Guide:
    """The guide without the maps by which ``matched`` depth (H, W) is filled in worse than without.

    Cells of matched depth are left out and filled in by normals and shape, by the shape, and by neither.
    """
    some = np.s_[_EVERY // 2 :: _EVERY, _EVERY // 2 :: _EVERY]
    height, width = matched[some].shape
    small_camera = camera.resized(width, height)
    row, col = np.indices((height, width)) * _CELLS // max(height, width)
    left_out = matched[some] & ((row + col) % 3 == 0)
    given = matched[some] & ~left_out
    if left_out.sum() < _FEWEST or given.sum() < _FEWEST:
        return guide
    candidates = [guide, replace(guide, normals=None), replace(guide, normals=None, depth=None)]
    errors = []
    for candidate in candidates:
        normals = None if candidate.normals is None else candidate.normals[some]
        shape = None if candidate.depth is None else candidate.depth[some]
        filled = complete(depth[some], given, small_camera, normals, shape, guide.allowed[some]).depth
        ratio = np.where(filled > 0, filled, np.inf)[left_out] / depth[some][left_out]
        errors.append(float(np.median(np.abs(ratio - 1))))
    return candidates[int(np.argmin(errors))]
