"""Frames of a video: all of them, or the sharpest of each interval of camera motion."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.io.image_sizes import check_size
from lotus_recon.io.images import resize_rgb, write_jpeg
from lotus_recon.progress import report

log = logging.getLogger(__name__)

_MEASURED_EDGE_PX = 320  # sharpness and motion are measured on frames of this longer edge
_MAX_CORNERS = 200
_MIN_TRACKED = 8  # corners; with fewer the image has changed altogether (a cut)
_STEP = 0.02  # motion is measured from a frame so far back: that of each frame to the next is mostly noise
_JPEG_QUALITY = 97
_COMPLETE = 0.95  # of the declared frames or seconds; encoders round
_ROUNDED = 0.02  # of the frame rate: by so much the times of frames tell it worse than the file does
_UNEVEN = 0.2  # of the time from frame to frame that one may be off: file formats round to milliseconds


@dataclass(frozen=True)
class FrameStatistics:
    """Sharpness and motion of the N frames of a video, in order."""

    sharpness: NDArray[np.float64]  # (N,) variance of the Laplacian of the reduced frame
    travelled: NDArray[np.float64]  # (N,) image motion since the first frame, as a share of the longer edge


@dataclass(frozen=True)
class VideoInfo:
    """How many frames a video has, and their size in pixels."""

    frames: int
    width: int
    height: int


def check_video(path: Path) -> VideoInfo:
    """What a video has, after reading it once without decoding more than its first frame.

    Raises InputError when it cannot be opened, has no image stream, or is truncated.
    """
    with _opened(path) as container:
        stream = _video_stream(container, path)
        declared, seconds = int(stream.frames or 0), (container.duration or 0) / 1e6
        n_packets, last = 0, 0.0
        for packet in container.demux(stream):
            if packet.size:
                n_packets += 1
                last = max(last, float((packet.pts or 0) * packet.time_base))
    if n_packets == 0:
        raise InputError(f"video {path} has no frames")
    if n_packets < _COMPLETE * declared:
        raise InputError(f"video {path} is truncated: it has {n_packets} of {declared} frames")
    if last < _COMPLETE * seconds - 0.5:
        raise InputError(f"video {path} is truncated: it ends at {last:.1f} of {seconds:.1f} s")
    first = next(read_frames(path), None)
    if first is None:
        raise InputError(f"video {path} has no decodable frame")
    height, width = first.shape[:2]
    check_size(path, width, height)
    return VideoInfo(n_packets, width, height)


def check_every_frame(path: Path, n_frames: int) -> Fraction:
    """Frames per second of a video, after decoding all of its ``n_frames`` frames.

    Raises InputError for fewer than 2 frames, one that is damaged, and frames that are not equally far apart in time.
    """
    if n_frames < 2:
        raise InputError(f"video {path} has one frame; depth over time needs 2 or more")
    times: list[Fraction] = []
    with _opened(path) as container:
        stream = _video_stream(container, path)
        stream.thread_type, declared = "AUTO", stream.average_rate
        try:
            for frame in container.decode(stream):
                if frame.is_corrupt:
                    raise InputError(f"video {path} is damaged: frame {len(times)} (from 0) cannot be decoded whole")
                times.append((frame.pts or 0) * Fraction(frame.time_base or 0))
                report("checking frames", len(times), max(n_frames, len(times)))
        except av.InvalidDataError:
            raise InputError(
                f"video {path} is damaged: soon after frame {len(times)} (from 0) one cannot be decoded"
            ) from None
    if len(times) != n_frames:
        raise InputError(f"video {path} is damaged: only {len(times)} of {n_frames} frames can be decoded")
    rate = _even_rate(path, times)
    return declared if declared and abs(declared / rate - 1) < _ROUNDED else rate


def _even_rate(path: Path, times: list[Fraction]) -> Fraction:
    """Frames per second of frames that are shown at ``times``, in seconds."""
    apart = [float(later - before) for before, later in itertools.pairwise(times)]
    usual = float(times[-1] - times[0]) / len(apart)
    shortest, longest = min(apart), max(apart)
    if usual <= 0 or shortest < (1 - _UNEVEN) * usual or longest > (1 + _UNEVEN) * usual:
        raise InputError(
            f"video {path} has a variable frame rate: its frames are {1000 * shortest:.1f} to {1000 * longest:.1f} ms "
            "apart, and depth over time needs a constant rate; convert it first: ffmpeg -i VIDEO -vf fps=30 EVEN.mp4"
        )
    return max(Fraction(1 / usual).limit_denominator(1001), Fraction(1, 1001))


def extract_frames(path: Path, folder: Path, max_frames: int, frame_motion: float) -> list[Path]:
    """Write the selected frames of a video as ``frame_NNNNNN.jpg`` (number in the video, from 0), upright.

    Warns when the camera does not move by ``frame_motion`` (a share of the longer edge): then it is one frame, the
    sharpest. Raises InputError when the video is truncated.
    """
    n_frames = check_video(path).frames
    statistics = measure_frames(path, n_frames)
    if len(statistics.sharpness) < _COMPLETE * n_frames:
        raise InputError(
            f"video {path} is damaged: only {len(statistics.sharpness)} of {n_frames} frames can be decoded"
        )
    chosen = choose_frames(statistics, max_frames, frame_motion)
    if len(chosen) < 2:
        moved = statistics.travelled[-1]
        log.warning(
            "video %s: the image moves by only %.1f%% of its longer edge, and two frames need %.1f%% (--frame-motion); "
            "one frame is taken",
            path,
            100 * moved,
            100 * frame_motion,
        )
    written = []
    for number, rgb in enumerate(read_frames(path)):
        if number in chosen:
            target = folder / f"frame_{number:06d}.jpg"
            write_jpeg(target, rgb, _JPEG_QUALITY)
            written.append(target)
            report("writing frames", len(written), len(chosen))
    return written


def measure_frames(path: Path, n_frames: int) -> FrameStatistics:
    """Sharpness and motion of every frame."""
    sharpness, travelled = [], []
    reference: NDArray[np.uint8] | None = None
    until_reference = 0.0
    for rgb in read_frames(path):
        grey = reduced_grey(rgb)
        sharpness.append(float(cv2.Laplacian(grey, cv2.CV_64F).var()))
        since = 0.0 if reference is None else median_motion(reference, grey)
        travelled.append(until_reference + since)
        if reference is None or since >= _STEP:
            reference, until_reference = grey, until_reference + since
        report("measuring frames", len(travelled), max(n_frames, len(travelled)))
    return FrameStatistics(np.array(sharpness), np.maximum.accumulate(travelled))


def choose_frames(statistics: FrameStatistics, max_frames: int, frame_motion: float) -> set[int]:
    """Numbers of the selected frames: the sharpest frame of each of equal intervals of image motion.

    An interval has ``frame_motion``, or more if there were more than ``max_frames``. A camera at rest adds no frame.
    """
    travelled = statistics.travelled
    stretches = min(max_frames, math.floor(travelled[-1] / frame_motion) + 1) if frame_motion > 0 else max_frames
    if travelled[-1] < frame_motion:
        return {int(np.argmax(statistics.sharpness))}
    stretch = np.minimum((travelled / travelled[-1] * stretches).astype(int), stretches - 1)
    return {
        int(members[np.argmax(statistics.sharpness[members])])
        for number in range(stretches)
        if len(members := np.flatnonzero(stretch == number))
    }


def median_motion(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> float:
    """Median optical flow (pyramidal Lucas-Kanade) at corners of grey images (H, W), in shares of the longer edge.

    1 where the images have nothing in common.
    """
    corners: Any = cv2.goodFeaturesToTrack(before, _MAX_CORNERS, qualityLevel=0.01, minDistance=7)
    if corners is None:
        return 0.0
    moved, status, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, np.empty_like(corners))
    kept = status.ravel() == 1
    if kept.sum() < min(_MIN_TRACKED, len(corners)):
        return 1.0
    lengths = np.linalg.norm((moved - corners).reshape(-1, 2)[kept], axis=1)
    return float(np.median(lengths)) / max(before.shape)


def reduced_grey(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A frame (H, W, 3) in grey (h, w), with a longer edge of 320 pixels at most: what motion is measured on."""
    scale = _MEASURED_EDGE_PX / max(rgb.shape[:2])
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else grey
    return np.asarray(small, np.uint8)


