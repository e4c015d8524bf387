"""Synthetic SfM problems made by pycolmap, with photos that exist only as names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image  # noqa: F401  must come before pycolmap
import pycolmap

from lotus_recon.io.cameras import SourceCamera
from lotus_recon.io.images import Photo
from lotus_recon.sfm.images import CameraPrior, SfmImage

WIDTH, HEIGHT = 1024, 768


def synthesize(
    database_path: Path,
    views: int = 8,
    params: tuple[float, ...] = (1280.0, 512.0, 384.0, 0.05),
    model: str = "SIMPLE_RADIAL",
    noise_px: float = 0.0,
    points: int = 300,
) -> pycolmap.Reconstruction:
    """A scene of one camera whose database holds its features and matches; the same one every time."""
    pycolmap.set_random_seed(3)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_frames_per_rig, options.num_points3D = 1, views, points
    options.camera_model_id = pycolmap.CameraModelId.__members__[model]
    options.camera_params = list(params)
    options.camera_width, options.camera_height = WIDTH, HEIGHT
    database = pycolmap.Database.open(str(database_path))
    truth = pycolmap.synthesize_dataset(options, database)
    if noise_px:
        noise = pycolmap.SyntheticNoiseOptions()
        noise.point2D_stddev = noise_px
        pycolmap.synthesize_noise(noise, truth, database)
    database.close()
    return truth


def images_of(truth: pycolmap.Reconstruction, fixed: bool = False) -> list[SfmImage]:
    """Shots for the images of a synthetic scene; the photos behind them do not exist."""
    camera = SourceCamera.of_colmap(next(iter(truth.cameras.values())))
    prior = CameraPrior(camera, has_prior=True, fixed=fixed)
    return [
        SfmImage(image_id, Photo(Path(image.name), image.name), WIDTH, HEIGHT, image.camera_id, prior)
        for image_id, image in sorted(truth.images.items())
    ]


def poses_of(model: pycolmap.Reconstruction) -> dict[str, np.ndarray]:
    """cam_from_world (4, 4) of every registered image by name."""
    images = [model.image(i) for i in model.reg_image_ids()]
    return {image.name: np.vstack([image.cam_from_world().matrix(), [0, 0, 0, 1]]) for image in images}


def render_photos(folder: Path, views: int = 8, size: tuple[int, int] = (WIDTH, HEIGHT)) -> pycolmap.Reconstruction:
    """Write photos of a synthetic scene (radial distortion) into ``folder``; the same ones every time. The truth."""
    folder.mkdir(parents=True)
    pycolmap.set_random_seed(0)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_frames_per_rig, options.num_points3D = 1, views, 250
    options.camera_width, options.camera_height = size
    options.camera_params = [1.25 * size[0], size[0] / 2, size[1] / 2, 0.05]
    truth = pycolmap.synthesize_dataset(options)
    pycolmap.synthesize_images(pycolmap.SyntheticImageOptions(), truth, str(folder))
    return truth
