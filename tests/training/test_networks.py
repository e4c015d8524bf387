"""Oracles: a changed network computes what the one before did, wherever that is what the change promises."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel

from lotus_recon.errors import InputError, ModelError
from lotus_recon.models.lotus import LotusModel
from lotus_recon.models.lotus.checkpoint_folder import save_checkpoint_folder
from lotus_recon.models.lotus.checkpoints import Metadata, read_metadata, write_metadata
from lotus_recon.models.lotus.network import run_unet, task_embedding
from lotus_recon.models.lotus.parts import Parts
from lotus_recon.training.config import StartConfig, UNetSize
from lotus_recon.training.networks import doubled_input, starting_parts
from lotus_recon.training.objective import switcher_size
from tests.models.toys import write_checkpoint
from tests.training.lotus_toys import tiny_config, write_stable_diffusion

CPU = torch.device("cpu")
LATENTS = torch.randn((2, 4, 8, 8), generator=torch.Generator().manual_seed(0))
TIMES = torch.tensor([999, 400])


@pytest.fixture(scope="module")
def stable_diffusion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stable_diffusion(tmp_path_factory.mktemp("sd") / "sd2")


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("lotus") / "lotus-depth-d-v2-0-disparity", seed=6)


def _start(folder: Path, mode: str, states: int = 2) -> Parts:
    return starting_parts(tiny_config(mode, folder).start, states, seed=3, device=CPU)


@torch.no_grad()
def _output(parts: Parts, switcher: tuple[float, ...], noisy: torch.Tensor | None = None) -> torch.Tensor:
    return run_unet(parts.unet, parts, LATENTS, noisy, task_embedding(switcher, 2, parts), TIMES)


def test_doubled_input_halves_each_half() -> None:
    weight = torch.randn((5, 4, 3, 3), generator=torch.Generator().manual_seed(1))
    doubled = doubled_input(weight)
    assert doubled.shape == (5, 8, 3, 3)
    same = torch.nn.functional.conv2d(torch.cat([LATENTS, LATENTS], dim=1), doubled)
    torch.testing.assert_close(same, torch.nn.functional.conv2d(LATENTS, weight), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("mode", "states"), [("D", 2), ("G", 2), ("G", 3)])
def test_stable_diffusion_starts_as_itself(stable_diffusion: Path, mode: str, states: int) -> None:
    parts = _start(stable_diffusion, mode, states)
    original: Any = UNet2DConditionModel.from_pretrained(stable_diffusion / "unet")
    with torch.no_grad():
        prompt = parts.prompt_unpadded.expand(2, -1, -1)
        expected = original(LATENTS, TIMES, encoder_hidden_states=prompt, return_dict=False)[0]
    switcher = (1.0,) + (0.0,) * (states - 1)
    output = _output(parts, switcher, LATENTS if mode == "G" else None)
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)
    assert parts.mode == mode
    assert switcher_size(parts) == states
    assert parts.unet.training
    assert not any(p.requires_grad for p in parts.vae.parameters())


def test_task_code_of_a_fresh_start_can_learn(stable_diffusion: Path) -> None:
    unet = _start(stable_diffusion, "D").unet
    switchers = torch.eye(2)
    unet.class_embedding(torch.cat([switchers.sin(), switchers.cos()], dim=1)).sum().backward()
    gradient = unet.class_embedding.linear_2.weight.grad
    assert gradient is not None
    assert gradient.abs().max() > 0


def test_start_depends_on_its_seed_only(stable_diffusion: Path) -> None:
    first = _start(stable_diffusion, "G").unet.state_dict()
    torch.manual_seed(99)
    before = torch.get_rng_state()
    again = _start(stable_diffusion, "G").unet.state_dict()
    scratch = [starting_parts(tiny_config("G").start, 2, seed, CPU).unet.state_dict() for seed in (1, 1, 2)]
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert all(torch.equal(scratch[0][key], scratch[1][key]) for key in scratch[0])
    assert not torch.equal(scratch[0]["conv_in.weight"], scratch[2]["conv_in.weight"])


def test_released_checkpoint_goes_on_as_it_is(released: Path) -> None:
    model = LotusModel.from_pretrained(released, device="cpu")
    parts = _start(released, "D")
    for switcher in ((1.0, 0.0), (0.0, 1.0)):
        torch.testing.assert_close(_output(parts, switcher), _output(model.parts, switcher), rtol=0, atol=0)


def test_widened_task_code_keeps_both_states(released: Path) -> None:
    before, after = _start(released, "D"), _start(released, "D", states=3)
    annotation, image = _output(before, (1.0, 0.0)), _output(before, (0.0, 1.0))
    assert switcher_size(after) == 3
    assert (annotation - image).abs().max() > 1e-3
    torch.testing.assert_close(_output(after, (1.0, 0.0, 0.0)), annotation, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(_output(after, (0.0, 1.0, 0.0)), annotation, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(_output(after, (0.0, 0.0, 1.0)), image, rtol=1e-4, atol=1e-5)


def test_discriminative_checkpoint_can_become_generative_but_not_back(released: Path, tmp_path: Path) -> None:
    expected = _output(_start(released, "D"), (1.0, 0.0))
    torch.testing.assert_close(_output(_start(released, "G"), (1.0, 0.0), LATENTS), expected, rtol=1e-4, atol=1e-5)
    generative = write_checkpoint(tmp_path / "g", in_channels=8)
    with pytest.raises(InputError, match="takes 8 channels, which cannot become the 4 of a discriminative network"):
        _start(generative, "D")


def test_other_architectures_and_broken_folders_are_refused(released: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="start.checkpoint: .*nothing is not a folder"):
        _start(tmp_path / "nothing", "D")
    folder = shutil.copytree(released, tmp_path / "own")
    config = json.loads((folder / "unet" / "config.json").read_text())
    (folder / "unet" / "config.json").write_text(json.dumps(config | {"addition_embed_type": "text_time"}))
    with pytest.raises(ModelError, match="neither Stable Diffusion 2 nor Lotus"):
        _start(folder, "D")
    (folder / "unet" / "config.json").write_text(json.dumps(config))
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ModelError, match="truncated"):
        _start(folder, "D")
    weights.unlink()
    with pytest.raises(ModelError, match="missing: unet/"):
        _start(folder, "D")


def test_sizes_that_do_not_fit_together_are_refused() -> None:
    start = StartConfig(unet=UNetSize([12, 64], attention_head_dim=8))
    with pytest.raises(InputError, match="must divide all of block_out_channels, not"):
        starting_parts(start, 2, seed=0, device=CPU)


METADATA = Metadata(
    {"depth": (1.0, 0.0, 0.0), "normal": (0.0, 1.0, 0.0)},
    "disparity",
    "G",
    reconstruction=(0.0, 0.0, 1.0),
    processing_res=320,
    prediction_type="v_prediction",
    timesteps="uniform",
    inference_steps=10,
)


@pytest.mark.parametrize("metadata", [METADATA, Metadata({"normal": (1.0, 0.0)}, None), replace(METADATA, mode=None)])
def test_metadata_come_back_from_their_file(tmp_path: Path, metadata: Metadata) -> None:
    write_metadata(metadata, tmp_path / "lotus.json")
    assert read_metadata(tmp_path / "lotus.json") == metadata


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prediction_type": "x0"}, "'prediction_type' 'x0' is unknown; allowed: sample, epsilon, v_prediction"),
        ({"timesteps": "all"}, "'timesteps' 'all' is unknown"),
        ({"inference_steps": 0}, "'inference_steps' must be 1"),
        ({"timesteps": "single"}, "trained with 'timesteps' uniform"),
    ],
)
def test_metadata_that_cannot_be_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    write_metadata(METADATA, tmp_path / "lotus.json")
    text = json.loads((tmp_path / "lotus.json").read_text())
    (tmp_path / "lotus.json").write_text(json.dumps(text | change))
    with pytest.raises(ModelError, match=message):
        read_metadata(tmp_path / "lotus.json")


def test_saved_folder_keeps_the_frozen_parts_bit_for_bit(stable_diffusion: Path, tmp_path: Path) -> None:
    parts = _start(stable_diffusion, "G", 3)
    save_checkpoint_folder(parts, METADATA, stable_diffusion, tmp_path / "own")
    for name in ("vae", "text_encoder"):
        for path in (stable_diffusion / name).iterdir():
            assert (tmp_path / "own" / name / path.name).read_bytes() == path.read_bytes()
    loaded = LotusModel.from_pretrained(tmp_path / "own", device="cpu")
    assert loaded.metadata == METADATA
    assert switcher_size(loaded.parts) == 3
    assert "_name_or_path" not in (tmp_path / "own" / "unet" / "config.json").read_text()
    assert loaded.parts.schedule.config["prediction_type"] == METADATA.prediction_type  # for other programs than ours
    mine, theirs = parts.unet.state_dict(), loaded.parts.unet.state_dict()
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)
    assert torch.equal(parts.prompt_unpadded, loaded.parts.prompt_unpadded)
    # What Stable Diffusion calls its betas; its own sampler is another one, which learning does not need.
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    torch.testing.assert_close(parts.schedule.betas, betas)
    torch.testing.assert_close(parts.schedule.alphas_cumprod, loaded.parts.schedule.alphas_cumprod, rtol=0, atol=0)


def test_discriminative_checkpoint_cannot_claim_several_steps(stable_diffusion: Path, tmp_path: Path) -> None:
    parts = _start(stable_diffusion, "D", 3)
    save_checkpoint_folder(parts, replace(METADATA, mode="D"), stable_diffusion, tmp_path / "own")
    with pytest.raises(ModelError, match="leave no room for noise"):
        LotusModel.from_pretrained(tmp_path / "own", device="cpu")


def test_more_steps_than_the_schedule_has_are_refused(stable_diffusion: Path, tmp_path: Path) -> None:
    parts = _start(stable_diffusion, "G", 3)
    save_checkpoint_folder(parts, replace(METADATA, inference_steps=1001), stable_diffusion, tmp_path / "own")
    with pytest.raises(ModelError, match="1001 steps of inference do not fit a schedule of 1000 timesteps"):
        LotusModel.from_pretrained(tmp_path / "own", device="cpu")


def test_folder_that_cannot_be_written_is_named(stable_diffusion: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="cannot write"):
        save_checkpoint_folder(_start(stable_diffusion, "D"), METADATA, stable_diffusion, tmp_path / "file" / "own")
