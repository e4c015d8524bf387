"""A network that is off by a smooth field, and photos whose depth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from lotus_recon.adaptation.targets import Targets
from lotus_recon.models.base import Model
from lotus_recon.types import DepthKind, FloatArray

SIZE = (48, 64)


class ToyLearner:
    """Says the brightness of a photo, times a field of 4 x 4 numbers that it can learn."""

    kind = DepthKind.AFFINE_DISPARITY
    device = torch.device("cpu")
    frozen = "nothing"

    def __init__(self, field: FloatArray) -> None:
        self.field = torch.nn.Parameter(torch.tensor(np.log(field), dtype=torch.float32))

    def size(self, height: int, width: int) -> tuple[int, int]:
        """See ``Learner``."""
        return SIZE

    def parameters(self) -> list[torch.nn.Parameter]:
        """See ``Learner``."""
        return [self.field]

    def values(self, images: torch.Tensor) -> torch.Tensor:
        """See ``Learner``."""
        smooth = functional.interpolate(self.field[None, None], images.shape[-2:], mode="bicubic", align_corners=True)
        return (images.mean(1) + 1) / 2 * smooth[:, 0].exp()

    def model(self) -> Model:
        """See ``Learner``."""
        raise AssertionError("the toy predicts nothing")

    def save(self, folder: Path) -> None:
        """See ``Learner``."""
        raise AssertionError("the toy is not saved")


def smooth_field() -> FloatArray:
    """(4, 4) about 1, 20 % up and down, and the same when mirrored: photos are mirrored to learn from."""
    half = np.exp(np.random.default_rng(2).uniform(-0.2, 0.2, (4, 2)))
    return np.concatenate([half, half[:, ::-1]], axis=1)


def known_photos(count: int, known: float, noise: float = 0.0) -> list[Targets]:
    """Photos as bright as their surface is near, a share ``known`` of whose depth is known, with relative noise."""
    photos = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        coarse = torch.from_numpy(rng.uniform(0.3, 0.9, (1, 1, 5, 6)))
        near = functional.interpolate(coarse, SIZE, mode="bicubic")[0, 0].clamp(0.2, 1).numpy()
        image = np.round(255 * np.stack([near] * 3, axis=-1)).astype(np.uint8)
        chosen = rng.random(SIZE) < known
        depth = np.where(chosen, np.exp(noise * rng.standard_normal(SIZE)) / near, 0).astype(np.float32)
        row, col = np.indices(SIZE) // 8
        photos.append(Targets(image, depth, (depth > 0).astype(np.float32), (row + col) % 5 == 0, 0))
    return photos


def true_values(photo: Targets) -> FloatArray:
    """(h, w) the inverse depth of a photo at every pixel."""
    return np.asarray(photo.image[..., 0] / 255.0)
