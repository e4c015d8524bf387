"""The loop: results do not depend on processes, micro-batches or interruptions; what goes wrong stops the run."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from torch import nn

from lotus_recon.errors import InputError, TrainingError
from lotus_recon.training import checkpoints, trainer
from lotus_recon.training.checkpoints import list_checkpoints
from lotus_recon.training.config import OptimizerConfig, TrainConfig
from lotus_recon.training.loop import Parts, train
from lotus_recon.training.optimization import rate_factor
from lotus_recon.training.task_module import Batch, Term
from tests.training.toys import ToyBatches, ToySet, ToyTaskModule, failing_parts, saved_model, toy_config, toy_parts


class Killed(BaseException):
    """Ends a run as a signal would: nothing handles it."""


def stop_before(step: int) -> Parts:
    """Parts of a run that ends when it asks for the batches of ``step``."""

    class Stopping(ToyBatches):
        def run(self, first: int, last: int) -> Iterator[list[Batch]]:
            yield from super().run(first, min(step, last))
            if step < last:
                raise Killed

    return replace(toy_parts(), open_batches=Stopping)


def losses(out: Path, kind: str = "train") -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if row["kind"] == kind]


def assert_same(a: Any, b: Any) -> None:
    """Equal to the last bit, through all nested containers."""
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, Mapping):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert a == b


def last_state(out: Path) -> dict[str, Any]:
    return checkpoints.read_checkpoint(list_checkpoints(out / "checkpoints")[0])


def test_the_loss_falls(tmp_path: Path) -> None:
    train(toy_config(steps=60, checkpoint_every=60, validate_every=60), tmp_path, toy_parts(dropout=0.0))
    rows = losses(tmp_path)
    assert rows[-1]["loss"] < 0.6 * rows[0]["loss"]


@pytest.mark.parametrize("stops", [(4,), (2, 5, 7), (3, 3)])
def test_interrupted_and_resumed_is_bit_identical(tmp_path: Path, stops: tuple[int, ...]) -> None:
    config = toy_config(log_every=5)
    train(config, tmp_path / "through", toy_parts())
    for stop in stops:
        with pytest.raises(Killed):
            train(config, tmp_path / "resumed", stop_before(stop))
    train(config, tmp_path / "resumed", toy_parts())
    assert_same(last_state(tmp_path / "through"), last_state(tmp_path / "resumed"))
    assert_same(saved_model(tmp_path / "through"), saved_model(tmp_path / "resumed"))
    assert (tmp_path / "through/metrics.jsonl").read_text() == (tmp_path / "resumed/metrics.jsonl").read_text()


def test_dropout_differs_between_steps(tmp_path: Path) -> None:
    """Else the bits above would be the same for a wrong reason."""
    train(toy_config(steps=1), tmp_path / "with", toy_parts(dropout=0.5))
    train(toy_config(steps=1), tmp_path / "without", toy_parts(dropout=0.0))
    assert losses(tmp_path / "with")[0]["loss"] != losses(tmp_path / "without")[0]["loss"]


_KILLED_WHILE_WRITING = """
import os, signal, sys, torch
from pathlib import Path
from tests.training.toys import toy_config, toy_parts
from lotus_recon.training.loop import train
save, calls = torch.save, []
def dying(state, handle):
    calls.append(1)
    if len(calls) == 2:
        handle.write(b"half a checkpoint"); handle.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    save(state, handle)
