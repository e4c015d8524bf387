"""What networks are made of on a CPU: numbers that it multiplies fast, in the order that it reads fast."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from lotus_recon.models import cpu, load_model
from lotus_recon.models.base import resolve_dtype
from lotus_recon.models.lotus import LotusModel
from lotus_recon.models.nano.model import NanoModel

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def forgotten_probe() -> Iterator[None]:
    cpu.runs_bfloat16_faster.cache_clear()
    yield
    cpu.runs_bfloat16_faster.cache_clear()


@pytest.mark.parametrize(("bfloat16_seconds", "expected"), [(0.2, torch.bfloat16), (0.9, torch.float32)])
def test_bfloat16_is_used_where_the_probe_says_it_is_faster(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, bfloat16_seconds: float, expected: torch.dtype
) -> None:
    seconds = iter([1.0, bfloat16_seconds])  # of float32, of bfloat16
    monkeypatch.setattr(cpu, "_seconds", lambda _: next(seconds))
    with caplog.at_level(logging.WARNING):
        dtypes = [resolve_dtype(name, CPU) for name in ("bf16", "bfloat16")]  # the second asks no probe
    assert dtypes == [expected] * 2
    assert bool(caplog.records) == (expected is torch.float32)


def test_bfloat16_has_to_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "_seconds", {torch.float32: 1.0, torch.bfloat16: 0.1}.get)
    monkeypatch.setattr(cpu, "_convolution", lambda dtype: dtype)
    assert cpu.runs_bfloat16_faster()
    assert resolve_dtype("auto", CPU) is torch.float32
    assert resolve_dtype("fp16", CPU) is torch.float32


def test_the_probe_calls_what_it_measures() -> None:
    calls: list[int] = []
    assert cpu._seconds(lambda: calls.append(1)) >= 0
    assert len(calls) > 1
    convolved = cpu._convolution(torch.bfloat16)()
    assert (convolved.dtype, convolved.shape) == (torch.bfloat16, (1, 256, 32, 32))


def test_convolutions_lie_in_memory_as_a_cpu_reads_them_fast(depth_d: Path) -> None:
    nano, lotus = load_model("nano", "cpu"), LotusModel.from_pretrained(depth_d, device="cpu")
    assert isinstance(nano, NanoModel)
    for weight in (nano.network.encoder.stem.conv.weight, lotus.parts.vae.decoder.conv_in.weight):
        assert weight.is_contiguous(memory_format=torch.channels_last)
        assert not weight.is_contiguous()


def test_other_devices_keep_their_order() -> None:
    convolution = torch.nn.Conv2d(4, 8, 3)
    cpu.lay_out(convolution, torch.device("cuda"))
    assert convolution.weight.is_contiguous()
