"""The command that makes rooms, from end to end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lotus_recon.errors import InputError
from lotus_recon.io.images import read_rgb
from lotus_recon.synthetic.rooms.config import RoomsConfig
from lotus_recon.synthetic.rooms.writing import Made
from pipelines.make_rooms import run, summary

SMALL = (
    *("--scenes", "1", "--views", "2", "--size", "48x36", "--seed", "3"),
    *("--renderer", "raycast", "--catalog", "procedural", "--samples", "2"),
)


def test_makes_rooms_and_a_sheet_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--out", str(tmp_path), *SMALL, "--no-mesh"]
    command = [sys.executable, "-m", "pipelines.make_rooms", *arguments]
    first = subprocess.run(command, capture_output=True, text=True)
    assert first.returncode == 0, first.stderr
    assert "1 rooms made with raycast and procedural, 0 existed" in first.stdout
    assert first.stderr.startswith(f"{tmp_path}: 1 of 1 rooms to make, 2 photos each\n"), "said before the work"
    assert not list(tmp_path.glob("*/mesh.ply"))
    sheet = tmp_path / "sheet.png"
    assert run([*arguments, "--sheet", str(sheet), "--sheet-views", "2"]) == 0
    assert "0 rooms made with raycast and procedural, 1 existed" in capsys.readouterr().out
    assert len(np.unique(read_rgb(sheet).reshape(-1, 3), axis=0)) > 100
    with pytest.raises(InputError, match="mesh False, now True"):
        run([*arguments, "--mesh"])


def test_the_folder_must_be_given() -> None:
    with pytest.raises(InputError, match=r"^give --out DIR"):
        run([])


@pytest.mark.parametrize("file", ["config.yaml", "scene_000000/scene.json"])
def test_a_folder_of_something_else_is_refused(file: str, tmp_path: Path) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("{}")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=f"holds {file.split('/')[0]} and no dataset.json: it is no folder of rooms"):
        run(["--out", str(tmp_path), *SMALL])
    assert sorted(tmp_path.rglob("*")) == before


def test_the_summary_names_missing_rooms() -> None:
    line = summary(Path("out"), RoomsConfig(views=4), Made((0, 1), (2,), (3, 4), 5), 16.0)
    assert "2 rooms made" in line
    assert "5 existed, 2.00 s a view, left out: scene_000002, failed: scene_000003, scene_000004" in line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--size", "0"), "--size 0"),
        (("--scenes", "0"), "--scenes 0"),
        (("--sheet", "sheet.jpg"), "must end in .png"),
        (("--sheet-views", "0"), "--sheet-views 0"),
        (("--assets", "no/such/folder", "--catalog", "auto"), "no/such/folder"),
    ],
)
def test_bad_options_are_refused(options: tuple[str, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        run(["--out", str(tmp_path / "out"), *SMALL, *options])
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file or lies below one"):
        run(["--out", str(tmp_path / "file" / "out"), *SMALL])


@pytest.mark.parametrize("option", [("--renderer", "crayon"), ("--catalog", "ikea"), ("--scens", "3")])
def test_unknown_choices_are_refused(option: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{option[0]}( {option[1]}: must be one of|; did you mean --scenes)"):
        run(["--out", str(tmp_path / "out"), *option])