torch.save = dying
train(toy_config(), Path(sys.argv[1]), toy_parts())
"""


def test_killed_while_writing_a_checkpoint(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", _KILLED_WHILE_WRITING, str(tmp_path / "killed")], env=environment())
    assert killed.returncode == -9
    assert [c.step for c in list_checkpoints(tmp_path / "killed/checkpoints")] == [3]
    train(toy_config(), tmp_path / "killed", toy_parts())
    train(toy_config(), tmp_path / "through", toy_parts())
    assert_same(last_state(tmp_path / "through"), last_state(tmp_path / "killed"))
    assert_same(saved_model(tmp_path / "through"), saved_model(tmp_path / "killed"))
    assert (tmp_path / "through/metrics.jsonl").read_text() == (tmp_path / "killed/metrics.jsonl").read_text()
    assert {path.name for path in (tmp_path / "killed/checkpoints").iterdir()} == {"step_00000006", "step_00000008"}


def test_a_model_that_cannot_be_written_is_renewed_later(tmp_path: Path) -> None:
    class Full(ToyTaskModule):
        def save(self, folder: Path) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    full = replace(toy_parts(), make_task_module=lambda config, device: Full(device))
    with pytest.raises(TrainingError, match=r"model could not be written: .*No space left.*are intact"):
        train(toy_config(), tmp_path / "full", full)
    assert sorted(path.name for path in (tmp_path / "full").iterdir()) == [
        "checkpoints",
        "config.yaml",
        "metrics.jsonl",
    ]
    for name in ("full", "through"):
        train(toy_config(), tmp_path / name, toy_parts())
    assert_same(last_state(tmp_path / "through"), last_state(tmp_path / "full"))
    assert_same(saved_model(tmp_path / "through"), saved_model(tmp_path / "full"))


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}


@pytest.mark.parametrize("accumulation", [1, 4])
def test_accumulation_changes_nothing(tmp_path: Path, accumulation: int) -> None:
    """Although the samples differ in how many of their pixels count."""
    parts = toy_parts(dropout=0.0)
    train(toy_config(accumulation=2), tmp_path / "two", parts)
    train(toy_config(accumulation=accumulation), tmp_path / "other", parts)
    assert_close_runs(tmp_path / "two", tmp_path / "other")


def assert_close_runs(a: Path, b: Path) -> None:
    """Losses at every step, scores and final weights agree to float tolerance."""
    for kind in ("train", "validation"):
        for one, other in zip(losses(a, kind), losses(b, kind), strict=True):
            del one["kind"], other["kind"]
            assert one == pytest.approx(other, rel=1e-4, abs=1e-6)
    torch.testing.assert_close(saved_model(a), saved_model(b), rtol=1e-4, atol=1e-6)


def launch_two(out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A run of two processes, with accumulation in each."""
    # On a machine without GPUs, accelerate's --multi_gpu makes CPU processes, while its --cpu ignores --num_processes.
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    command += ["--main_process_port", "0", "-m", "tests.training.toys", str(out), *arguments]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120)


def test_two_processes_are_one_with_twice_the_batch(tmp_path: Path) -> None:
    train(toy_config(accumulation=1), tmp_path / "one", toy_parts(dropout=0.0))
    result = launch_two(tmp_path / "two")
    assert result.returncode == 0, result.stderr
    assert_close_runs(tmp_path / "one", tmp_path / "two")
    assert last_state(tmp_path / "two")["average"]["optimization_step"] == 8


@pytest.mark.slow
def test_two_processes_go_on_where_one_stopped(tmp_path: Path) -> None:
    train(toy_config(accumulation=2), tmp_path / "one", toy_parts(dropout=0.0))
    with pytest.raises(Killed):
        train(
            toy_config(),
            tmp_path / "both",
            replace(stop_before(5), make_task_module=toy_parts(dropout=0.0).make_task_module),
        )
    assert launch_two(tmp_path / "both").returncode == 0
    assert_close_runs(tmp_path / "one", tmp_path / "both")


def test_averaged_weights_are_saved(tmp_path: Path) -> None:
    train(toy_config(), tmp_path, toy_parts())
    state = last_state(tmp_path)
    averages = dict(zip(state["network"], state["average"]["shadow_params"], strict=True))
    assert_same(saved_model(tmp_path), averages)
    assert not torch.equal(saved_model(tmp_path)["0.weight"], state["network"]["0.weight"])


def test_bfloat16(tmp_path: Path, fresh_accelerator: None) -> None:
    train(toy_config(precision="bf16"), tmp_path / "bf16", toy_parts(dropout=0.0))
    AcceleratorState._reset_state()
    train(toy_config(), tmp_path / "fp32", toy_parts(dropout=0.0))
    low, full = ([row["loss"] for row in losses(tmp_path / name)] for name in ("bf16", "fp32"))
    assert low == pytest.approx(full, rel=2e-2)
    assert low != full


