"""From a problem to one of half the size, and from its surface back: where large maps start from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lotus_recon.integration.checks import Problem
from lotus_recon.integration.pixels import PixelGraph
from lotus_recon.integration.planes import Steps


def halved(problem: Problem) -> Problem:
    """The problem on blocks of 2x2 pixels: means of what lies in the mask."""
    mask = problem.mask
    usable = mask & problem.usable
    block_mask = _sum(mask.astype(float)) > 0
    block_usable = _sum(usable.astype(float)) > 0
    summed = np.stack([_sum(np.where(usable, problem.normals[..., i], 0.0)) for i in range(3)], axis=-1)
    length = np.linalg.norm(summed, axis=-1)
    block_usable &= length > 1e-6
    normals = np.where(block_usable[..., None], summed / np.maximum(length, 1e-12)[..., None], [0.0, 0.0, -1.0])
    unit = 0.5 if problem.K is None else 1.0  # orthographic depth is counted in pixels
    return replace(
        problem,
        mask=block_mask,
        normals=normals,
        usable=block_usable,
        K=None if problem.K is None else np.diag([0.5, 0.5, 1.0]) @ problem.K,
        confidence=_mean(problem.confidence, mask),
        prior=unit * _mean(problem.prior, np.isfinite(problem.prior)),
        prior_weight=_mean(problem.prior_weight, mask),
        anchors=unit * _mean(problem.anchors, np.isfinite(problem.anchors)),
    )


def doubled(
    unknown: NDArray[np.float64], coarse: PixelGraph, steps: Steps, fine: PixelGraph, perspective: bool
) -> NDArray[np.float64]:
    """(P,) the surface ``unknown`` of the half-size graph at the pixels of ``fine``: each block as the plane it is."""
    index = coarse.image(np.arange(len(coarse)), -1)
    block = index[fine.rows // 2, fine.cols // 2]
    value = unknown[block]
    for axis, place in ((0, fine.cols), (1, fine.rows)):  # a quarter of a block from its middle
        value = value + np.where(place % 2 == 1, steps.ahead[axis, block], steps.behind[axis, block]) / 2
    return value if perspective else 2 * value


def _sum(image: NDArray[np.float64]) -> NDArray[np.float64]:
    height, width = image.shape
    padded = np.pad(image, ((0, height % 2), (0, width % 2)))
    return padded.reshape(-(-height // 2), 2, -(-width // 2), 2).sum((1, 3))


def _mean(image: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean over what is known; NaN where nothing is, if the image has NaN there, else 0."""
    count = _sum(known.astype(float))
    empty = np.nan if np.isnan(image).any() else 0.0
    return np.where(count > 0, _sum(np.where(known, image, 0.0)) / np.maximum(count, 1), empty)
