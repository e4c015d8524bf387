"""Learning a scene: a smooth error is recovered, noise is not learnt, and an interruption changes nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lotus_recon.adaptation import learning
from lotus_recon.adaptation.config import AdaptationConfig, AdvancedAdaptation
from lotus_recon.adaptation.learning import Learning, robust_fit
from lotus_recon.types import FloatArray
from tests.adaptation.toys import ToyLearner, known_photos, smooth_field, true_values

FAST = AdaptationConfig(adapt_steps=200, advanced=AdvancedAdaptation(step_size=0.01, photos_per_step=3))


def error_everywhere(learner: ToyLearner) -> float:
    """Mean relative error of inverse depth at all pixels, known or not, after scale and shift."""
    errors = []
    for photo in known_photos(6, 0.1):
        truth = torch.from_numpy(true_values(photo)).float()[None]
        image = torch.from_numpy(photo.image).permute(2, 0, 1)[None].float() / 127.5 - 1
        fitted = robust_fit(learner.values(image).detach(), truth, torch.ones_like(truth))
        errors.append(float((fitted / truth - 1).abs().mean()))
    return float(np.mean(errors))


def learn(learner: ToyLearner, tmp_path: Path, noise: float = 0.0) -> learning.Learnt:
    learnt = Learning(learner, known_photos(6, 0.1, noise), FAST, seed=0).run(tmp_path / "learning.pt")
    assert learnt is not None
    return learnt


def test_a_smooth_error_is_recovered_where_nothing_is_known(tmp_path: Path) -> None:
    learner = ToyLearner(smooth_field())
    before = error_everywhere(learner)
    learnt = learn(learner, tmp_path)
    assert before > 0.04
    assert error_everywhere(learner) < 0.25 * before
    assert learnt.error_after < 0.3 * learnt.error_before


def test_noise_is_not_learnt(tmp_path: Path) -> None:
    learner = ToyLearner(np.ones((4, 4)))
    learnt = learn(learner, tmp_path, noise=0.5)
    assert learnt.error_after > 0.9 * learnt.error_before  # the stage keeps the network that came
    assert error_everywhere(learner) < 0.05


def test_it_stops_when_what_is_kept_aside_gets_no_better_and_keeps_the_best(tmp_path: Path) -> None:
    learner = ToyLearner(np.ones((4, 4)))  # nothing to learn
    learnt = learn(learner, tmp_path)
    assert learnt.steps < FAST.adapt_steps  # type: ignore[operator]
    assert learnt.error_after <= learnt.error_before
    assert learn(ToyLearner(np.ones((4, 4))), tmp_path) == learnt  # also of a run that was killed after that
    if learnt.best_step == 0:
        assert learner.field.detach().abs().max() == 0


def test_what_is_kept_aside_is_not_learnt_from(tmp_path: Path) -> None:
    """With depth kept aside made wrong, the network becomes the same until it would stop."""
    fields: list[FloatArray] = []
    for factor in (1.0, 3.0):
        photos = known_photos(6, 0.1)
        for photo in photos:
            photo.depth[photo.aside] *= factor
        learner = ToyLearner(smooth_field())
        run = Learning(learner, photos, AdaptationConfig(adapt_steps=15, advanced=FAST.advanced), seed=0)
        for step in range(15):
            run._learn(step)
        fields.append(learner.field.detach().numpy().copy())
    np.testing.assert_array_equal(fields[0], fields[1])


def test_an_interrupted_adaptation_ends_as_an_undisturbed_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed = ToyLearner(smooth_field())
    learn(undisturbed, tmp_path / "a")
    step_of = Learning._learn

    def killed(self: Learning, step: int) -> None:
        if step == 47:
            raise KeyboardInterrupt
        step_of(self, step)

    monkeypatch.setattr(Learning, "_learn", killed)
    with pytest.raises(KeyboardInterrupt):
        learn(ToyLearner(smooth_field()), tmp_path / "b")
    monkeypatch.setattr(Learning, "_learn", step_of)
    resumed = ToyLearner(smooth_field())
    learn(resumed, tmp_path / "b")
    assert torch.equal(resumed.field, undisturbed.field)


def test_too_slow_leaves_the_network_as_it_came(tmp_path: Path) -> None:
    learner = ToyLearner(smooth_field())
    assert Learning(learner, known_photos(6, 0.1), FAST, seed=0).run(tmp_path / "learning.pt", seconds=0.0) is None
    np.testing.assert_array_equal(learner.field.detach().numpy(), np.log(smooth_field()).astype(np.float32))


def test_the_fit_finds_scale_and_shift_among_wrong_depth() -> None:
    rng = np.random.default_rng(0)
    values = torch.from_numpy(rng.uniform(0, 1, (2, 20, 30))).float()
    target = torch.stack([3 * values[0] + 0.5, 0.2 * values[1] + 0.1])
    wrong = torch.from_numpy(rng.random(target.shape) < 0.3)
    fitted = robust_fit(values, torch.where(wrong, 2 * target, target), torch.ones_like(target))
    assert float((fitted / target - 1).abs().max()) < 0.02


def test_values_stay_within_what_a_map_can_hold(tmp_path: Path) -> None:
    """The fit does not care for a scale, but a model clips what it predicts."""
    learner = ToyLearner(1.2 * smooth_field())
    photo = known_photos(1, 0.1)[0]
    image = torch.from_numpy(photo.image).permute(2, 0, 1)[None].float() / 127.5 - 1
    before = float((learner.values(image).detach() - 1).clamp_min(0).mean())
    learn(learner, tmp_path)
    after = float((learner.values(image).detach() - 1).clamp_min(0).mean())
    assert before > 1e-3
    assert after < 0.2 * before
