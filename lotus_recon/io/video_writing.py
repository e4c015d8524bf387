"""Videos out: colours as H.264 in MP4, 16-bit numbers without loss as FFV1 in Matroska."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

_QUALITY = "18"  # of x264: next to no visible loss


class VideoWriter:
    """Takes the frames of one video, in order."""

    def __init__(self, container: Any, stream: Any, taken: str) -> None:
        self._container, self._stream, self._taken = container, stream, taken

    def write(self, frame: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
        """The next frame: uint8 (H, W, 3) of ``colour_video``, uint16 (H, W) of ``grey16_video``."""
        height, width = frame.shape[:2]
        if not self._stream.width:
            even = 2 if self._taken == "rgb24" else 1
            self._stream.width, self._stream.height = width + width % even, height + height % even
        pad = [(0, self._stream.height - height), (0, self._stream.width - width)] + [(0, 0)] * (frame.ndim - 2)
        padded = np.ascontiguousarray(np.pad(frame, pad, mode="edge"))
        self._container.mux(self._stream.encode(av.VideoFrame.from_ndarray(padded, format=self._taken)))


@contextmanager
def colour_video(path: Path, rate: Fraction) -> Iterator[VideoWriter]:
    """An MP4 that any player shows, at ``rate`` frames per second.

    A last odd column or row is repeated: H.264 has even sizes.
    """
    options = {"crf": _QUALITY, "movflags": "faststart"}
    with _writer(path, rate, ("libx264", "yuv420p", "rgb24"), options) as writer:
        yield writer


@contextmanager
def grey16_video(path: Path, rate: Fraction) -> Iterator[VideoWriter]:
    """A Matroska file with 16-bit numbers (gray16le), which ffmpeg, PyAV and OpenCV read as they were."""
    with _writer(path, rate, ("ffv1", "gray16le", "gray16le"), {}) as writer:
        yield writer


@contextmanager
def _writer(path: Path, rate: Fraction, codec: tuple[str, str, str], options: dict[str, str]) -> Iterator[VideoWriter]:
    """``codec``: its name, how it stores pixels, and how frames are handed to it."""
    name, stored, taken = codec
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(name, rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = 0, 0, stored
        yield VideoWriter(container, stream, taken)
        container.mux(stream.encode())
