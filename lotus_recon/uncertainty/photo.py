"""Error bars of the depth of a single photo: nothing calibrates them but rendered rooms and worlds.

The spread of an ensemble is no predictor here: on these renders it ranked errors worse than chance, as nearly all of an
error is what all members share.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lotus_recon.io.maps import save_maps
from lotus_recon.types import Camera, DepthMap, NormalMap
from lotus_recon.uncertainty.predictors import photo_predictors, shape_predictors
from lotus_recon.uncertainty.results import UncertaintyResult, ViewUncertainty
from lotus_recon.uncertainty.scale import learnt

FILE = "uncertainty.npz"
_EDGE_PX = (
    1024  # longer edge at which predictors are computed: they are smooth, and large photos would take much memory
)


def run(name: str, depth: DepthMap, normals: NormalMap | None, camera: Camera, out_dir: Path) -> UncertaintyResult:
    """Write uncertainty.npz with ``sigma`` (H, W) of ``depth``, relative to it and up to one factor, and its report."""
    predictors = predictors_of(depth, normals, camera)
    scale = learnt("photo", list(predictors))
    height, width = depth.shape
    of_pixels = cv2.resize(scale.of(predictors), (width, height), interpolation=cv2.INTER_LINEAR)
    sigma = np.where(depth.valid, of_pixels, 0).astype(np.float32)
    save_maps(out_dir / FILE, sigma=sigma)
    result = UncertaintyResult(out_dir, scale.rooms, (ViewUncertainty.of(name, sigma),))
    result.save()
    return result


def predictors_of(depth: DepthMap, normals: NormalMap | None, camera: Camera) -> dict[str, NDArray[np.float32]]:
    """All predictors that the maps (H, W) allow, at a longer edge of at most 1024 pixels."""
    step = max(1, -(-max(depth.shape) // _EDGE_PX))
    some = np.s_[step // 2 :: step, step // 2 :: step]
    small = DepthMap(depth.values[some], depth.valid[some], depth.kind)
    reduced = None if normals is None else NormalMap(normals.values[some], normals.valid[some])
    shape = shape_predictors(small, reduced, camera.resized(small.shape[1], small.shape[0]))
    return {**shape, **photo_predictors(small)}
