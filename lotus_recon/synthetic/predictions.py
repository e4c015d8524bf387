"""Stand-ins for the predictions of a network: the truth of a rendered view with errors like those of one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.geometry.normals import normalized
from lotus_recon.synthetic.renderer import SyntheticView
from lotus_recon.types import Camera, DepthKind, DepthMap, NormalMap, Prediction

NOTE = "These predictions are not the output of a network: they are true depth and normals with noise."


@dataclass(frozen=True)
class PredictionNoise:
    """How wrong a stand-in is; all root mean squares."""

    depth_smooth: float = 0.02  # relative error of depth that varies slowly over the image
    depth_pixel: float = 0.001  # relative error of depth, independent from pixel to pixel
    normal_smooth_deg: float = 4.5  # angle that varies slowly over the image
    normal_pixel_deg: float = 0.5  # angle independent from pixel to pixel
    bumps: int = 6  # slow variation: about this many bumps along the longer edge


def noisy_prediction(view: SyntheticView, seed: int, noise: PredictionNoise | None = None) -> Prediction:
    """Affine disparity of unknown scale and shift, and normals, from the truth of ``view``; repeatable per ``seed``.

    Where the view shows no surface both are invalid.
    """
    noise = noise or PredictionNoise()
    random = np.random.default_rng(seed)
    depth = _affine_disparity(view.depth, noise, random)
    normals = _normals(view.normals, view.camera, noise, random)
    return Prediction(depth, normals, {"model": "noisy-truth", "seed": seed, "note": NOTE})


def _affine_disparity(truth: DepthMap, noise: PredictionNoise, random: np.random.Generator) -> DepthMap:
    shape = truth.shape
    relative = noise.depth_smooth * smooth_field(shape, noise.bumps, random)
    relative += noise.depth_pixel * random.standard_normal(shape)
    disparity = np.exp(-relative) / np.where(truth.valid, truth.values, 1.0)
    far, near = np.percentile(disparity[truth.valid], (1, 99)) if truth.valid.any() else (0.0, 1.0)
    # Between about 0.1 and 0.9, like the output of a network, with a scale and a shift that nobody is told.
    scale, shift = random.uniform(0.55, 0.8) / (near - far), random.uniform(0.08, 0.18)
    raw = scale * (disparity - far) + shift
    return DepthMap(raw.astype(np.float32), truth.valid, DepthKind.AFFINE_DISPARITY)


def _normals(truth: NormalMap, camera: Camera, noise: PredictionNoise, random: np.random.Generator) -> NormalMap:
    smooth = np.stack([smooth_field(truth.shape, noise.bumps, random) for _ in range(3)], axis=-1)
    pixel = random.standard_normal((*truth.shape, 3))
    # A vector with independent parts of size s turns a unit vector by s * sqrt(2): only two of the three act.
    turn = np.radians(noise.normal_smooth_deg) * smooth + np.radians(noise.normal_pixel_deg) * pixel
    turned = _kept_facing(normalized(truth.values + turn / np.sqrt(2)), camera)
    return NormalMap(turned.astype(np.float32), truth.valid)


def _kept_facing(normals: NDArray[np.float64], camera: Camera) -> NDArray[np.float64]:
    """Normals that noise turned away from the camera, laid back to just grazing: nobody sees a surface from behind."""
    rays = normalized(rays_in_cam(camera))
    excess = np.maximum((normals * rays).sum(-1, keepdims=True) + 0.02, 0)
    return normalized(normals - excess * rays)


def smooth_field(shape: tuple[int, int], bumps: int, random: np.random.Generator) -> NDArray[np.float64]:
    """(H, W) smooth random field, mean 0 and rms 1, with about ``bumps`` bumps along the longer edge."""
    spacing = max(shape) / bumps
    margin = 2  # cubic interpolation near the border
    grid_shape = [int(np.ceil(side / spacing)) + 1 + 2 * margin for side in shape]
    grid = random.standard_normal(grid_shape)
    rows, columns = (np.arange(side) / spacing + margin for side in shape)
    field = ndimage.map_coordinates(grid, np.meshgrid(rows, columns, indexing="ij"), order=3)
    centered = field - field.mean()
    return np.asarray(centered / np.sqrt((centered**2).mean()))
