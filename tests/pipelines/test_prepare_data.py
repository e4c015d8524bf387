"""python -m pipelines.prepare_data: what it prints, what it writes, and its exit status."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lotus_recon.errors import InputError
from pipelines.prepare_data import run
from tests.datasets.analytic import cut
from tests.datasets.test_hypersim import geometry, photo, write_frame
from tests.datasets.test_rgbd_folder import write_folder
from tests.datasets.test_vkitti2 import depth_file, write_variation

NORMALS = "Scene02/clone/frames/normals_v1/Camera_0/normals_00000.png"


def said(argv: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    status = run([*argv, "--workers", "1"])
    return status, " ".join(capsys.readouterr().out.split())


def test_normals_are_prepared_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_variation(tmp_path, "Scene02/clone", frames=2)
    argv = ["vkitti2", str(tmp_path)]
    status, out = said([*argv, "--no-prepare"], capsys)
    assert (status, "normals of 2 of 2 photos are not prepared" in out) == (0, True)
    assert not (tmp_path / NORMALS).exists()
    status, out = said(argv, capsys)
    assert (status, out.endswith("2 samples looked at, 2 prepared, 0 unusable")) == (0, True)
    written = (tmp_path / NORMALS).stat().st_mtime_ns
    status, out = said([*argv, "--check-all"], capsys)
    assert (status, out.endswith("2 samples opened, 0 unusable")) == (0, True)
    assert (tmp_path / NORMALS).stat().st_mtime_ns == written


def test_cache_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_variation(tmp_path / "data", "Scene02/clone")
    status, _ = said(["vkitti2", str(tmp_path / "data"), "--cache", str(tmp_path / "cache")], capsys)
    assert status == 0
    assert (tmp_path / "cache" / NORMALS).is_file()
    assert not (tmp_path / "data" / NORMALS).exists()


def test_broken_samples_are_named_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for index in range(6):
        write_frame(tmp_path, "ai_001_001", index)
    for index in range(4):
        geometry(tmp_path, "ai_001_001", index, "depth_meters").unlink()
    cut(photo(tmp_path, "ai_001_001", 4))
    status, out = said(["hypersim", str(tmp_path), "--show", "2"], capsys)
    assert status == 1
    assert "frame.0001.depth_meters.hdf5 is missing" in out
    assert "frame.0002.depth_meters.hdf5" not in out
    assert "ai_001_001/cam_00: and 3 more" in out
    assert "6 samples looked at, 5 unusable" in out
    _, out = said(["hypersim", str(tmp_path), "--show", "0"], capsys)
    assert "frame.0004.tonemap.jpg is cut off" in out


def test_check_all_opens_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(tmp_path)
    write_folder(tmp_path / "other", stems=("b",))
    (tmp_path / "depth/a.png").write_bytes((tmp_path / "other/rgb/b.jpg").read_bytes() + b"IEND")
    assert said(["folder", str(tmp_path)], capsys)[0] == 0
    status, out = said(["folder", str(tmp_path), "--check-all"], capsys)
    assert status == 1
    assert "depth/a.png has uint8 pixels; allowed: a 16-bit PNG" in out
    assert "2 samples opened, 1 unusable" in out


def test_preparing_goes_on_past_a_broken_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_variation(tmp_path, "Scene02/clone", frames=2)
    cut(depth_file(tmp_path, "Scene02/clone", 1))
    status, out = said(["vkitti2", str(tmp_path)], capsys)
    assert status == 1
    assert "depth_00001.png is cut off" in out
    assert (tmp_path / NORMALS).is_file()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["kitti"], "allowed are hypersim"),
        (["hypersim"], "no scene folder"),
        (["folder"], "has no truth"),
        (["hypersim", "--cache", "x"], "--cache is for vkitti2"),
        (["folder", "--workers", "0"], "--workers 0: must be a whole number, from 1"),
    ],
)
def test_refused(argv: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        run([argv[0], str(tmp_path), *argv[1:]])


def test_refused_cache_folder_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        run(["vkitti2", str(tmp_path), "--cache", str(tmp_path / "cache")])
    assert not (tmp_path / "cache").exists()


def test_exit_status_2_and_light_help(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipelines.prepare_data"]
    result = subprocess.run([*command, "folder", str(tmp_path / "none")], capture_output=True, text=True)
    assert result.returncode == 2
    assert "does not exist" in result.stderr
    assert "Traceback" not in result.stderr
    code = (
        "import sys, pipelines.prepare_data as p\n"
        "try: p.run(['--help'])\nexcept SystemExit: pass\n"
        "print([m for m in ('torch', 'cv2', 'h5py', 'numpy') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip().splitlines()[-1] == "[]"
