"""Disparity sharpened by the photo, on shapes whose edges are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from lotus_recon.models import tensors
from lotus_recon.models.nano.sharpening import sharpened

NEAR, FAR = 0.8, 0.3
HEIGHT, WIDTH = 48, 64


def disc(scale: int = 1, radius: float = 14.0, shift: float = 0.0) -> np.ndarray:
    """(H, W) bool, ``scale`` times as large as the network's image; ``shift`` of its pixels to the right."""
    v, u = (np.indices((HEIGHT * scale, WIDTH * scale)) + 0.5) / scale
    return np.hypot(u - WIDTH / 2 - shift, v - HEIGHT / 2) < radius


def photo_of(mask: np.ndarray) -> torch.Tensor:
    """(1, 3, H, W) with noise: a red disc before green."""
    colors = np.where(mask, np.array([0.5, -0.4, -0.4])[:, None, None], np.array([-0.5, 0.2, -0.3])[:, None, None])
    noise = np.random.default_rng(0).normal(0, 0.02, colors.shape)
    return torch.from_numpy((colors + noise).astype(np.float32))[None]


def map_of(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32))[None, None]


def blurred(mask: np.ndarray) -> torch.Tensor:
    return map_of(gaussian_filter(np.where(mask, NEAR, FAR), 1.5))


@pytest.mark.parametrize("scale", [1, 2, 5])
def test_the_edges_become_steps_where_the_photo_has_them(scale: int) -> None:
    truth = disc(scale)
    photo, pixels = photo_of(truth), photo_of(disc())
    found = sharpened(blurred(disc(shift=0.5)), pixels, photo)[0, 0].numpy()
    expected = np.where(truth, NEAR, FAR)
    left = tensors.resize(blurred(disc(shift=0.5)), *truth.shape)[0, 0].numpy()
    assert found.shape == truth.shape
    wrong, before = (np.abs(values - expected) > 0.1 for values in (found, left))
    assert wrong.mean() < 0.1 * before.mean()
    between = (found > FAR + 0.12) & (found < NEAR - 0.12)
    assert between.mean() < 0.005


def test_what_has_no_edge_stays_as_it_is() -> None:
    """A slope that is as steep as a floor's, below a photo full of edges."""
    slope = map_of(np.broadcast_to(np.linspace(0, 1, 96), (64, 96)))
    noise = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert torch.equal(sharpened(slope, noise, noise), slope)
    larger = torch.rand(1, 3, 160, 240, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert torch.equal(sharpened(slope, noise, larger), tensors.resize(slope, 160, 240))


def test_photos_of_a_batch_do_not_touch_each_other() -> None:
    masks = [disc(3), disc(3, radius=8, shift=12)]
    small = [disc(), disc(radius=8, shift=12)]
    maps, pixels, photos = (
        torch.cat(parts)
        for parts in zip(
            *((blurred(s), photo_of(s), photo_of(m)) for s, m in zip(small, masks, strict=True)), strict=True
        )
    )
    together = sharpened(maps, pixels, photos)
    alone = [sharpened(maps[[i]], pixels[[i]], photos[[i]]) for i in range(2)]
    assert torch.equal(together, torch.cat(alone))


def test_a_photo_smaller_than_what_the_network_sees() -> None:
    truth = disc()
    found = sharpened(tensors.resize(blurred(disc()), 2 * HEIGHT, 2 * WIDTH), photo_of(disc(2)), photo_of(truth))
    assert found.shape == (1, 1, HEIGHT, WIDTH)
    assert (np.abs(found[0, 0].numpy() - np.where(truth, NEAR, FAR)) > 0.1).mean() < 0.005
