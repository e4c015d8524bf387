"""``--compile``: the networks of a model by torch.compile, where the photos to come save more than compiling costs."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from lotus_recon.cache import cache_folder
from lotus_recon.models.tensors import is_out_of_memory

log = logging.getLogger(__name__)
Result = TypeVar("Result")
Image = NDArray[np.uint8]
Shape = tuple[int, int]  # height and width at which the networks work

# torch keeps eight versions of a function and runs what comes after them as it is; the U-Nets of a pair share theirs.
_MOST_SHAPES = 4
_FOLDERS = {"TORCHINDUCTOR_CACHE_DIR": "inductor", "TRITON_CACHE_DIR": "triton"}  # the compilers' own variables


@dataclass(frozen=True)
class Gain:
    """What compiling brings for one shape of input, as measured."""

    saved_share: float  # of the seconds of a photo
    seconds: float  # that the first call takes; less where the compiler's cache knows the shape


@dataclass
class _Seen:
    """Photos so far that the networks see at one size."""

    photos: int = 0
    seconds: float = float("inf")  # of a photo, not compiled, at the best
    batches: list[int] = field(default_factory=list)  # sizes of batches that are compiled


class Compilation:
    """Decides for each size of input whether a model's networks run compiled, and runs them.

    mode: ``auto``, ``on`` or ``off``. networks: modules whose ``forward`` is replaced. gain: None where nothing is
    to be gained, so that ``auto`` compiles nothing.
    """

    def __init__(self, mode: str, networks: Sequence[Any], gain: Gain | None) -> None:
        self.networks = list({id(network): network for network in networks}.values())
        self.gain = gain
        self._wanted = mode == "on" or (mode == "auto" and gain is not None)
        self._is_certain = mode == "on"
        self._expected = 0
        self._photos = 0
        self._seen: dict[Shape, _Seen] = {}
        self._eager: list[Any] = []  # the forward methods, once they are replaced
        self._is_active = False

    def expect(self, photos: int) -> None:
        """Say that ``photos`` will come, the next ones included."""
        self._expected = photos
        self._photos = 0

    def run(
        self, images: Sequence[Image], shape: Shape, work: Callable[[Sequence[Image]], list[Result]]
    ) -> list[Result]:
        """``work(images)``, on networks that are compiled where that pays; they see the images (H, W, 3) at ``shape``.

        Compiled batches are filled up to a size that is compiled already, by the last image once more.
        """
        if not self._wanted:
            return work(images)
        seen = self._seen.setdefault(shape, _Seen())
        if not seen.batches and not self._pays(shape, seen, len(images)):
            return self._timed(images, work, seen)
        size = min((size for size in seen.batches if size >= len(images)), default=len(images))
        results = self._compiled([*images, *[images[-1]] * (size - len(images))], work)
        if size not in seen.batches:
            seen.batches.append(size)
        self._count(seen, len(images))
        return results[: len(images)]

    def _pays(self, shape: Shape, seen: _Seen, photos: int) -> bool:
        if sum(bool(other.batches) for other in self._seen.values()) >= _MOST_SHAPES:
            return False
        if self._is_certain:
            return True
        if self.gain is None or not seen.photos:
            return False  # the first batch tells how long a photo takes
        # Of all that are to come, this size has the share that it had; where nobody knows how many, as many as came.
        share = seen.photos / max(sum(other.photos for other in self._seen.values()), 1)
        coming = max((self._expected - self._photos) * share, seen.photos + photos)
        saved = coming * self.gain.saved_share * seen.seconds
        pays = saved > self.gain.seconds
        log.log(
            logging.INFO if pays else logging.DEBUG,
            "--compile auto: %.0f photos at %dx%d pixels to come, %.3f s each: compiling saves about %.0f s and takes "
            "about %.0f s: %s",
            coming,
            shape[1],
            shape[0],
            seen.seconds,
            saved,
            self.gain.seconds,
            "compiling" if pays else "not compiled",
        )
        return pays

    def _timed(
        self, images: Sequence[Image], work: Callable[[Sequence[Image]], list[Result]], seen: _Seen
    ) -> list[Result]:
        started = perf_counter()
        results = work(images)
        seen.seconds = min(seen.seconds, (perf_counter() - started) / len(images))
        self._count(seen, len(images))
        return results

    def _count(self, seen: _Seen, photos: int) -> None:
        seen.photos += photos
        self._photos += photos

    def _compiled(self, images: Sequence[Image], work: Callable[[Sequence[Image]], list[Result]]) -> list[Result]:
        self._replace()
        self._is_active = True
        try:
            return work(images)
        finally:
            self._is_active = False

    def _replace(self) -> None:
        """Let the networks run compiled while ``_is_active``."""
        if self._eager:
            return
        _keep_compiled_code()
        for network in self.networks:
            self._eager.append(network.forward)
            network.to(memory_format=torch.channels_last)
            network.forward = self._forward(network.forward)

    def _forward(self, eager: Callable[..., Any]) -> Callable[..., Any]:
        compiled = torch.compile(eager, dynamic=False)

        def forward(*arguments: Any, **options: Any) -> Any:
            if not (self._is_active and self._wanted):
                return eager(*arguments, **options)
            try:
                return compiled(*arguments, **options)
            except Exception as error:  # of any of several compilers
                if is_out_of_memory(error):
                    raise
                self._give_up(error)
            return eager(*arguments, **options)

        return forward

    def _give_up(self, error: Exception) -> None:
        self._wanted = False
        for network, eager in zip(self.networks, self._eager, strict=True):
            network.forward = eager
            if next(network.parameters()).is_cuda:  # where channels last is slower without a compiler
                network.to(memory_format=torch.contiguous_format)
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")
        log.warning("the networks run without --compile: %s: %s", type(error).__name__, reason)


def _keep_compiled_code() -> None:
    """Let the compilers keep what they make in the program's cache, unless the user has named another place."""
    if cache_folder() == Path(os.devnull):
        return
    for variable, folder in _FOLDERS.items():
        os.environ.setdefault(variable, str(cache_folder() / "torch" / folder))
