"""Oracle: what the official code computed with the same weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lotus_recon.models.lotus import LotusModel
from lotus_recon.models.lotus.parts import load_parts

TOLERANCE = 1e-4


@pytest.mark.parametrize("case", [0, 1, 2])
@pytest.mark.parametrize(("name", "task"), [("depth-g", "depth"), ("normal-d", "normal")])
def test_raw_agrees_with_the_official_code(shared: Path, name: str, task: str, case: int) -> None:
    model = LotusModel.from_pretrained(shared / "parity" / f"tiny-lotus-{name}", task=task, device="cpu")
    official = np.load(shared / "parity" / "official" / f"{name}-{case}.npz")
    edge = int(official["processing_res"])

    raw = model.raw(official["rgb"], processing_res=edge, noise=official["latents"], resize_back=False)

    assert raw.shape == official["output_processing_res"].shape
    assert np.abs(raw - official["output_processing_res"]).max() < TOLERANCE
    # The official code goes back to the size of the photo by nearest neighbour; so does this comparison.
    channels_first = torch.from_numpy(raw).permute(2, 0, 1)[None]
    height, width = official["rgb"].shape[:2]
    nearest = torch.nn.functional.interpolate(channels_first, (height, width), mode="nearest-exact")
    assert np.abs(nearest[0].permute(1, 2, 0).numpy() - official["output"]).max() < TOLERANCE


@pytest.mark.parametrize(("name", "task"), [("depth-g", "depth"), ("normal-d", "normal")])
def test_bfloat16_is_off_by_a_hundredth_of_the_range_in_the_mean(shared: Path, name: str, task: str) -> None:
    """Its largest errors are 0.04 to 0.18: too much for a default, hence --dtype bfloat16."""
    folder = shared / "parity" / f"tiny-lotus-{name}"
    single = LotusModel.from_pretrained(folder, task=task, device="cpu")
    parts = load_parts(folder, single.metadata, torch.device("cpu"), torch.bfloat16)
    official = np.load(shared / "parity" / "official" / f"{name}-0.npz")
    edge = int(official["processing_res"])
    raw = LotusModel("half", parts, single.metadata, edge).raw(
        official["rgb"], noise=official["latents"], resize_back=False
    )
    assert np.abs(raw - official["output_processing_res"]).mean() < 1e-2


def test_resizing_back_is_bilinear(shared: Path) -> None:
    model = LotusModel.from_pretrained(shared / "parity" / "tiny-lotus-normal-d", task="normal", device="cpu")
    official = np.load(shared / "parity" / "official" / "normal-d-2.npz")
    rgb = official["rgb"][:64, :96]
    half = model.raw(rgb, processing_res=48, resize_back=False)
    back = model.raw(rgb, processing_res=48)
    # Twice the size: the pixel centres of the result lie a quarter between those of the network's map.
    expected = (9 * half[0, 0] + 3 * half[0, 1] + 3 * half[1, 0] + half[1, 1]) / 16
    assert half.shape == (32, 48, 3)
    assert back.shape == rgb.shape
    np.testing.assert_allclose(back[1, 1], expected, atol=1e-5)
