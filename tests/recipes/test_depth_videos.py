"""Depth of a video: what was planted in its frames is gone in what is written, and bad videos are refused at once."""

from __future__ import annotations

import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lotus_recon.errors import InputError
from lotus_recon.io.maps import load_prediction, save_prediction
from lotus_recon.types import DepthKind, DepthMap, Prediction
from pipelines import single_view
from tests.io.test_video import pan, picture, write_video  # noqa: F401  a fixture

FRAMES, CUT = 16, 9
WIDTH, HEIGHT = 161, 120  # odd: the coloured video gets another column
STORED = ["--model", "precomputed", "--quiet"]


def scene(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A wide picture with corners everywhere, and a smooth disparity for it."""
    random = np.random.default_rng(seed)
    rgb = cv2.resize(random.integers(0, 255, (30, 60, 3), np.uint8), (480, 240), interpolation=cv2.INTER_CUBIC)
    disparity = cv2.resize(random.uniform(0.2, 1.0, (4, 8)).astype(np.float32), (480, 240))
    return np.asarray(rgb, np.uint8), np.asarray(disparity, np.float32)


def write_clip(root: Path) -> list[NDArray[np.float32]]:
    """Frames in photos/, maps of flickering scale and shift in maps/: a camera that turns, and a cut. The truth."""
    random, truth = np.random.default_rng(5), []
    (root / "photos").mkdir()
    for index in range(FRAMES):
        rgb, disparity = scene(int(index >= CUT))
        window = np.s_[20 : 20 + HEIGHT, 4 * index : 4 * index + WIDTH]
        Image.fromarray(np.ascontiguousarray(rgb[window])).save(root / f"photos/{index:02d}.png")
        true = disparity[window]
        scale, shift = np.exp(random.normal(0, 0.2)), random.normal(0, 0.1)
        depth = DepthMap(scale * true + shift, np.ones_like(true, bool), DepthKind.AFFINE_DISPARITY)
        save_prediction(root / f"maps/{index:02d}.npz", Prediction(depth, None, {}))
        truth.append(true)
    return truth


def off_one_fit(maps: list[NDArray[np.float32]], truth: list[NDArray[np.float32]]) -> float:
    """Mean error of maps after one scale and shift for all of them, as a share of the spread of the truth."""
    values, true = np.stack(maps).ravel(), np.stack(truth).ravel()
    return float(np.abs(np.polyval(np.polyfit(values, true, 1), values) - true).mean() / true.std())


def read(path: Path) -> list[NDArray[np.float32]]:
    maps = [load_prediction(file).depth for file in sorted(path.glob("*.npz"))]
    return [depth.values for depth in maps if depth is not None]


def test_flicker_goes_and_every_file_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, out = write_clip(tmp_path), tmp_path / "out"
    command = [str(tmp_path / "photos"), "--video", "--out", str(out), *STORED, "--predictions", str(tmp_path / "maps")]
    assert single_view.run([*command, "--dry-run"]) == 0
    assert {line.split()[0] for line in capsys.readouterr().out.splitlines()} >= {"predict", "steady"}
    assert not out.exists()
    assert single_view.run(command) == 0
    flickering, steady = read(tmp_path / "maps"), read(out / "video/frames")
    for part in (np.s_[:CUT], np.s_[CUT:]):
        assert off_one_fit(flickering[part], truth[part]) > 0.15
        assert off_one_fit(steady[part], truth[part]) < 0.05
    told = json.loads((out / "video/video.json").read_text())
    assert [frame["scene"] for frame in told["frames"]] == [0] * CUT + [1] * (FRAMES - CUT)

    with av.open(str(out / "video/depth_16bit.mkv")) as container:
        numbers = [frame.to_ndarray() for frame in container.decode(video=0)]
    for values, coded, frame in zip(steady, numbers, told["frames"], strict=True):
        limits = told["scenes"][frame["scene"]]
        step = (limits["high"] - limits["low"]) / 65534
        np.testing.assert_allclose(limits["low"] + (coded.astype(float) - 1) * step, values, atol=0.51 * step + 1e-6)
    with av.open(str(out / "video/depth.mp4")) as container:
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert container.streams.video[0].average_rate == 30
    assert len(shown) == FRAMES
    assert shown[0].shape == (HEIGHT, WIDTH + 1, 3)
    near, far = (np.unravel_index(pick(steady[2]), steady[2].shape) for pick in (np.argmax, np.argmin))
    assert int(shown[2][near][0]) > int(shown[2][near][2])  # near is red, far is blue
    assert int(shown[2][far][2]) > int(shown[2][far][0])

    assert single_view.run([*command, "--dry-run"]) == 0
    assert "everything is up to date" in capsys.readouterr().out


@pytest.mark.parametrize("kind", [DepthKind.METRIC, DepthKind.AFFINE])
def test_depth_keeps_its_kind(kind: DepthKind, tmp_path: Path) -> None:
    truth, random = write_clip(tmp_path)[:CUT], np.random.default_rng(2)
    for path in sorted((tmp_path / "photos").iterdir())[CUT:]:
        path.unlink()
        (tmp_path / f"maps/{path.stem}.npz").unlink()
    for index, true in enumerate(truth):  # of metric depth a scale flickers, of affine one a shift too
        shift = random.normal(0, 0.3) if kind.has_shift else 0.0
        depth = DepthMap((np.exp(random.normal(0, 0.2)) / true + shift).astype(np.float32), true > 0, kind)
        save_prediction(tmp_path / f"maps/{index:02d}.npz", Prediction(depth, None, {}))
    out = tmp_path / "out"
    command = [str(tmp_path / "photos"), "--video", "--out", str(out), "--predictions", str(tmp_path / "maps")]
    assert single_view.run([*command, *STORED]) == 0
    assert load_prediction(out / "video/frames/03.npz").depth.kind is kind  # type: ignore[union-attr]
    off = [
        off_one_fit(read(folder), [np.float32(1) / true for true in truth])
        for folder in (tmp_path / "maps", out / "video/frames")
    ]
    assert off[0] > 0.15
    assert off[1] < 0.05
    if not kind.has_shift:
        sizes = [float(np.median(np.stack(read(folder)))) for folder in (tmp_path / "maps", out / "video/frames")]
        assert sizes[1] == pytest.approx(sizes[0], rel=0.1)  # metres stay metres


def test_a_run_that_was_interrupted_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_clip(tmp_path)
    folders = ["--predictions", str(tmp_path / "maps")]
    whole, cut_off = ([str(tmp_path / "photos"), "--video", "--out", str(tmp_path / name)] for name in ("a", "b"))
    assert single_view.run([*whole, *STORED, *folders]) == 0
    saved: list[Path] = []

    def fail_at_seven(path: Path, maps: Prediction) -> None:
        if len(saved) == 7:
            raise OSError("the disk is gone")
        saved.append(path)
        save_prediction(path, maps)

    with monkeypatch.context() as patched:
        patched.setattr("lotus_recon.video.prediction.save_prediction", fail_at_seven)
        assert single_view.run([*cut_off, *STORED, *folders]) == 1
    assert single_view.run([*cut_off, *STORED, *folders]) == 0
    for one, other in zip(read(tmp_path / "a/video/frames"), read(tmp_path / "b/video/frames"), strict=True):
        np.testing.assert_array_equal(one, other)


def variable(path: Path, frames: list[NDArray[np.uint8]]) -> Path:
    """A video in which one frame is shown three times as long."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height = frames[0].shape[1], frames[0].shape[0]
        for index, frame in enumerate(frames):
            shown = av.VideoFrame.from_ndarray(frame, format="rgb24")
            shown.pts = index + 2 * (index > 5)
            container.mux(stream.encode(shown))
        container.mux(stream.encode())
    return path


def corrupt(path: Path, frames: list[NDArray[np.uint8]]) -> Path:
    """A video with noise in the place of a frame in the middle."""
    write_video(path, frames)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        start, size = packets[len(packets) // 2].pos, packets[len(packets) // 2].size
    assert start is not None
    data = bytearray(path.read_bytes())
    data[start + 8 : start + size] = np.random.default_rng(0).integers(0, 255, size - 8, np.uint8).tobytes()
    path.write_bytes(data)
    return path


def test_bad_videos_are_refused_before_any_work(picture: NDArray[np.uint8], tmp_path: Path) -> None:  # noqa: F811
    frames = pan(picture, list(range(0, 160, 8)))
    one = write_video(tmp_path / "one.mp4", frames[:1])
    cases = {
        "has a variable frame rate": variable(tmp_path / "variable.mp4", frames),
        "has one frame; depth over time needs 2 or more": one,
        "is damaged": corrupt(tmp_path / "corrupt.mp4", frames),
    }
    for message, video in cases.items():
        with pytest.raises(InputError, match=rf"{video.name} {message}"):
            single_view.run([str(video), "--out", str(tmp_path / "out"), "--model", "nano", "--quiet"])
    assert not (tmp_path / "out").exists()


def test_bad_folders_of_frames_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    command = [str(folder), "--video", "--out", str(tmp_path / "out"), "--model", "nano", "--quiet"]
    for size in ((64, 48), (64, 50)):
        Image.new("RGB", size).save(folder / f"{size[1]}.png")
        with pytest.raises(InputError, match="has one photo" if size[1] == 48 else "frames of one video have one size"):
            single_view.run(command)
    Image.new("RGB", (64, 48)).save(folder / "50.png")
    data = (folder / "50.png").read_bytes()
    (folder / "50.png").write_bytes(data[: len(data) // 2 + 8])
    with pytest.raises(InputError, match=r"50\.png"):
        single_view.run(command)
    with pytest.raises(InputError, match="one folder of frames, or one video"):
        single_view.run([str(folder), *command])
    assert not (tmp_path / "out").exists()
