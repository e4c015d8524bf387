"""Photos of several scenes through one network call, and weights that are read once."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.errors import ModelError
from lotus_recon.models.base import ModelOptions
from lotus_recon.models.registry import make_model, set_model_source
from lotus_recon.runners.batching import BatchingQueue
from lotus_recon.runners.warm import WarmModels
from lotus_recon.types import DepthKind, DepthMap, Prediction

SIZE = 4


class Recorder:
    """A model whose depth is the first pixel of the photo; keeps the sizes of its calls."""

    name, tasks, batch_size = "recorder", ("depth",), SIZE

    def __init__(self) -> None:
        self.calls: list[list[int]] = []

    def predict(self, rgb: NDArray[np.uint8], seed: int | None = None, view: str | None = None) -> Prediction:
        return self.predict_batch([rgb], seed)[0]

    def predict_batch(
        self, images: Sequence[NDArray[np.uint8]], seed: int | None = None, views: Sequence[str] | None = None
    ) -> list[Prediction]:
        values = [int(image[0, 0, 0]) for image in images]
        self.calls.append(values)
        time.sleep(0.05)
        if 0 in values:
            raise ModelError("black")
        return [_plane(value) for value in values]


def _plane(value: float) -> Prediction:
    return Prediction(DepthMap(np.full((2, 2), value, np.float32), np.ones((2, 2), bool), DepthKind.METRIC), None, {})


def photo(value: int) -> NDArray[np.uint8]:
    return np.full((2, 2, 3), value, np.uint8)


def ask(queue: BatchingQueue, values: list[int], alone: bool = False, seed: int = 0) -> dict[int, Any]:
    """Every value from a thread of its own; what each got."""
    got: dict[int, Any] = {}

    def one(value: int) -> None:
        try:
            (prediction,) = queue.predict_batch([photo(value)], seed, [f"{value}"], alone)
            assert prediction.depth is not None
            got[value] = float(prediction.depth.values[0, 0])
        except ModelError as error:
            got[value] = str(error)

    threads = [threading.Thread(target=one, args=(value,)) for value in values]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    return got


def test_photos_of_many_scenes_share_network_calls() -> None:
    model = Recorder()
    values = list(range(1, 13))
    assert ask(BatchingQueue(model), values) == {value: float(value) for value in values}
    assert len(model.calls) <= 6
    assert max(map(len, model.calls)) == SIZE


def test_what_must_repeat_goes_alone() -> None:
    model = Recorder()
    ask(BatchingQueue(model), [1, 2, 3, 4, 5], alone=True)
    assert [len(call) for call in model.calls] == [1] * 5


def test_a_bad_photo_fails_alone() -> None:
    got = ask(BatchingQueue(Recorder()), [0, 1, 2, 3])
    assert got == {0: "black", 1: 1.0, 2: 2.0, 3: 3.0}


def test_weights_are_read_once() -> None:
    warm = WarmModels()
    set_model_source(warm)
    try:
        first, second = make_model("nano", ModelOptions()), make_model("nano", ModelOptions())
        other = make_model("nano", ModelOptions(processing_res=64))
    finally:
        set_model_source(None)
    assert first is second
    assert other is not first
    assert warm.loaded == 2
    assert make_model("nano", ModelOptions()) is not first


def test_of_three_models_the_one_used_longest_ago_is_loaded_again() -> None:
    warm = WarmModels()
    for processing_res in (32, 64, 32, 96, 32, 64):
        warm("nano", ModelOptions(processing_res=processing_res), "cpu", "float32")
    assert warm.loaded == 4


@pytest.mark.parametrize("count", [1, 5])
def test_one_caller_may_ask_for_more_than_a_batch(count: int) -> None:
    queue = BatchingQueue(Recorder())
    found = queue.predict_batch([photo(i + 1) for i in range(count)], 0, None)
    assert [p.depth.values[0, 0] for p in found if p.depth is not None] == list(range(1, count + 1))
