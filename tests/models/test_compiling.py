"""--compile: the same maps, when it is worth it, and without it where the compiler fails."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lotus_recon.config import Runtime
from lotus_recon.models import compiling, load_model
from lotus_recon.models.base import expect_photos
from lotus_recon.models.compiling import Compilation, Gain
from lotus_recon.models.config import PredictionConfig
from lotus_recon.models.lotus.model import LotusPair
from lotus_recon.models.registry import options_of
from lotus_recon.types import Prediction
from tests.models.toys import photo

Forward = Callable[..., Any]
torch_compile = torch.compile


class StubCompiler:
    """torch.compile whose code is the function itself; it keeps which shapes it was called with."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.fails: Exception | None = None

    def __call__(self, function: Forward, dynamic: bool) -> Forward:
        assert not dynamic

        def compiled(first: torch.Tensor, *arguments: Any, **options: Any) -> Any:
            if self.fails is not None:
                raise self.fails
            self.shapes.append(tuple(first.shape))
            return function(first, *arguments, **options)

        return compiled


@pytest.fixture(autouse=True)
def stub(monkeypatch: pytest.MonkeyPatch) -> StubCompiler:
    for variable in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):
        monkeypatch.setenv(variable, "")  # so that what the code sets is undone
        monkeypatch.delenv(variable)
    stub = StubCompiler()
    monkeypatch.setattr(torch, "compile", stub)
    return stub


def _assert_equal(mine: Prediction, other: Prediction) -> None:
    assert mine.depth is not None
    assert other.depth is not None
    assert mine.normals is not None
    assert other.normals is not None
    np.testing.assert_allclose(mine.depth.values, other.depth.values, atol=1e-4)
    np.testing.assert_allclose(mine.normals.values, other.normals.values, atol=1e-3)


def _pair(depth: Path, normal: Path, mode: Any) -> LotusPair:
    pair = load_model(f"{depth},{normal}", device="cpu", processing_res=0, compile=mode)
    assert isinstance(pair, LotusPair)
    return pair


def test_a_compiled_pair_predicts_the_same(depth_d: Path, normal_d: Path, stub: StubCompiler) -> None:
    pair = _pair(depth_d, normal_d, "on")
    _assert_equal(pair.predict(photo(48, 64)), _pair(depth_d, normal_d, "off").predict(photo(48, 64)))
    # One encoder, two U-Nets, one decoder for both maps in turn.
    assert sorted(stub.shapes) == [(1, 3, 48, 64), (1, 4, 6, 8), (1, 4, 6, 8), (1, 4, 6, 8), (1, 4, 6, 8)]


def test_compiled_nano_predicts_the_same(stub: StubCompiler) -> None:
    compiled = load_model("nano", "cpu", processing_res=64, compile="on")
    eager = load_model("nano", "cpu", processing_res=64, compile="off")
    _assert_equal(compiled.predict(photo(48, 64)), eager.predict(photo(48, 64)))
    assert stub.shapes == [(2, 3, 64, 64)]  # a photo and its mirror image


def test_the_last_batch_is_filled_up_to_the_compiled_size(depth_d: Path, stub: StubCompiler) -> None:
    images = [photo(32, 32, seed=i) for i in range(5)]
    model = load_model(str(depth_d), "cpu", processing_res=0, batch_size=3, compile="on")
    eager = load_model(str(depth_d), "cpu", processing_res=0, compile="off")
    got = model.predict_batch(images)
    assert {shape[0] for shape in stub.shapes} == {3}
    for mine, image in zip(got, images, strict=True):
        other = eager.predict(image)
        assert mine.depth is not None
        assert other.depth is not None
        np.testing.assert_allclose(mine.depth.values, other.depth.values, atol=1e-4)


def test_a_failing_compiler_is_one_line_and_the_maps_are_there(
    depth_d: Path, normal_d: Path, stub: StubCompiler, caplog: pytest.LogCaptureFixture
) -> None:
    pair = _pair(depth_d, normal_d, "on")
    stub.fails = RuntimeError("\nno C++ compiler\nlong trace")
    with caplog.at_level(logging.WARNING):
        got = [pair.predict(photo(48, 64)) for _ in range(2)]
    assert [record.getMessage() for record in caplog.records] == [
        "the networks run without --compile: RuntimeError: no C++ compiler"
    ]
    for mine in got:
        _assert_equal(mine, _pair(depth_d, normal_d, "off").predict(photo(48, 64)))


def test_no_memory_is_no_failure_of_the_compiler(
    depth_d: Path, stub: StubCompiler, caplog: pytest.LogCaptureFixture
) -> None:
    model = load_model(str(depth_d), "cpu", processing_res=0, batch_size=4, compile="on")
    images = [photo(32, 32, seed=i) for i in range(4)]

    class Memory(StubCompiler):
        def __call__(self, function: Forward, dynamic: bool) -> Forward:
            compiled = super().__call__(function, dynamic)

            def limited(first: torch.Tensor, *arguments: Any, **options: Any) -> Any:
                if len(first) > 2:
                    raise torch.cuda.OutOfMemoryError("CUDA out of memory")
                return compiled(first, *arguments, **options)

            return limited

    memory = Memory()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "compile", memory)
        assert len(model.predict_batch(images)) == 4
    assert model.batch_size == 2
    assert {shape[0] for shape in memory.shapes} == {2}
    assert [record.getMessage() for record in caplog.records] == [
        "out of memory with a batch of 4 images; continuing with batches of 2"
    ]


