"""Refinement that is killed goes on after its last finished view, in every pass, and comes to the same maps."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lotus_recon.refinement import one_view, stage
from lotus_recon.refinement.config import AdvancedRefinement, RefinementConfig
from lotus_recon.refinement.maps import Map, save_map
from lotus_recon.refinement.results import RefinementResult
from lotus_recon.types import Scene, SparsePoints, View
from tests.killing import kill_when
from tests.refinement.scenes import OnDisk, views, write

ROOT = Path(__file__).resolve().parents[2]
COUNT = 6
CONFIG = RefinementConfig(advanced=AdvancedRefinement(sources=4, match_px=0.05, best_parallax_deg=8.0, passes=3))
SPOILED = 2  # index of the view whose pose is wrong in the tests of outlier views

_CHILD = """
import sys
from pathlib import Path
from tests.refinement.test_resume import refine_in

refine_in(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "spoiled")
"""


def scene_views(spoiled: bool) -> tuple[View, ...]:
    """Views on an arc; one of them stands elsewhere than its pose says, if they are ``spoiled``."""
    seen = views(COUNT)
    if not spoiled:
        return seen
    pose = seen[SPOILED].cam_from_world.copy()
    pose[:3, 3] += [0.5, -0.4, 0.3]
    return (*seen[:SPOILED], replace(seen[SPOILED], cam_from_world=pose), *seen[SPOILED + 1 :])


def refine_in(root: Path, out: Path, spoiled: bool = False) -> None:
    """The stage on the photos and maps in ``root``."""
    scene = Scene(scene_views(spoiled), SparsePoints.empty())
    stage.run(OnDisk(scene, root / "images", root / "aligned").inputs(error=0.05), CONFIG, out)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("resume")
    write(folder, views(COUNT), amount=0.06)
    return folder


def contents(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def killed_when(root: Path, out: Path, file: str, spoiled: bool = False) -> None:
    """Start the stage in a process of its own and kill -9 it as soon as ``file`` is there."""
    out.mkdir()
    command = [sys.executable, "-c", _CHILD, str(root), str(out), "spoiled" if spoiled else "sound"]
    kill_when(subprocess.Popen(command, cwd=ROOT), (out / file).exists)


@pytest.fixture
def refined(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the views that are compared with their sources, in order, over all passes."""
    names: list[str] = []

    def refining(levels: Any, *rest: Any) -> Any:
        names.append(levels[0].photo.view.name)
        return one_view.refine(levels, *rest)

    monkeypatch.setattr(stage, "refine", refining)
    return names


def map_of(folder: str, index: int) -> str:
    return f"passes/{folder}/{views(COUNT)[index].stem}.npz"


@pytest.mark.slow
@pytest.mark.parametrize(("folder", "passes_before"), [("first", 0), ("later 1", 1), ("later 2", 2)])
def test_killed_within_a_pass(root: Path, tmp_path: Path, refined: list[str], folder: str, passes_before: int) -> None:
    out, undisturbed = tmp_path / "out", tmp_path / "undisturbed"
    killed_when(root, out, map_of(folder, 2))
    kept = len(list((out / "passes").rglob("*.npz")))
    assert COUNT * passes_before + 3 <= kept < COUNT * (passes_before + 1)
    refine_in(root, out)
    assert len(refined) == 3 * COUNT - kept
    refine_in(root, undisturbed)
    assert contents(out) == contents(undisturbed)


@pytest.mark.slow
def test_killed_after_an_outlier_view_was_excluded(
    root: Path, tmp_path: Path, refined: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    out, undisturbed = tmp_path / "out", tmp_path / "undisturbed"
    killed_when(root, out, map_of("first without outlier views", 1), spoiled=True)
    kept = len(list((out / "passes").rglob("*.npz")))
    assert COUNT + 2 <= kept < 2 * COUNT - 1
    with caplog.at_level(logging.WARNING):
        refine_in(root, out, spoiled=True)
    assert f"{views(COUNT)[SPOILED].name} is excluded as an outlier view" in caplog.text
    assert len(refined) == COUNT + 3 * (COUNT - 1) - kept
    refine_in(root, undisturbed, spoiled=True)
    assert contents(out) == contents(undisturbed)


class Killed(BaseException):
    """Stands for the end of the process."""


def killed_by(*_: Any, **__: Any) -> None:
    raise Killed


def test_killed_while_the_final_maps_are_written(
    root: Path, tmp_path: Path, refined: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(RefinementResult, "save", killed_by)
        with pytest.raises(Killed):
            refine_in(root, tmp_path / "out")
    refined.clear()
    refine_in(root, tmp_path / "out")
    assert refined == []
    refine_in(root, tmp_path / "undisturbed")
    assert contents(tmp_path / "out") == contents(tmp_path / "undisturbed")


def half_of(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def without_stats(path: Path) -> None:
    save_map(path.parent, views(COUNT)[0], Map(torch.ones(120, 160), torch.ones(120, 160)))


@pytest.mark.parametrize("damage", [half_of, without_stats])
def test_a_map_of_a_pass_that_cannot_serve_is_computed_again(
    root: Path, tmp_path: Path, refined: list[str], monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(RefinementResult, "save", killed_by)
        with pytest.raises(Killed):
            refine_in(root, tmp_path / "out")
    refined.clear()
    damage(tmp_path / "out" / map_of("later 2", 0))
    refine_in(root, tmp_path / "out")
    assert refined == [views(COUNT)[0].name]
    refine_in(root, tmp_path / "undisturbed")
    assert contents(tmp_path / "out") == contents(tmp_path / "undisturbed")