def read_frames(path: Path) -> Iterator[NDArray[np.uint8]]:
    """(H, W, 3) upright RGB of every frame, with square pixels. Raises InputError at the first that fails to decode."""
    turns, aspect = _turns_and_aspect(path)
    with _errors_named(path):
        for frame in iio.imiter(path, plugin="pyav", thread_type="FRAME"):
            yield np.ascontiguousarray(np.rot90(_with_square_pixels(frame, aspect), turns))


def _with_square_pixels(frame: NDArray[np.uint8], aspect: float) -> NDArray[np.uint8]:
    """A frame whose pixels are ``aspect`` times as wide as high, stretched along its shorter pixel side."""
    height, width = frame.shape[:2]
    return resize_rgb(frame, round(width * max(1.0, aspect)), round(height * max(1.0, 1 / aspect)))


def _turns_and_aspect(path: Path) -> tuple[int, float]:
    """Counter-clockwise turns to display the frames, and width over height of a pixel.

    From PyAV, as imageio cannot read metadata of PyAV 19.
    """
    with _opened(path) as container:
        stream = _video_stream(container, path)
        aspect = float(stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or 1)
        first = next(container.decode(stream), None)
        return 0 if first is None else round(first.rotation / 90), aspect or 1.0


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    with _errors_named(path), av.open(str(path)) as container:
        yield container


@contextmanager
def _errors_named(path: Path) -> Iterator[None]:
    try:
        yield
    except av.InvalidDataError:
        raise InputError(f"{path} cannot be read as a video: it is something else, or damaged") from None
    except (av.FFmpegError, EOFError, OSError, UnicodeError) as error:  # UnicodeError: of its metadata
        raise InputError(f"video {path} cannot be read: {error}") from None


def _video_stream(container: Any, path: Path) -> Any:
    stream = next(itertools.chain(container.streams.video), None)
    if stream is None:
        raise InputError(f"video {path} has no image stream")
    return stream
