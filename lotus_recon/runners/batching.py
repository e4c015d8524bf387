"""Batches the images of several callers into one network call."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lotus_recon.models.base import Model
from lotus_recon.types import Prediction

_WAIT_SECONDS = 0.01  # that a first request waits for others


@dataclass
class _Request:
    images: list[NDArray[np.uint8]]
    seed: int | None
    views: list[str] | None
    alone: bool
    answer: Future[list[Prediction]] = field(default_factory=Future)

    def joins(self, other: _Request) -> bool:
        """Whether both requests can share a batch."""
        return not (self.alone or other.alone) and self.seed == other.seed and bool(self.views) == bool(other.views)


class BatchingQueue:
    """Collects simultaneous requests of threads to a model, up to its batch size, and runs them as one batch."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.calls = 0  # of the network
        self._requests: queue.Queue[_Request] = queue.Queue()
        self._left: _Request | None = None  # the request that did not fit into the last batch
        threading.Thread(target=self._serve, daemon=True).start()

    def predict_batch(
        self,
        images: Sequence[NDArray[np.uint8]],
        seed: int | None,
        views: Sequence[str] | None,
        alone: bool = False,
    ) -> list[Prediction]:
        """``Model.predict_batch`` of images (H, W, 3), together with other requests unless ``alone``.

        Other images in a batch can change the last bits of a result, so deterministic requests run alone.
        """
        request = _Request(list(images), seed, None if views is None else list(views), alone)
        self._requests.put(request)
        return request.answer.result()

    def _serve(self) -> None:
        while True:
            self._answer(self._next_batch())

    def _next_batch(self) -> list[_Request]:
        first = self._left or self._requests.get()
        self._left = None
        batch, count = [first], len(first.images)
        while not first.alone and count < self.model.batch_size:
            try:
                request = self._requests.get(timeout=_WAIT_SECONDS)
            except queue.Empty:
                break
            if not request.joins(first) or count + len(request.images) > self.model.batch_size:
                self._left = request
                break
            batch.append(request)
            count += len(request.images)
        return batch

    def _answer(self, batch: list[_Request]) -> None:
        try:
            images = [image for request in batch for image in request.images]
            views = [view for request in batch for view in request.views or []] or None
            self.calls += 1
            predictions = iter(self.model.predict_batch(images, batch[0].seed, views))
            for request in batch:
                request.answer.set_result([next(predictions) for _ in request.images])
        except Exception as error:  # noqa: BLE001  any error belongs to the caller
            if len(batch) == 1:
                batch[0].answer.set_exception(error)
                return
            for request in batch:  # a bad image must not fail the requests of other scenes
                self._answer([request])