class Clock:
    """Each batch takes as long as it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(compiling, "perf_counter", lambda: self.now)

    def predict(self, compilation: Compilation, photos: int, seconds: float, size: tuple[int, int] = (4, 6)) -> bool:
        """Whether the batch was compiled."""

        def work(images: Any) -> list[int]:
            self.now += seconds * photos
            return [compilation._is_active] * len(images)

        return bool(compilation.run([np.zeros((8, 8, 3), np.uint8)] * photos, size, work)[0])


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.mark.parametrize(("photos", "compiled"), [(100, False), (130, True)])
def test_auto_compiles_when_the_photos_to_come_save_more(
    clock: Clock, photos: int, compiled: bool, caplog: pytest.LogCaptureFixture
) -> None:
    compilation = Compilation("auto", [], Gain(saved_share=0.5, seconds=60.0))
    compilation.expect(photos)
    with caplog.at_level(logging.DEBUG):
        first, second = clock.predict(compilation, 4, 1.0), clock.predict(compilation, 4, 1.0)
    assert (first, second) == (False, compiled)
    saved = (photos - 4) / 2
    assert caplog.records[0].getMessage() == (
        f"--compile auto: {photos - 4} photos at 6x4 pixels to come, 1.000 s each: compiling saves about {saved:.0f} s "
        f"and takes about 60 s: {'compiling' if compiled else 'not compiled'}"
    )


def test_photos_of_other_sizes_that_the_network_sees_alike_share_what_is_compiled(stub: StubCompiler) -> None:
    model = load_model("nano", "cpu", processing_res=128, batch_size=2, compile="on")
    model.predict_batch([photo(96, 128), photo(96, 128), photo(93, 126)])
    assert stub.shapes == [(4, 3, 96, 128)] * 2


def test_auto_counts_the_photos_of_a_size_alone(clock: Clock) -> None:
    compilation = Compilation("auto", [], Gain(saved_share=0.5, seconds=60.0))
    compilation.expect(210)
    for size in ((4, 6), (6, 4)):
        clock.predict(compilation, 5, 1.0, size)
    assert not clock.predict(compilation, 5, 1.0)  # 100 of the 200 have this size: 50 seconds
    compilation.expect(300)
    assert clock.predict(compilation, 5, 1.0)


def test_auto_expects_as_many_photos_as_came_when_nobody_knows(clock: Clock) -> None:
    compilation = Compilation("auto", [], Gain(saved_share=0.5, seconds=60.0))
    assert [clock.predict(compilation, 40, 1.0) for _ in range(4)] == [False, False, False, True]


def test_auto_compiles_nothing_on_a_cpu(clock: Clock, depth_d: Path, stub: StubCompiler) -> None:
    model = load_model(str(depth_d), "cpu", processing_res=0, compile="auto")
    expect_photos(model, 10**9)
    for _ in range(2):
        model.predict(photo(32, 32))
    assert not stub.shapes


def test_on_compiles_four_sizes_and_no_more(clock: Clock) -> None:
    compilation = Compilation("on", [], None)
    assert [clock.predict(compilation, 1, 1.0, (4, size)) for size in range(6)] == [True] * 4 + [False] * 2
    assert clock.predict(compilation, 1, 1.0, (4, 0))


def test_compiled_code_is_kept_in_the_programs_cache(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", "elsewhere")
    load_model("nano", "cpu", processing_res=64, compile="on").predict(photo(48, 64))
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(own_cache / "lotus_recon/torch/inductor")
    assert os.environ["TRITON_CACHE_DIR"] == "elsewhere"  # the user's own


@pytest.mark.parametrize(
    ("runtime", "mode"),
    [
        (Runtime(), "auto"),
        (Runtime(compile="off"), "off"),
        (Runtime(deterministic=True), "off"),
        (Runtime(deterministic=True, compile="on"), "on"),
    ],
)
def test_runs_that_repeat_bit_for_bit_decide_nothing_by_time(runtime: Runtime, mode: str) -> None:
    assert options_of(PredictionConfig(), runtime).compile == mode


@pytest.mark.slow
def test_the_real_compiler_gives_the_same_maps(
    depth_d: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", torch_compile)
    eager = load_model(str(depth_d), "cpu", processing_res=0, compile="off").predict(photo(32, 32))
    with caplog.at_level(logging.WARNING):
        mine = load_model(str(depth_d), "cpu", processing_res=0, compile="on").predict(photo(32, 32))
    assert not caplog.records
    assert mine.depth is not None
    assert eager.depth is not None
    np.testing.assert_allclose(mine.depth.values, eager.depth.values, atol=1e-4)
