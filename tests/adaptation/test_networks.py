"""nano and Lotus checkpoints as learners: what they say is what the model predicts, before and after learning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lotus_recon.adaptation.config import AdaptationConfig, AdvancedAdaptation
from lotus_recon.adaptation.learning import Learning
from lotus_recon.adaptation.networks import Learner, NanoLearner, learner_of
from lotus_recon.adaptation.targets import Targets
from lotus_recon.models import load_model
from lotus_recon.models.base import ModelOptions
from lotus_recon.types import DepthKind
from tests.models.toys import write_checkpoint

LOTUS = ModelOptions(task="depth", depth_space="disparity", processing_res=64)


def photos_for(learner: Learner, count: int = 3) -> list[Targets]:
    """Photos whose inverse depth is what the network says, bent by a fifth from left to right."""
    size = learner.size(48, 64)
    photos = []
    for seed in range(count):
        blobs = np.random.default_rng(seed).integers(0, 256, (6, 8, 3)).astype(np.uint8)
        image = np.asarray(Image.fromarray(blobs).resize(size[::-1], Image.Resampling.BICUBIC))
        bend = 1 + 0.2 * np.cos(2 * np.pi * np.indices(size)[1] / size[1])
        near = (2 + values_of(learner, image)) * bend
        aside = np.indices(size)[0] % 10 == 0
        photos.append(Targets(image, (1 / near).astype(np.float32), np.ones(size, np.float32), aside, 0))
    return photos


@pytest.fixture(params=["nano", "D", "G"])
def learner(request: pytest.FixtureRequest, tmp_path: Path) -> Learner:
    if request.param == "nano":
        return learner_of("nano", ModelOptions(processing_res=64), "cpu", "auto", rank=4)
    folder = write_checkpoint(tmp_path / "lotus", in_channels=8 if request.param == "G" else 4, spread=0.5)
    return learner_of(str(folder), LOTUS, "cpu", "auto", rank=4)


def values_of(learner: Learner, image: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1
        return learner.values(pixels)[0].numpy()


def test_it_learns_and_predicts_what_it_learnt(learner: Learner, tmp_path: Path) -> None:
    photos = photos_for(learner)
    came = [weight.detach().clone() for weight in learner.parameters()]
    before = values_of(learner, photos[0].image)
    size, steps = (3e-4, 200) if isinstance(learner, NanoLearner) else (1e-2, 40)
    settings = AdvancedAdaptation(step_size=size, photos_per_step=2, hold=0.0)
    run = Learning(learner, photos, AdaptationConfig(adapt_steps=steps, advanced=settings), seed=0)
    learnt = run.run(tmp_path / "learning.pt")
    assert learnt is not None
    assert learnt.error_after < learnt.error_before
    assert any(not torch.equal(a, b) for a, b in zip(came, learner.parameters(), strict=True))
    after = values_of(learner, photos[0].image)
    assert np.abs(after - before).max() > 1e-3

    model = learner.model()
    assert model.tasks == ("depth",)
    image = photos[0].image
    predicted = model.predict(image).depth
    assert predicted is not None
    assert predicted.kind is DepthKind.AFFINE_DISPARITY
    if not isinstance(learner, NanoLearner):  # whose values on such pictures lie beyond what the model clips
        np.testing.assert_allclose(predicted.values, after / 2 + 0.5, atol=2e-3)

    learner.save(tmp_path / "model")
    loaded = load_model(str(tmp_path / "model"), "cpu")
    again = loaded.predict(image).depth
    assert again is not None
    np.testing.assert_allclose(again.values, predicted.values, atol=5e-3)  # nano is stored in half precision


def test_of_a_lotus_checkpoint_only_small_matrices_learn(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "lotus", spread=0.5)
    learner = learner_of(str(folder), LOTUS, "cpu", "auto", rank=2)
    names = [tuple(weight.shape) for weight in learner.parameters()]
    assert names
    assert all(2 in shape for shape in names)


def test_the_loss_passes_gradients_to_every_weight(learner: Learner) -> None:
    """Also through the decoder of Lotus; LoRA starts with one factor at zero, so the other has no gradient yet."""
    image = torch.from_numpy(photos_for(learner, 1)[0].image).permute(2, 0, 1)[None].float() / 127.5 - 1
    (learner.values(image) - 2).square().mean().backward()
    with_gradient = [weight.grad is not None and bool(weight.grad.abs().sum() > 0) for weight in learner.parameters()]
    assert np.mean(with_gradient) >= 0.4