@pytest.fixture
def fresh_accelerator() -> Iterator[None]:
    """A process has one precision; a test may have several."""
    AcceleratorState._reset_state()
    yield
    AcceleratorState._reset_state()


def test_nan_stops_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"step 3 .*depth nan.*sample-20, sample-21, .*last good .*step_00000002"):
        train(toy_config(checkpoint_every=1), tmp_path, failing_parts())
    good = last_state(tmp_path)
    assert all(torch.isfinite(weights).all() for weights in good["network"].values())


@pytest.mark.slow
def test_nan_in_one_process_stops_all(tmp_path: Path) -> None:
    result = launch_two(tmp_path, "fail")
    assert result.returncode == 1
    assert result.stderr.count("the loss is not finite at step 3") >= 2
    assert "sample-21" in result.stderr
    assert list_checkpoints(tmp_path / "checkpoints")[0].step == 2


def test_a_gradient_that_is_not_finite_stops(tmp_path: Path) -> None:
    class Steep(ToyTaskModule):
        def terms(self, network: nn.Module, batch: Batch) -> dict[str, Term]:
            zero = network(batch.image)[:, :3].sum() * 0
            return {**super().terms(network, batch), "depth": Term(zero.sqrt())}

    parts = replace(toy_parts(), make_task_module=lambda config, device: Steep(device))
    with pytest.raises(TrainingError, match=r"gradient is not finite at step 1; samples: sample-0.*no checkpoint yet"):
        train(toy_config(), tmp_path, parts)


def test_fp16_overflows_are_borne_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from accelerate.optimizer import AcceleratedOptimizer

    class Step(AcceleratedOptimizer):
        step_was_skipped = True

    monkeypatch.setattr("accelerate.accelerator.AcceleratedOptimizer", Step)
    train(toy_config(), tmp_path / "few", toy_parts())
    assert last_state(tmp_path / "few")["average"]["optimization_step"] == 0, "weights that stayed are not averaged"
    monkeypatch.setattr(trainer, "_MAX_SKIPPED_IN_A_ROW", 5)
    with pytest.raises(TrainingError, match=r"not finite at step 5 and the 4 before it"):
        train(toy_config(), tmp_path / "many", toy_parts())


def test_resume_with_other_options_is_refused(tmp_path: Path) -> None:
    train(toy_config(), tmp_path, toy_parts())
    other = replace(toy_config(ema_decay=0.5), seed=3)
    with pytest.raises(InputError, match=r"loop.ema_decay: 0.9 -> 0.5; seed: 0 -> 3") as caught:
        train(other, tmp_path, toy_parts())
    assert "checkpoint_every" not in str(caught.value)
    with pytest.raises(InputError, match=r"loop.steps: 8 -> 9"):  # the cosine would be another
        train(toy_config(steps=9), tmp_path, toy_parts())


def test_a_finished_run_goes_on_when_steps_are_added(tmp_path: Path) -> None:
    def constant(steps: int, **loop: Any) -> TrainConfig:
        return replace(toy_config(steps=steps, **loop), optimizer=OptimizerConfig(learning_rate=1e-2))

    train(constant(6), tmp_path / "longer", toy_parts())
    free = {"checkpoint_every": 2, "checkpoint_limit": 1, "validate_every": 5, "log_every": 2}
    train(constant(8, **free), tmp_path / "longer", toy_parts())
    train(constant(8), tmp_path / "through", toy_parts())
    assert_same(last_state(tmp_path / "longer"), last_state(tmp_path / "through"))
    train(constant(6), tmp_path / "longer", toy_parts())  # fewer than are done: nothing to do
    assert_same(saved_model(tmp_path / "longer"), saved_model(tmp_path / "through"))


