"""Oracles: what the official code computed with the same weights, the schedule's algebra, hand-written masks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from lotus_recon.models.lotus import LotusModel
from lotus_recon.training.objective import lotus_losses


@pytest.mark.parametrize(("name", "task"), [("depth-g", "depth"), ("normal-d", "normal")])
def test_losses_and_gradient_agree_with_the_official_code(shared: Path, name: str, task: str) -> None:
    model = LotusModel.from_pretrained(shared / "parity" / f"tiny-lotus-{name}", task=task, device="cpu")
    official = json.loads((shared / "parity" / "training" / "losses.json").read_text())[name]
    with np.load(shared / "parity" / "training" / f"step-{name}.npz") as arrays:
        step = {key: torch.from_numpy(arrays[key]) for key in arrays}

    annotation, reconstruction = lotus_losses(
        model.parts,
        step["pixel_values"],
        step["annotation"],
        step["valid_mask"],
        step["sky_mask"],
        step["noise"],
        task,
    )
    (annotation + reconstruction).backward()
    gradients = [p.grad for p in model.parts.unet.parameters() if p.grad is not None]

    assert annotation.item() == pytest.approx(official["anno_loss"], rel=1e-5)
    assert reconstruction.item() == pytest.approx(official["rgb_loss"], rel=1e-5)
    norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
    assert norm.item() == pytest.approx(official["grad_norm"], rel=1e-4)
    assert all(p.grad is None for p in model.parts.vae.parameters())
