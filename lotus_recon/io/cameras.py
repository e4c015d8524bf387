"""Cameras and poses on disk: COLMAP models and nerfstudio ``transforms.json``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import PIL.Image  # noqa: F401  pycolmap before Pillow aborts the process when a PNG is saved later
import pycolmap
from numpy.typing import NDArray

from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.types import Camera


@dataclass(frozen=True)
class SourceCamera:
    """The camera of a photo as given (upright, not undistorted): a COLMAP camera model and its parameters in pixels."""

    model: str
    width: int
    height: int
    params: tuple[float, ...]

    def xy_of(self, camera: Camera) -> NDArray[np.float32]:
        """(H, W, 2) where in this photo each pixel centre of the undistorted ``camera`` lies."""
        colmap = pycolmap.Camera(model=self.model, width=self.width, height=self.height, params=list(self.params))
        rays = rays_in_cam(camera).reshape(-1, 3)
        xy = np.asarray(colmap.img_from_cam(rays), np.float32)
        return xy.reshape(camera.height, camera.width, 2)
