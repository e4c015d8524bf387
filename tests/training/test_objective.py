"""Oracles: what the official code computed with the same weights, the schedule's algebra, hand-written switchers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lotus_recon.errors import InputError
from lotus_recon.models.lotus import LotusModel
from lotus_recon.models.lotus.checkpoints import ANNOTATION, RECONSTRUCTION, Metadata
from lotus_recon.models.lotus.parts import Parts
from lotus_recon.training.networks import starting_parts
from lotus_recon.training.objective import (
    IMAGE,
    check_objective,
    formulation,
    lotus_losses,
    masked_sum,
    squared_errors,
    task_switchers,
)
from tests.training.lotus_toys import tiny_config

CPU = torch.device("cpu")


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


def test_codes_of_one_task_are_the_released_ones() -> None:
    for task in ("depth", "normal"):
        assert task_switchers([task]) == ({task: ANNOTATION}, RECONSTRUCTION)
        assert task_switchers([task], 2) == ({task: ANNOTATION}, RECONSTRUCTION)


def test_switchers_of_both_tasks_have_one_state_more() -> None:
    switchers = {"depth": (1.0, 0.0, 0.0), "normal": (0.0, 1.0, 0.0)}
    assert task_switchers(["normal", "depth"]) == (
        switchers,
        (0.0, 0.0, 1.0),
    )
    assert task_switchers(["normal"], 3) == ({"normal": switchers["normal"]}, (0.0, 0.0, 1.0))
    with pytest.raises(InputError, match="2 states, which do not fit depth and normal plus reconstruction"):
        task_switchers(["depth", "normal"], 2)


@pytest.mark.parametrize(
    ("mode", "objective", "message"),
    [
        ("D", {"prediction_type": "epsilon"}, "start.mode D does not have"),
        ("D", {"prediction_type": "v_prediction"}, "allowed with D: prediction_type sample"),
        ("D", {"timesteps": "uniform"}, "timesteps single"),
        ("G", {"timesteps": "uniform", "inference_steps": 1001}, "inference_steps 1001"),
        ("G", {"tasks": ["depth", "depth"]}, "objective.tasks"),
        ("D", {"tasks": []}, "objective.tasks"),
        ("D", {"depth_space": "depth"}, "depth_space depth"),
    ],
)
def test_objectives_that_are_not_defined_are_refused(mode: str, objective: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_objective(tiny_config(mode, **objective))


def test_steps_at_inference_belong_to_uniform_timesteps() -> None:
    assert formulation(tiny_config("G"), 2).inference_steps == 1
    assert formulation(tiny_config("G", timesteps="uniform", inference_steps=7), 2).inference_steps == 7


class Spy:
    """A U-Net that answers with a constant and remembers what it was asked."""

    ANSWER = 0.5

    def __init__(self) -> None:
        self.sample = self.times = self.labels = torch.empty(0)

    def __call__(self, sample: torch.Tensor, times: torch.Tensor, **options: Any) -> tuple[torch.Tensor]:
        self.sample, self.times, self.labels = sample, times, options["class_labels"]
        return (torch.full_like(sample[:, :4], self.ANSWER),)


@pytest.fixture(scope="module")
def generative() -> Parts:
    return starting_parts(tiny_config("G").start, 3, seed=0, device=CPU)


@pytest.mark.parametrize("prediction_type", ["sample", "epsilon", "v_prediction"])
def test_goal_and_input_follow_the_schedule(generative: Parts, prediction_type: str) -> None:
    image, depth, normal = torch.randn((3, 2, 4, 4, 6), generator=torch.Generator().manual_seed(1))
    noise = torch.randn((6, 4, 4, 6), generator=torch.Generator().manual_seed(2))
    metadata = Metadata(*_both_tasks(), prediction_type=prediction_type, timesteps="uniform")
    spy = Spy()
    targets = {"depth": depth, "normal": normal, IMAGE: image}
    errors = squared_errors(spy, generative, metadata, image, targets, noise, torch.tensor([999, 250]))

    # By hand: beta_t grows as the square of a line between the roots of 0.00085 and 0.012.
    betas = np.linspace(math.sqrt(0.00085), math.sqrt(0.012), 1000) ** 2
    a = torch.tensor(np.cumprod(1 - betas)[[999, 250]], dtype=torch.float32).reshape(2, 1, 1, 1)
    for row, (name, clean) in enumerate(targets.items()):
        mine = slice(2 * row, 2 * row + 2)
        noisy = a.sqrt() * clean + (1 - a).sqrt() * noise[mine]
        velocity = a.sqrt() * noise[mine] - (1 - a).sqrt() * clean
        goal = {"sample": clean, "epsilon": noise[mine], "v_prediction": velocity}[prediction_type]
        torch.testing.assert_close(spy.sample[mine], torch.cat([image, noisy], dim=1), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(errors[name], (Spy.ANSWER - goal).square(), rtol=1e-4, atol=1e-5)
        switcher = torch.eye(3)[row]
        torch.testing.assert_close(spy.labels[mine], torch.cat([switcher.sin(), switcher.cos()]).expand(2, 6))
    assert spy.times.tolist() == [999, 250] * 3


def _both_tasks() -> tuple[Any, None, None, int, Any]:
    switchers, reconstruction = task_switchers(["depth", "normal"])
    return switchers, None, None, 999, reconstruction


def test_generative_network_needs_noise(generative: Parts) -> None:
    latents = torch.zeros(1, 4, 4, 4)
    with pytest.raises(InputError, match="needs noise"):
        squared_errors(
            Spy(), generative, Metadata(*_both_tasks()), latents, {IMAGE: latents}, None, torch.tensor([999])
        )


def test_sum_over_the_cells_that_count() -> None:
    errors = torch.arange(8.0).reshape(1, 2, 2, 2)  # two channels of 2 x 2 cells
    counted = torch.tensor([[True, False], [False, True]]).reshape(1, 1, 2, 2)
    assert masked_sum(errors, counted).item() == 0 + 3 + 4 + 7


def test_losses_refuse_sizes_and_tasks_that_cannot_be(generative: Parts) -> None:
    image, mask = torch.zeros(1, 3, 20, 24), torch.ones(1, 1, 20, 24, dtype=torch.bool)
    with pytest.raises(InputError, match="24x20"):
        lotus_losses(generative, image, image, mask, mask, None, "depth")
    with pytest.raises(InputError, match="task 'flow' is unknown; allowed: depth, normal"):
        lotus_losses(generative, image, image, mask, mask, None, "flow")
