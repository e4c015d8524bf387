"""What is made on the training device, run on CPU tensors, beside what OpenCV and numpy make of the same draws."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lotus_recon.datasets.samples import Sample
from lotus_recon.errors import InputError
from lotus_recon.training.augmentation import Draw, Recolouring, augmented, draw, drawn_colours, recoloured
from lotus_recon.training.config import DataConfig, ObjectiveConfig
from lotus_recon.training.device_colours import recoloured as recoloured_on_device
from lotus_recon.training.device_examples import device_batch, device_example
from lotus_recon.training.device_framing import DeviceSample
from lotus_recon.training.examples import example, stacked
from lotus_recon.training.framing import Box
from lotus_recon.training.task_module import Batch

BOTH = ObjectiveConfig(tasks=["depth", "normal"])
CPU = torch.device("cpu")


def scene(seed: int, height: int = 90, width: int = 120) -> Sample:
    """A smooth surface with a step and a hole, sky above, and a photo with all kinds of frequencies."""
    rng = np.random.default_rng(seed)
    row, col = np.indices((height, width))
    depth = (2 + 0.01 * col + 0.5 * np.sin(row / 9) + 3 * (col > 70)).astype(np.float32)
    sky = row < 12
    valid = ~sky & ((row - 50) ** 2 + (col - 30) ** 2 > 60)
    normals = np.stack([0.4 * np.sin(col / 7), 0.4 * np.cos(row / 5), -np.ones((height, width))], -1)
    normals = (normals / np.linalg.norm(normals, axis=-1, keepdims=True)).astype(np.float32)
    normals[~valid] = np.nan
    coarse = cv2.resize(rng.integers(0, 256, (9, 12, 3), np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
    rgb = np.clip(coarse.astype(int) + rng.integers(-8, 9, (height, width, 3)), 0, 255).astype(np.uint8)
    return Sample(f"scene{seed}", rgb, np.where(valid, depth, np.nan).astype(np.float32), valid, sky, normals, valid)


def both_ways(samples: list[Sample], draws: list[Draw], objective: ObjectiveConfig) -> tuple[Batch, Batch]:
    pairs = list(zip(samples, draws, strict=True))
    on_cpu = stacked([example(augmented(sample, drawn), objective, 0) for sample, drawn in pairs])
    items = [device_example(DeviceSample.of(sample, CPU), drawn, objective, 0) for sample, drawn in pairs]
    return on_cpu, device_batch(items, objective)


@pytest.mark.parametrize("size", [(64, 48), (120, 90), (200, 152), (48, 64)])
@pytest.mark.parametrize("normalization", ["trunc_disparity", "truncnorm"])
def test_frames_and_targets_are_those_of_the_cpu(size: tuple[int, int], normalization: str) -> None:
    config = DataConfig(smallest_crop=0.5)
    samples = [scene(seed) for seed in range(6)]
    draws = [draw((90, 120), *size, config, np.random.default_rng(seed)) for seed in range(6)]
    assert {drawn.mirror for drawn in draws} == {True, False}
    objective = replace(BOTH, depth_normalization=normalization)  # type: ignore[arg-type]
    expected, batch = both_ways(samples, draws, objective)
    # Bytes: OpenCV interpolates in fixed point. Elsewhere only the order of sums differs.
    assert (batch.image - expected.image).abs().max() <= 1.01 / 127.5
    assert (batch.image != expected.image).float().mean() < 0.2
    for task in ("depth", "normal"):
        assert torch.equal(batch.valid[task], expected.valid[task])
        torch.testing.assert_close(batch.annotation[task], expected.annotation[task], rtol=0, atol=3e-6)
    assert batch.depth is not None
    assert expected.depth is not None
    torch.testing.assert_close(batch.depth, expected.depth, rtol=1e-6, atol=0)
    assert (batch.names, batch.seeds) == (expected.names, expected.seeds)


@pytest.mark.parametrize(
    ("name", "most_in_mean", "most"),
    [
        ("light", 0.02, 1),
        ("table", 0.0, 0),
        ("colour", 0.05, 1),
        ("blur_px", 0.2, 1),
        ("noise", 0.01, 1),
        ("quality", 1.0, 24),  # libjpeg has chroma in integers: coefficients near a tie come out as the next one
    ],
)
def test_each_change_of_colour_is_that_of_opencv(name: str, most_in_mean: float, most: int) -> None:
    photos, changes = [], []
    for seed in range(60):
        change = getattr(drawn_colours((88, 120, 3), 1, np.random.default_rng(seed)), name)
        if change is not None:
            photos.append(scene(seed, 88, 120).rgb)
            changes.append(Recolouring(**{name: change}))
    expected = np.stack([recoloured(rgb, change) for rgb, change in zip(photos, changes, strict=True)])
    error = np.abs(by_device(photos, changes).astype(int) - expected)
    assert error.mean() <= most_in_mean
    assert error.max() <= most
    assert error.mean() < 0.2 * np.abs(expected.astype(int) - np.stack(photos)).mean()


def by_device(photos: list[NDArray[np.uint8]], changes: list[Recolouring]) -> NDArray[np.uint8]:
    images = torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2)
    return recoloured_on_device(images, changes).permute(0, 2, 3, 1).numpy()


def test_a_sample_does_not_depend_on_its_batch() -> None:
    photos = [scene(seed).rgb for seed in range(8)]
    changes = [drawn_colours((90, 120, 3), 1, np.random.default_rng(seed)) for seed in range(8)]
    alone = [by_device([rgb], [change])[0] for rgb, change in zip(photos, changes, strict=True)]
    np.testing.assert_array_equal(by_device(photos, changes), np.stack(alone))


def test_what_a_sample_lacks_is_masked_out() -> None:
    sample = replace(scene(0), normals=None, normals_valid=None, sky=None)
    drawn = draw((90, 120), 64, 48, DataConfig(), np.random.default_rng(0))
    expected, batch = both_ways([sample], [drawn], BOTH)
    assert not batch.valid["normal"].any()
    assert torch.equal(batch.annotation["normal"], torch.zeros_like(batch.annotation["normal"]))
    assert torch.equal(batch.valid["depth"], expected.valid["depth"])


def test_flat_maps_become_zero() -> None:
    flat = replace(scene(0), depth=np.full((90, 120), 3, np.float32), depth_valid=np.ones((90, 120), bool), sky=None)
    drawn = draw((90, 120), 120, 90, DataConfig(flip=False), np.random.default_rng(0))
    expected, batch = both_ways([flat], [drawn], BOTH)
    assert torch.equal(batch.annotation["depth"], expected.annotation["depth"])
    assert (batch.annotation["depth"] == 0).all()


def test_a_part_without_a_valid_pixel_is_refused() -> None:
    drawn = Draw(Box(0, 0, 120, 10), 24, 16, False, Recolouring())
    with pytest.raises(InputError, match="scene0: no valid pixel of depth or normal"):
        device_example(DeviceSample.of(scene(0), CPU), drawn, BOTH, 0)
