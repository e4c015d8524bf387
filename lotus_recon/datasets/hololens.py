"""A HoloLens RGB-D sequence (Duzceker et al., DeepVideoMVS, CVPR 2021): 47 photos, poses in metres, sensor depth.

Facts: 540x360 photos, depth as 16-bit millimetres registered to the photo, 0 where missing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lotus_recon.datasets.posed import Frame, read_camera_list, write_transforms
from lotus_recon.io.images import read_png16
from lotus_recon.io.maps import save_prediction
from lotus_recon.types import BoolArray, DepthKind, DepthMap, Prediction

PHOTOS = "images"
SIZE = (540, 360)
MIN_DEPTH_M = 0.1  # less is a hole
SCALE_RANGE = (0.2, 3.0)  # of the made-up affine disparity
SHIFT_RANGE = (-0.1, 0.5)


def frames(source: Path) -> list[Frame]:
    """All posed photos."""
    return read_camera_list(source / "cameras.json", *SIZE)


def sensor_depth(source: Path, name: str) -> tuple[NDArray[np.float32], BoolArray]:
    """Depth in metres (H, W) of the photo ``name`` and where the sensor saw something."""
    depth = read_png16(source / "depth" / name).astype(np.float32) / np.float32(1000)
    return np.asarray(depth, np.float32), np.asarray(depth > MIN_DEPTH_M)


def write_poses(source: Path, out: Path) -> None:
    """Write the given poses as the ``transforms.json`` file ``out``."""
    write_transforms(frames(source), out)


def write_predictions(source: Path, out: Path, seed: int = 0) -> None:
    """Write sensor depth as ``out/<view>.npz``: affine disparity with a random scale and shift per view."""
    rng = np.random.default_rng(seed)
    for frame in frames(source):
        depth, valid = sensor_depth(source, frame.view.name)
        scale, shift = rng.uniform(*SCALE_RANGE), rng.uniform(*SHIFT_RANGE)
        disparity = np.where(valid, scale / np.where(valid, depth, 1) + shift, 0).astype(np.float32)
        prediction = Prediction(DepthMap(disparity, valid, DepthKind.AFFINE_DISPARITY), None, {"model": "sensor"})
        save_prediction(out / f"{frame.view.stem}.npz", prediction)