def test_what_a_finished_run_lost_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train(toy_config(checkpoint_limit=2), tmp_path, toy_parts())
    train(toy_config(checkpoint_limit=2), tmp_path, toy_parts())
    assert "missing or damaged" not in caplog.text
    picture, metrics = tmp_path / "images/step_00000008.png", tmp_path / "metrics.jsonl"
    earlier = list_checkpoints(tmp_path / "checkpoints")[1].folder
    picture.unlink()
    metrics.write_text(metrics.read_text()[:-20])
    (earlier / "state.pt").write_bytes(b"half")
    train(toy_config(checkpoint_limit=2), tmp_path, toy_parts())
    for lost in (picture, metrics, earlier):
        assert f"{lost} is missing or damaged" in caplog.text


def test_checkpoint_of_another_architecture(tmp_path: Path) -> None:
    train(toy_config(), tmp_path, toy_parts())
    with pytest.raises(InputError, match=r"step_00000008 is of another architecture: .*0.weight"):
        train(toy_config(), tmp_path, toy_parts(channels=5))


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(InputError, match=r"holds files of others \(model\)"):
        train(toy_config(), tmp_path, toy_parts())


@pytest.mark.parametrize(
    ("loop", "message"),
    [
        ({"gradient_checkpointing": True}, r"gradient_checkpointing: this network"),
        ({"tracker": "wandb"}, r"pip install wandb"),
    ],
)
def test_options_that_cannot_be(tmp_path: Path, loop: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        train(toy_config(**loop), tmp_path / "out", toy_parts())
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="about machines without CUDA")
def test_options_for_cuda(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="fp16 needs CUDA"):
        train(toy_config(precision="fp16"), tmp_path, toy_parts())
    with pytest.raises(InputError, match="8-bit AdamW needs CUDA"):
        train(replace(toy_config(), optimizer=OptimizerConfig(eight_bit=True)), tmp_path, toy_parts())


def test_gradients_are_clipped(tmp_path: Path) -> None:
    """AdamW undoes any scale of the gradient, plain steps do not."""
    module = ToyTaskModule(torch.device("cpu"), dropout=0.0)
    before = [weights.clone() for weights in module.network.parameters()]

    class Plain(ToyTaskModule):
        network = module.network

        def __init__(self) -> None:
            pass

        def parameter_groups(self, config: OptimizerConfig) -> list[dict[str, Any]]:
            return [{"params": list(module.network.parameters()), "lr": 1.0}]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "make_optimizer", lambda groups, config: torch.optim.SGD(groups))
        parts = replace(toy_parts(), make_task_module=lambda config, device: Plain())
        config = replace(toy_config(steps=1), optimizer=OptimizerConfig(max_grad_norm=0.01, warmup_steps=0))
        train(config, tmp_path, parts)
    changes = [now - then for now, then in zip(module.network.parameters(), before, strict=True)]
    assert torch.linalg.vector_norm(torch.cat([c.flatten() for c in changes])).item() == pytest.approx(0.01, rel=1e-3)


def test_tensorboard(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

    train(toy_config(tracker="tensorboard"), tmp_path, toy_parts())
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("train/loss")] == list(range(1, 9))
    assert [event.step for event in events.Scalars("validation/depth/abs_rel")] == [4, 8]
    assert [event.step for event in events.Images("validation")] == [4, 8]


def test_rates() -> None:
    def rates(schedule: Any, *steps: int) -> list[float]:
        config = OptimizerConfig(schedule=schedule, warmup_steps=10)
        return [rate_factor(step, config, 110) for step in steps]

    assert rates("constant", 0, 4, 9, 10, 109) == pytest.approx([0.1, 0.5, 1, 1, 1])
    assert rates("linear", 0, 10, 60, 109) == pytest.approx([0.1, 1, 0.5, 0.01])
    assert rates("cosine", 0, 10, 60, 110) == pytest.approx([0.1, 1, 0.5, 0])
    assert rate_factor(0, OptimizerConfig(warmup_steps=0), 10) == 1


def test_what_was_skipped_is_named_in_the_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train(toy_config(), tmp_path, toy_parts())
    assert "2 samples could not be used and were skipped: broken, broken-0" in caplog.text


def test_validation_with_a_broken_sample_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    parts = replace(toy_parts(), open_validation=lambda config: [ToySet(broken=2)])
    train(toy_config(), tmp_path, parts)
    assert "toy-2 is left out" in caplog.text
    assert len(losses(tmp_path, "validation")) == 2
