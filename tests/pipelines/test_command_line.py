"""The command lines: fast help, options from three sources, exit status 2 for what is refused."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lotus_recon.options import leaf_options
from lotus_recon.recipes.config import MultiViewConfig, SingleViewConfig
from lotus_recon.runners.config import BatchConfig
from lotus_recon.synthetic.rooms.config import RoomsConfig
from pipelines import command_line
from pipelines.batch import Arguments as BatchArguments
from pipelines.command_line import parse, preset
from pipelines.make_rooms import Arguments as MakeRoomsArguments
from pipelines.multi_view import Arguments as MultiViewArguments
from pipelines.single_view import Arguments as SingleViewArguments
from tests.timing import seconds_of_children

PIPELINES = {
    "batch": (BatchArguments, BatchConfig),
    "single_view": (SingleViewArguments, SingleViewConfig),
    "multi_view": (MultiViewArguments, MultiViewConfig),
    "make_rooms": (MakeRoomsArguments, RoomsConfig),
}
WITH_PRESETS = ("single_view", "multi_view")


def run(pipeline: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", f"pipelines.{pipeline}", *arguments], capture_output=True, text=True)


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_help_is_fast_and_shows_every_option(pipeline: str) -> None:
    before = seconds_of_children()
    result = run(pipeline, "--help-all")
    assert result.returncode == 0
    assert seconds_of_children() - before < 2
    _, config_type = PIPELINES[pipeline]
    for option in leaf_options(config_type):
        shown = option.key if option.is_advanced else rf"--(\[no-\])?{option.flag[2:]}"
        assert re.search(rf"^  {shown}( |$)", result.stdout, re.MULTILINE), option.key


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_help_imports_no_large_library(pipeline: str) -> None:
    code = (
        f"import sys; sys.argv = ['x', '--help']; import pipelines.{pipeline} as p\n"
        "try: p.run(['--help'])\nexcept SystemExit: pass\n"
        "print([m for m in ('torch', 'open3d', 'pycolmap', 'scipy', 'cv2', 'transformers', 'ray') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip().splitlines()[-1] == "[]"


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_flag_names_are_unique(pipeline: str) -> None:
    names = [option.flag for option in leaf_options(PIPELINES[pipeline][1]) if not option.is_advanced]
    assert len(names) == len(set(names))


def test_command_line_wins_over_file_wins_over_preset(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("output: {max_size: 300, depth_range_ratio: 7}\n")

    def parsed(*extra: str) -> SingleViewConfig:
        argv = ["a.jpg", "--preset", "fine", *extra]
        build = lambda options: SingleViewArguments(options=options)  # noqa: E731
        return parse(build, preset(SingleViewConfig, "single_view", argv), "single_view", argv).options

    file = ("--config", str(tmp_path / "c.yaml"))
    assert parsed().output.max_size == 2048
    assert (parsed(*file).output.max_size, parsed(*file).output.depth_range_ratio) == (300, 7)
    both = parsed(*file, "--max-size", "200").output
    assert (both.max_size, both.depth_range_ratio) == (200, 7)


@pytest.mark.parametrize("name", ["fast", "default", "fine"])
@pytest.mark.parametrize("pipeline", WITH_PRESETS)
def test_presets_load(pipeline: str, name: str) -> None:
    arguments, config_type = PIPELINES[pipeline]
    argv = ["x", "--preset", name]
    base: Any = preset(config_type, pipeline, argv)
    parsed = parse(lambda options: arguments(options=options), base, pipeline, argv)
    assert parsed.preset == name
    assert (parsed.options == config_type()) == (name == "default")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x.jpg", "--focal-pz", "3"], "focal-px"),
        (["x.jpg", "--preset", "slow"], "fast, default, fine"),
        (["x.jpg", "--config", "none.yaml"], "none.yaml"),
        (["no-such-file.jpg", "--model", "precomputed"], "no-such-file.jpg"),
        (["README.md"], "README.md is not a photo"),
        ([], "photo"),
    ],
)
def test_refused_with_status_2(arguments: list[str], message: str, tmp_path: Path) -> None:
    result = run("single_view", *arguments, "--out", str(tmp_path / "out"))
    assert result.returncode == 2
    assert message in result.stderr + result.stdout
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_an_unknown_model_says_which_exist(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (64, 48), "red").save(tmp_path / "a.png")
    result = run("single_view", str(tmp_path / "a.png"), "--out", str(tmp_path / "out"), "--model", "help")
    assert result.returncode == 2
    assert "lotus-depth-d-v2-0-disparity" in result.stderr
    assert "precomputed" in result.stderr


def test_progress_that_was_shown_is_shown_to_its_end(caplog: pytest.LogCaptureFixture, monkeypatch: Any) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    show = command_line._plain_reporter()
    with caplog.at_level("INFO", logger="lotus_recon"):
        for done in range(4):
            now += 6.0 if done == 1 else 0.0
            show("undistorting", done, 3)
        show("reading", 3, 3)
    assert [record.message for record in caplog.records] == ["undistorting: 1 of 3", "undistorting: 3 of 3"]


def test_a_dry_run_of_multi_view_says_what_would_run_and_does_nothing(tmp_path: Path) -> None:
    photos = Path(__file__).resolve().parents[2] / "data/sample/images"
    shown = run("multi_view", str(photos), "--preset", "fast", "--dry-run", "--out", str(tmp_path / "out"))
    assert shown.returncode == 0, shown.stderr
    lines = [line.split()[0] for line in shown.stdout.splitlines()]
    assert lines[:2] == ["sfm", "frame"]
    assert "texture" not in lines, "the preset leaves it out"
    assert re.fullmatch(r"about .* on this machine, .* GB of disk \([\d.]+ GB free\)", shown.stdout.splitlines()[-1])
    assert not (tmp_path / "out").exists()
