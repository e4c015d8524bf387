"""Multi-view stereo that is killed goes on after its last finished view, in every pass, and comes to the same maps."""

from __future__ import annotations

import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lotus_recon.errors import InputError
from lotus_recon.mvs import passes, stage
from lotus_recon.mvs.config import AdvancedMvs, MvsConfig
from lotus_recon.mvs.results import MvsResult
from lotus_recon.mvs.search import search
from lotus_recon.types import Scene, SparsePoints, View
from tests.killing import kill_when
from tests.mvs.scenes import OnDisk, views, write

ROOT = Path(__file__).resolve().parents[2]
COUNT = 6
CONFIG = MvsConfig(advanced=AdvancedMvs(sources=4, best_parallax_deg=8.0, passes=3))
SPOILED = 2  # index of the view whose pose is wrong in the test of outlier views

_CHILD = """
import sys
from pathlib import Path
from tests.mvs.test_resume import search_in

search_in(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "spoiled")
"""


def scene_views(spoiled: bool) -> tuple[View, ...]:
    """Views on an arc; one of them stands elsewhere than its pose says, if they are ``spoiled``."""
    seen = views(COUNT)
    if not spoiled:
        return seen
    pose = seen[SPOILED].cam_from_world.copy()
    pose[:3, 3] += [0.5, -0.4, 0.3]
    return (*seen[:SPOILED], replace(seen[SPOILED], cam_from_world=pose), *seen[SPOILED + 1 :])


def search_in(root: Path, out: Path, spoiled: bool = False) -> None:
    """The stage on the photos and maps in ``root``."""
    stage.run(OnDisk(Scene(scene_views(spoiled), SparsePoints.empty()), root).inputs(), CONFIG, out)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("resume")
    write(folder, views(COUNT))
    return folder


def contents(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def killed_when(root: Path, out: Path, file: str, spoiled: bool = False) -> None:
    """Start the stage in a process of its own and kill -9 it as soon as ``file`` is there."""
    out.mkdir()
    command = [sys.executable, "-c", _CHILD, str(root), str(out), "spoiled" if spoiled else "sound"]
    kill_when(subprocess.Popen(command, cwd=ROOT), (out / file).exists)


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for every search of a view in a pass: how many photos it was compared with."""
    counts: list[int] = []

    def searching(photo: Any, others: Any, *rest: Any) -> Any:
        counts.append(len(others))
        return search(photo, others, *rest)

    monkeypatch.setattr(passes, "search", searching)
    return counts


def map_of(number: int, index: int) -> str:
    return f"passes/{number}/{views(COUNT)[index].stem}.npz"


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 2, 3])
def test_killed_within_a_pass(root: Path, tmp_path: Path, searched: list[int], number: int) -> None:
    out, undisturbed = tmp_path / "out", tmp_path / "undisturbed"
    killed_when(root, out, map_of(number, 2))
    kept = len(list((out / "passes").rglob("*.npz")))
    assert COUNT * (number - 1) + 3 <= kept < COUNT * number
    search_in(root, out)
    assert len(searched) == 3 * COUNT - kept
    search_in(root, undisturbed)
    assert contents(out) == contents(undisturbed)


@pytest.mark.slow
def test_killed_after_an_outlier_view_was_excluded(
    root: Path, tmp_path: Path, searched: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    out, undisturbed = tmp_path / "out", tmp_path / "undisturbed"
    killed_when(root, out, map_of(2, 1), spoiled=True)
    kept = len(list((out / "passes").rglob("*.npz")))
    assert COUNT + 2 <= kept < 2 * COUNT - 1
    with caplog.at_level(logging.WARNING):
        search_in(root, out, spoiled=True)
    assert f"{views(COUNT)[SPOILED].name} is excluded as an outlier view" in caplog.text
    assert len(searched) == COUNT + 2 * (COUNT - 1) - kept
    search_in(root, undisturbed, spoiled=True)
    assert contents(out) == contents(undisturbed)


class Killed(BaseException):
    """Stands for the end of the process."""


def killed_by(*_: Any, **__: Any) -> None:
    raise Killed


def test_killed_within_a_pass_of_this_process(
    root: Path, tmp_path: Path, searched: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(photo: Any, others: Any, *rest: Any) -> Any:
        if len(searched) == COUNT + 2:
            raise Killed
        searched.append(len(others))
        return search(photo, others, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(passes, "search", dying)
        with pytest.raises(Killed):
            search_in(root, tmp_path / "out")
    search_in(root, tmp_path / "out")
    assert len(searched) == 3 * COUNT
    search_in(root, tmp_path / "undisturbed")
    assert contents(tmp_path / "out") == contents(tmp_path / "undisturbed")


def test_killed_while_the_final_maps_are_written(
    root: Path, tmp_path: Path, searched: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(MvsResult, "save", killed_by)
        with pytest.raises(Killed):
            search_in(root, tmp_path / "out")
    searched.clear()
    search_in(root, tmp_path / "out")
    assert searched == []
    search_in(root, tmp_path / "undisturbed")
    assert contents(tmp_path / "out") == contents(tmp_path / "undisturbed")


def test_a_broken_map_of_a_pass_is_named(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(MvsResult, "save", killed_by)
        with pytest.raises(Killed):
            search_in(root, tmp_path / "out")
    path = tmp_path / "out" / map_of(3, 0)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=r"passes/3/00\.npz cannot be read"):
        search_in(root, tmp_path / "out")
