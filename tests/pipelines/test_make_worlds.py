"""The command that makes worlds, from end to end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lotus_recon.datasets.rooms import RoomsSet
from lotus_recon.errors import InputError
from lotus_recon.io.images import read_rgb
from pipelines.make_worlds import run
from tests.synthetic.worlds.plain_worlds import SMALL


def test_makes_worlds_and_a_sheet_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--out", str(tmp_path), "--family", "streets", *SMALL]
    assert run(arguments) == 0
    assert "2 worlds made of streets, 0 existed" in capsys.readouterr().out
    worlds = RoomsSet(tmp_path, "all")
    samples = [worlds.load(index) for index in range(len(worlds))]
    assert len(samples) == 4
    assert any(sample.sky is not None and sample.sky.any() for sample in samples)
    farthest = max(sample.depth.max() for sample in samples if sample.depth is not None)  # 0 where there is none
    assert farthest > 20, "farther than rooms' unit of depth reaches"
    scene = json.loads((tmp_path / "scene_000000/scene.json").read_text())
    assert scene["family"] == "streets"
    assert scene["depth"] == "log"
    sheet = tmp_path / "sheet.png"
    assert run([*arguments, "--sheet", str(sheet), "--sheet-views", "2"]) == 0
    assert "0 worlds made of streets, 2 existed" in capsys.readouterr().out
    assert len(np.unique(read_rgb(sheet).reshape(-1, 3), axis=0)) > 100


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--family", "moons"), r"--family moons: must be some of streets, objects, creatures"),
        (("--family", ","), r"--family"),
        (("--family", "creatures", "--catalog", "procedural"), "no people and animals"),
        (("--assets", "no/such/folder"), "no models of games in no/such/folder"),
        (("--size", "0"), "--size 0"),
        (("--jpeg-lowest", "99"), "--jpeg-lowest 99"),
    ],
)
def test_bad_options_are_refused(options: tuple[str, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        run(["--out", str(tmp_path / "out"), *options])
    assert not (tmp_path / "out").exists()


def test_a_data_set_of_rooms_is_refused(tmp_path: Path) -> None:
    from lotus_recon.synthetic.rooms.config import RoomsConfig
    from lotus_recon.synthetic.rooms.writing import claim

    claim(tmp_path, RoomsConfig(catalog="procedural", renderer="raycast"))
    with pytest.raises(InputError, match="different settings"):
        run(["--out", str(tmp_path), *SMALL])
