"""Frames of videos whose motion and blur are known."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lotus_recon.errors import InputError
from lotus_recon.io.video import (
    FrameStatistics,
    check_video,
    choose_frames,
    extract_frames,
    measure_frames,
    median_motion,
)

SIZE = (320, 180)


@pytest.fixture(scope="module")
def picture() -> NDArray[np.uint8]:
    """A wide picture with corners everywhere."""
    noise = np.random.default_rng(0).integers(0, 255, (60, 200, 3), np.uint8)
    return np.asarray(cv2.resize(noise, (1600, 480), interpolation=cv2.INTER_CUBIC), np.uint8)


def write_video(path: Path, frames: list[NDArray[np.uint8]], pixel_aspect: Fraction = Fraction(1)) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30, options={"qscale": "2"})
        stream.width, stream.height, stream.bit_rate = frames[0].shape[1], frames[0].shape[0], 8_000_000
        stream.codec_context.sample_aspect_ratio = pixel_aspect
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def pan(picture: NDArray[np.uint8], offsets: list[int], blurred: tuple[int, ...] = ()) -> list[NDArray[np.uint8]]:
    """Windows into the picture at the given pixels; some blurred."""
    frames = [picture[:180, offset : offset + 320].copy() for offset in offsets]
    return [np.asarray(cv2.GaussianBlur(f, (0, 0), 4), np.uint8) if i in blurred else f for i, f in enumerate(frames)]


def test_motion_is_what_was_panned(picture: NDArray[np.uint8]) -> None:
    before, after = (cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in pan(picture, [100, 108]))
    assert median_motion(np.asarray(before), np.asarray(after)) == pytest.approx(8 / 320, rel=0.02)


def test_frames_are_spread_by_motion_and_sharp(picture: NDArray[np.uint8], tmp_path: Path) -> None:
    still, moving = [0] * 20, list(range(0, 640, 8))  # the camera rests first: that must not give twenty photos
    blurred = tuple(i for i in range(100) if i % 4)
    video = write_video(tmp_path / "pan.mp4", pan(picture, still + moving, blurred))
    assert check_video(video).frames == 100
    statistics = measure_frames(video, 100)
    assert statistics.travelled[19] < 0.005
    assert statistics.travelled[-1] == pytest.approx(632 / 320, rel=0.05)
    written = extract_frames(video, tmp_path, max_frames=50, frame_motion=0.2)
    numbers = [int(path.stem.split("_")[1]) for path in written]
    assert len(numbers) == 10, "floor(1.975 / 0.2) + 1"
    assert all(number % 4 == 0 for number in numbers), "blurred frames are not taken"
    assert sum(number < 20 for number in numbers) <= 1
    assert Image.open(written[0]).size == SIZE
    assert len(choose_frames(statistics, 5, 0.2)) == 5


def test_the_choice_is_that_of_the_definition() -> None:
    statistics = FrameStatistics(np.array([1.0, 5, 2, 9, 3, 4]), np.arange(6, dtype=np.float64) / 10)
    assert choose_frames(statistics, 80, 0.25) == {1, 3, 5}  # stretches of 1/6: frames 0-1, 2-3, 4-5


@pytest.mark.parametrize(("aspect", "size"), [(Fraction(4, 3), (427, 180)), (Fraction(8, 9), (320, 202))])
def test_pixels_become_square(
    picture: NDArray[np.uint8], tmp_path: Path, aspect: Fraction, size: tuple[int, int]
) -> None:
    # A disc that the camera squeezed: its pixels are wider or narrower than high.
    frames = pan(picture, list(range(0, 320, 32)))
    for frame in frames:
        cv2.ellipse(frame, (160, 90), (round(60 / aspect), 60), 0, 0, 360, (255, 0, 0), -1)
    video = write_video(tmp_path / "wide.mkv", frames, aspect)
    written = extract_frames(video, tmp_path, max_frames=5, frame_motion=0.05)
    with Image.open(written[0]) as image:
        rgb = np.asarray(image).astype(int)
    assert (rgb.shape[1], rgb.shape[0]) == size
    rows, columns = np.nonzero((rgb[..., 0] > 200) & (rgb[..., 1:].max(-1) < 60))
    width, height = (np.ptp(np.percentile(side, (2, 98))) for side in (columns, rows))
    assert width / height == pytest.approx(1, rel=0.03)


@pytest.mark.parametrize("frames", [1, 10])
def test_a_camera_that_stands_still_gives_one_frame_and_a_word(
    picture: NDArray[np.uint8], tmp_path: Path, frames: int, caplog: pytest.LogCaptureFixture
) -> None:
    video = write_video(tmp_path / "still.mp4", pan(picture, [0] * frames))
    assert len(extract_frames(video, tmp_path, 80, 0.08)) == 1
    assert "--frame-motion" in caplog.text


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_a_truncated_video_is_named(picture: NDArray[np.uint8], tmp_path: Path, suffix: str) -> None:
    video = write_video(tmp_path / f"whole.{suffix}", pan(picture, list(range(0, 800, 8))))
    assert check_video(video).frames == 100
    data = video.read_bytes()
    video.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=str(video)):
        check_video(video)


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("not a video")
    (tmp_path / "empty.mp4").touch()
    for name in ("text.mp4", "empty.mp4"):
        with pytest.raises(InputError, match="cannot be read"):
            check_video(tmp_path / name)
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        container.mux(container.add_stream("aac", rate=8000).encode(None))
    with pytest.raises(InputError, match=r"no picture|cannot be read"):
        check_video(tmp_path / "sound.mp4")


def test_a_phone_held_upright_gives_upright_frames(picture: NDArray[np.uint8], tmp_path: Path) -> None:
    """Rotation in the container is applied, as EXIF rotation is."""
    video = write_video(tmp_path / "pan.mp4", pan(picture, list(range(0, 320, 8))))
    turned = tmp_path / "turned.mp4"
    # The matrix of the track header (ISO 14496-12, 8.3.2): 16.16 fixed point; here a quarter turn clockwise.
    data = bytearray(video.read_bytes())
    unit, place = (0x00010000).to_bytes(4, "big"), data.find(b"tkhd")
    matrix = data.find(unit, place + 40)
    zero, minus = bytes(4), (0xFFFF0000).to_bytes(4, "big")
    data[matrix : matrix + 20] = zero + unit + zero + minus + zero
    turned.write_bytes(data)
    upright = extract_frames(turned, tmp_path, 3, 0.2)
    assert Image.open(upright[0]).size == SIZE[::-1]
    first = np.asarray(Image.open(upright[0]).convert("L"), float)
    start = 8 * int(upright[0].stem.split("_")[1])
    shown = Image.fromarray(picture[:180, start : start + 320]).convert("L")
    expected = np.rot90(np.asarray(shown, float), -1)
    assert np.corrcoef(first.ravel(), expected.ravel())[0, 1] > 0.9
