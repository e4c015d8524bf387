"""DTU scan 24 (Jensen et al., CVPR 2014) with the Omnidata depth and normals of MonoSDF for every third of 49 photos.

Facts: 384x384 photos, poses in millimetres, cues ``depth`` (larger is farther: affine depth) and ``normal`` (int8, unit
times 127, OpenCV axes). The background is saturated white and has no depth worth using.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lotus_recon.datasets.posed import Frame, read_camera_list, write_transforms
from lotus_recon.geometry.normals import normalized
from lotus_recon.io.images import read_rgb
from lotus_recon.io.maps import load_arrays, save_prediction
from lotus_recon.types import BoolArray, DepthKind, DepthMap, NormalMap, Prediction

PHOTOS = "images"
SIZE = (384, 384)
BACKGROUND = 245  # a pixel whose every channel is above this is background


def frames(source: Path) -> list[Frame]:
    """All 49 posed photos."""
    return read_camera_list(source / "cameras.json", *SIZE)


def foreground(rgb: NDArray[np.uint8]) -> BoolArray:
    """(H, W) True where a photo shows the object."""
    return np.asarray(rgb.min(axis=-1) <= BACKGROUND)


def write_poses(source: Path, out: Path) -> None:
    """Write the given poses as the ``transforms.json`` file ``out``."""
    write_transforms(frames(source), out)


def write_predictions(source: Path, out: Path) -> None:
    """Write the 17 cues as predictions ``out/<view>.npz``, valid on the object only."""
    for cue in sorted((source / "cues").glob("*.npz")):
        mask = foreground(read_rgb(source / PHOTOS / f"{cue.stem}.png"))
        arrays = load_arrays(cue)
        depth = DepthMap(arrays["depth"].astype(np.float32), mask, DepthKind.AFFINE)
        normals = normalized(arrays["normal"].astype(np.float64))
        normals_valid = mask & (np.abs(normals).sum(-1) > 0)
        prediction = Prediction(depth, NormalMap(normals.astype(np.float32), normals_valid), {"model": "omnidata"})
        save_prediction(out / f"{cue.stem}.npz", prediction)
