"""A video where photos are expected."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from pipelines import multi_view, single_view
from tests.io.test_video import pan, picture, write_video  # noqa: F401  a fixture

OPTIONS = ["--model", "nano", "--device", "cpu", "--frame-motion", "0.5", "--max-frames", "2", "--quiet"]


@pytest.fixture
def clip(picture: NDArray[np.uint8], tmp_path: Path) -> Path:  # noqa: F811
    """Pans by twice its width."""
    return write_video(tmp_path / "clip.mp4", pan(picture, list(range(0, 640, 8))))


def test_frames_are_photos_of_single_view(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    command = [str(clip), "--frames-as-photos", "--out", str(out), *OPTIONS]
    assert single_view.run([*command, "--dry-run"]) == 0
    assert "calibrate" in capsys.readouterr().out
    assert not out.exists()
    assert single_view.run(command) == 0
    frames = sorted(path.stem for path in (out / "frames").glob("*.jpg"))
    assert len(frames) == 2
    assert sorted(path.parent.name for path in out.glob("*/mesh.ply")) == frames
    assert single_view.run([*command, "--dry-run"]) == 0
    assert "everything is up to date" in capsys.readouterr().out


def test_a_video_comes_alone(clip: Path, tmp_path: Path) -> None:
    for others in ([str(clip), str(tmp_path)], [str(tmp_path / "a.jpg"), str(clip)]):
        with pytest.raises(InputError, match=r"clip\.mp4 is a video, which comes alone"):
            single_view.run([*others, "--out", str(tmp_path / "out"), *OPTIONS])
    with pytest.raises(InputError, match="no_such_model"):  # before frames are taken
        single_view.run([str(clip), "--out", str(tmp_path / "out"), "--model", "no_such_model"])
    assert not (tmp_path / "out").exists()


def test_what_a_scene_of_a_video_takes_at_most(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [str(clip), "--out", str(tmp_path / "out"), "--model", "nano", "--dry-run", "--quiet"]
    totals = []
    for most in ("2", "80"):
        assert multi_view.run([*command, "--max-frames", most]) == 0
        shown = capsys.readouterr().out
        assert {line.split()[0] for line in shown.splitlines()} >= {"frames", "sfm", "mvs", "report"}
        totals.append(shown)
    assert totals[0] != totals[1]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("pipeline", [single_view, multi_view])
def test_what_is_no_video_is_said_before_any_work(clip: Path, tmp_path: Path, pipeline: ModuleType) -> None:
    broken = {"empty": b"", "words": b"no video at all\n" * 50, "half": clip.read_bytes()[: clip.stat().st_size // 2]}
    for name, content in broken.items():
        (tmp_path / f"{name}.mp4").write_bytes(content)
        with pytest.raises(InputError, match=rf"{name}\.mp4 cannot be read as a video: it is something else"):
            pipeline.run([str(tmp_path / f"{name}.mp4"), "--out", str(tmp_path / "out"), *OPTIONS])
    assert not (tmp_path / "out").exists()


def test_one_frame_is_too_few_for_several_views(picture: NDArray[np.uint8], tmp_path: Path) -> None:  # noqa: F811
    one = write_video(tmp_path / "one.mp4", pan(picture, [0]))
    with pytest.raises(InputError, match=r"one\.mp4 gives one frame, and several are needed"):
        multi_view.run([str(one), "--out", str(tmp_path / "out"), "--model", "nano", "--quiet"])
    assert not (tmp_path / "out").exists()
