"""Oracles: the official loss, overfitting, a network that knows the answer, the folder that it writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lotus_recon.errors import InputError
from lotus_recon.models.lotus import LotusModel, sampling
from lotus_recon.models.lotus.checkpoints import Metadata
from lotus_recon.models.lotus.network import noise_from_seed
from lotus_recon.models.lotus.parts import Parts
from lotus_recon.models.lotus.sampling import predict_latents
from lotus_recon.training.config import DataConfig, OptimizerConfig, SetConfig, VaeSize
from lotus_recon.training.lotus_module import LotusTaskModule
from lotus_recon.training.networks import starting_parts
from lotus_recon.training.objective import IMAGE, lotus_losses
from lotus_recon.training.task_module import Batch, Term
from lotus_recon.training.task_modules import make_task_module
from tests.models.toys import photo
from tests.training.lotus_toys import smooth_batch, tiny_config, write_stable_diffusion

CPU = torch.device("cpu")
BOTH = ["depth", "normal"]


def _task_module(mode: str = "D", **objective: Any) -> LotusTaskModule:
    module = make_task_module(tiny_config(mode, **objective), CPU)
    assert isinstance(module, LotusTaskModule)
    return module


def _loss(terms: dict[str, Term], counts: dict[str, float]) -> torch.Tensor:
    assert terms.keys() == counts.keys()
    return torch.stack([term.weight * term.total / counts[name] for name, term in terms.items()]).sum()


@pytest.mark.parametrize(("mode", "task"), [("D", "depth"), ("G", "normal")])
def test_loss_of_one_task_is_the_published_one(mode: str, task: str) -> None:
    module, batch = _task_module(mode, tasks=[task]), smooth_batch()
    drawn = [torch.randn((2, 4, 4, 6), generator=torch.Generator().manual_seed(seed)) for seed in batch.seeds]
    noise = torch.cat([torch.stack([rows[target] for rows in drawn]) for target in range(2)])
    no_sky = torch.zeros_like(batch.valid[task])
    published = lotus_losses(module.parts, batch.image, batch.annotation[task], batch.valid[task], no_sky, noise, task)
    loss = _loss(module.terms(module.network, batch), module.counts(batch))
    assert loss.item() == pytest.approx(sum(published).item(), rel=1e-5)  # type: ignore[union-attr]


def test_counts_are_latent_elements_of_valid_cells() -> None:
    # 32 x 48 pixels are 4 x 6 cells of 4 channels; 12 invalid columns touch 2 columns of cells of one sample.
    everything = 2 * 4 * 6 * 4
    assert _task_module(tasks=BOTH).counts(smooth_batch()) == {
        "depth": everything - 2 * 4 * 4,
        "normal": everything,
        IMAGE: everything,
    }
    assert _task_module(detail_preserver=False).counts(smooth_batch()) == {"depth": everything - 2 * 4 * 4}


@pytest.mark.parametrize("timesteps", ["single", "uniform"])
def test_terms_do_not_depend_on_the_batching(timesteps: str) -> None:
    module, batch = _task_module("G", tasks=BOTH, prediction_type="v_prediction", timesteps=timesteps), smooth_batch(3)
    together = module.terms(module.network, batch)
    alone = [module.terms(module.network, _one(batch, i)) for i in range(3)]
    for name, term in together.items():
        assert term.total.item() == pytest.approx(sum(terms[name].total.item() for terms in alone), rel=1e-4)


def _one(batch: Batch, i: int) -> Batch:
    only = slice(i, i + 1)
    maps = {task: values[only] for task, values in batch.annotation.items()}
    masks = {task: values[only] for task, values in batch.valid.items()}
    return Batch(batch.names[only], batch.image[only], maps, masks, batch.seeds[only])


def test_a_task_without_truth_adds_nothing() -> None:
    module, batch = _task_module(tasks=BOTH), smooth_batch()
    nowhere = {**batch.valid, "normal": torch.zeros_like(batch.valid["normal"])}
    batch = replace(batch, valid=nowhere)
    assert module.counts(batch)["normal"] == 0
    assert module.terms(module.network, batch)["normal"].total.item() == 0


def test_global_random_state_is_left_alone() -> None:
    module = _task_module("G", timesteps="uniform")
    before = torch.get_rng_state()
    module.terms(module.network, smooth_batch())
    module.predict([photo(32, 48)])
    assert torch.equal(torch.get_rng_state(), before)


def test_gradients_reach_the_network_given_and_nothing_else() -> None:
    module = _task_module()

    class Wrapped(torch.nn.Module):
        def __init__(self, module: torch.nn.Module) -> None:
            super().__init__()
            self.module, self.calls = module, 0

        def forward(self, *args: Any, **options: Any) -> Any:
            self.calls += 1
            return self.module(*args, **options)

    wrapped = Wrapped(module.network)
    _loss(module.terms(wrapped, smooth_batch()), module.counts(smooth_batch())).backward()
    assert wrapped.calls == 1
    assert all(p.grad is not None for p in module.network.parameters())
    assert all(p.grad is None for p in module.parts.vae.parameters())


def test_gradient_checkpointing_changes_nothing_but_the_memory() -> None:
    gradients, calls = [], [0, 0]
    for checkpointing in (False, True):
        module, batch = _task_module("G", tasks=BOTH), smooth_batch()
        if checkpointing:
            module.parts.unet.enable_gradient_checkpointing()

        def count(*_: Any, which: int = checkpointing) -> None:
            calls[which] += 1

        module.parts.unet.down_blocks[0].resnets[0].register_forward_pre_hook(count)
        _loss(module.terms(module.network, batch), module.counts(batch)).backward()
        gradients.append({name: p.grad for name, p in module.network.named_parameters()})
    assert calls == [1, 2], "computed again on the way back"
    torch.testing.assert_close(gradients[0], gradients[1])


def test_sizes_that_the_vae_cannot_take_are_refused() -> None:
    config = tiny_config()
    start = replace(config.start, vae=VaeSize([8, 8, 8, 8, 8], layers_per_block=1))  # cells of 16 pixels
    data = DataConfig(sets=[SetConfig(root=Path("some"), width=64, height=72)])
    with pytest.raises(InputError, match=r"data.sets\[0\] \(some\) is trained at 64x72; allowed: multiples of 16"):
        make_task_module(replace(config, start=start, data=data), CPU)


@pytest.mark.parametrize(("mode", "tasks"), [("D", ["depth"]), ("G", ["normal"]), ("D", BOTH)])
def test_overfits_two_samples(mode: str, tasks: list[str]) -> None:
    module, batch = _task_module(mode, tasks=tasks), smooth_batch()
    groups = module.parameter_groups(OptimizerConfig(learning_rate=3e-3, weight_decay=0.0))
    optimizer = torch.optim.AdamW(groups)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = _loss(module.terms(module.network, batch), module.counts(batch))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 10


@pytest.mark.parametrize(
    ("mode", "objective"),
    [
        ("D", {"tasks": BOTH}),
        ("G", {"tasks": ["normal"]}),
        ("G", {"prediction_type": "v_prediction", "timesteps": "uniform", "inference_steps": 3}),
    ],
)
def test_saved_folder_predicts_what_the_task_module_does(mode: str, objective: dict[str, Any], tmp_path: Path) -> None:
    module = _task_module(mode, **objective)
    module.save(tmp_path / "own")
    model = LotusModel.from_pretrained(tmp_path / "own", device="cpu")
    assert model.metadata == module.metadata
    rgb = photo(32, 48)
    mine, theirs = module.predict([rgb])[0], model.predict(rgb)
    assert module.network.training
    for ours, loaded in ((mine.depth, theirs.depth), (mine.normals, theirs.normals)):
        assert (ours is None) == (loaded is None)
        if ours is not None and loaded is not None:
            # A network in training is not laid out in memory as one that only predicts, which rounds differently.
            np.testing.assert_allclose(ours.values, loaded.values, atol=1e-4)


def test_learns_from_a_folder_of_stable_diffusion(tmp_path: Path) -> None:
    source = write_stable_diffusion(tmp_path / "sd2")
    module = make_task_module(tiny_config("G", source), CPU)
    optimizer = torch.optim.SGD(module.network.parameters(), lr=0.1)
    _loss(module.terms(module.network, smooth_batch()), module.counts(smooth_batch())).backward()
    optimizer.step()
    module.save(tmp_path / "own")
    again = make_task_module(tiny_config("G", tmp_path / "own"), CPU)
    mine, theirs = module.network.state_dict(), again.network.state_dict()
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)


# Inference by formulation


@pytest.fixture(scope="module")
def generative() -> Parts:
    return starting_parts(tiny_config("G").start, 2, seed=0, device=CPU)


CLEAN = torch.randn((2, 4, 4, 6), generator=torch.Generator().manual_seed(8))
NOISE = noise_from_seed(9, (1, 4, 4, 6)).expand(2, -1, -1, -1)
ALPHAS = torch.tensor(np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2), dtype=torch.float32)


def _metadata(**formulation: Any) -> Metadata:
    return Metadata({"depth": (1.0, 0.0)}, "disparity", "G", **formulation)


def _oracle(prediction_type: str, times: list[int]) -> Callable[..., torch.Tensor]:
    """A network that knows the clean latent, and answers as ``prediction_type`` asks of it."""

    def answer(_: Any, __: Parts, ___: torch.Tensor, noisy: torch.Tensor, ____: Any, t: torch.Tensor) -> torch.Tensor:
        times.append(int(t[0]))
        a = ALPHAS[t].reshape(-1, 1, 1, 1)
        noise = (noisy - a.sqrt() * CLEAN) / (1 - a).sqrt()
        velocity = a.sqrt() * noise - (1 - a).sqrt() * CLEAN
        return {"sample": CLEAN, "epsilon": noise, "v_prediction": velocity}[prediction_type]

    return answer


@pytest.mark.parametrize("steps", [1, 2, 7, 50])
@pytest.mark.parametrize("prediction_type", ["sample", "epsilon", "v_prediction"])
def test_ddim_recovers_what_an_oracle_knows(
    generative: Parts, monkeypatch: pytest.MonkeyPatch, prediction_type: str, steps: int
) -> None:
    times: list[int] = []
    monkeypatch.setattr(sampling, "run_unet", _oracle(prediction_type, times))
    metadata = _metadata(prediction_type=prediction_type, timesteps="uniform", inference_steps=steps)
    found = predict_latents(generative, metadata, (1.0, 0.0), torch.zeros_like(CLEAN), NOISE)
    torch.testing.assert_close(found, CLEAN, rtol=0, atol=1e-3)
    assert len(times) == steps
    assert times[0] == 999  # where the input is pure noise
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_one_step_converts_the_output(generative: Parts, monkeypatch: pytest.MonkeyPatch, prediction_type: str) -> None:
    output = torch.randn(CLEAN.shape, generator=torch.Generator().manual_seed(10))
    monkeypatch.setattr(sampling, "run_unet", lambda *_: output)
    for timestep in (999, 300):
        metadata = _metadata(prediction_type=prediction_type, timestep=timestep)
        found = predict_latents(generative, metadata, (1.0, 0.0), torch.zeros_like(CLEAN), NOISE)
        a = ALPHAS[timestep]
        from_noise = (NOISE - (1 - a).sqrt() * output) / a.sqrt()
        from_velocity = a.sqrt() * NOISE - (1 - a).sqrt() * output
        expected = from_noise if prediction_type == "epsilon" else from_velocity
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_several_steps_are_deterministic_and_follow_the_seed(tmp_path: Path) -> None:
    _task_module("G", timesteps="uniform", inference_steps=4).save(tmp_path / "own")
    model = LotusModel.from_pretrained(tmp_path / "own", device="cpu")
    rgb = photo(32, 48)
    assert model.predict(rgb).meta["formulation"] == {"depth": {"prediction_type": "sample", "inference_steps": 4}}
    first = model.raw(rgb, seed=1)
    np.testing.assert_array_equal(first, model.raw(rgb, seed=1))
    assert np.abs(first - model.raw(rgb, seed=2)).max() > 1e-3
