"""Bookkeeping of a finished run that something broke: made again or named, never a traceback, never another result."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml

from lotus_recon.errors import ReconError
from pipelines.multi_view import run
from tests.runners.scenes import contents, write_views

DAMAGES: Mapping[str, Callable[[Path], object]] = {
    "emptied": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "replaced by a list": lambda path: path.write_text(json.dumps([1, 2])),
    "deleted": lambda path: path.unlink(),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """The command line of a scene, and the folder above the one where it was run."""
    root = tmp_path_factory.mktemp("damage")
    entry = write_views(root, "room", 4)
    (root / "options.yaml").write_text(yaml.safe_dump(entry["options"]))
    paths = {name: str(root / entry[name]) for name in ("images", "predictions", "poses")}
    given = ["--predictions", paths["predictions"], "--poses", paths["poses"], "--config", str(root / "options.yaml")]
    command = [paths["images"], "--model", "precomputed", *given, "--quiet"]
    assert run([*command, "--out", str(root / "runs/scene")]) == 0
    return command, root / "runs"


def bookkeeping(out: Path) -> list[str]:
    """Files that are not results: what stages were made with, whose folder it is, options, log, lock."""
    files = [path for path in out.rglob("*") if path.is_file()]
    return sorted(
        path.relative_to(out).as_posix()
        for path in files
        if path.suffix == ".json" or path.name.startswith(".") or path.name in ("config.yaml", "log.txt")
    )


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("damage", DAMAGES)
def test_every_damaged_file_is_made_again_or_named(
    damage: str, finished: tuple[list[str], Path], tmp_path: Path
) -> None:
    command, whole = finished
    expected = contents(whole)
    names = bookkeeping(whole / "scene")
    assert {".owners.json", "config.yaml", "sfm/stage.json", "report/report.json"} <= set(names)
    for name in names:
        shutil.rmtree(tmp_path / "runs", ignore_errors=True)
        shutil.copytree(whole, tmp_path / "runs")
        DAMAGES[damage](tmp_path / "runs/scene" / name)
        refusal = _run_again([*command, "--out", str(tmp_path / "runs/scene")])
        if refusal is not None:
            assert str(tmp_path / "runs/scene") in refusal, f"{name}: {refusal}"
            continue
        found = contents(tmp_path / "runs")
        assert {key for key in expected if found.get(key) != expected[key]} == set(), name


def _run_again(command: list[str]) -> str | None:
    """Why a run is refused; None when it is done."""
    try:
        assert run(command) == 0
    except ReconError as error:
        return str(error)
    return None
