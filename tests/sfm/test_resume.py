"""Structure from motion that is killed keeps features and matches, and comes to the same result when run again."""

from __future__ import annotations

import contextlib
import logging
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL.Image  # noqa: F401  must come before pycolmap
import pycolmap
import pytest

from lotus_recon import threads
from lotus_recon.config import Runtime
from lotus_recon.io.images import list_photos
from lotus_recon.sfm import stage
from lotus_recon.sfm.config import SfmConfig
from lotus_recon.sfm.database import FeatureFolder
from lotus_recon.workspace import file_fingerprint
from tests.killing import kill_when
from tests.sfm.helpers import render_photos

ROOT = Path(__file__).resolve().parents[2]
VIEWS, PAIRS = 6, 15
WORKING = ".working/features"
DATABASE = f"{WORKING}/database.db"

_CHILD = """
import sys
from pathlib import Path
from lotus_recon.sfm import matching
from tests.sfm.test_resume import reconstruct

matching._TILE = 2
reconstruct(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def reconstruct(photos: Path, out: Path) -> None:
    """The stage, bit for bit the same every time; two photos at a time."""
    threads.set_thread_limit(1)
    try:
        stage.run(stage.Inputs(list_photos(photos), runtime=Runtime(deterministic=True)), SfmConfig(), out)
    finally:
        threads.set_thread_limit(None)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("resume") / "photos"
    render_photos(folder, VIEWS, (800, 600))
    return folder


@pytest.fixture(scope="module")
def undisturbed(photos: Path) -> dict[str, Any]:
    out = photos.parent / "undisturbed"
    out.mkdir()
    reconstruct(photos, out)
    return contents(out)


def rows(database: Path, table: str) -> int:
    """Rows of a table of a database that another process is writing; 0 before there is one."""
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as c,
    ):
        return int(c.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
    return 0


def contents(out: Path) -> dict[str, Any]:
    """Every file of a folder; of the database, what its tables hold."""
    found: dict[str, Any] = {
        path.relative_to(out).as_posix(): file_fingerprint(path)
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != "database.db"
    }
    with contextlib.closing(sqlite3.connect(out / "database.db")) as connection:
        for table in ("cameras", "images", "keypoints", "descriptors", "matches", "two_view_geometries"):
            found[table] = connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
    return found


def killed_when(photos: Path, out: Path, is_time: Callable[[], bool]) -> None:
    """Start the stage in a process of its own and kill -9 it as soon as ``is_time``."""
    out.mkdir()
    kill_when(subprocess.Popen([sys.executable, "-c", _CHILD, str(photos), str(out)], cwd=ROOT), is_time)


@pytest.fixture
def worked_on(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many photos COLMAP is asked to find features in, and how many pairs to match."""
    asked = {"photos": 0, "pairs": 0}
    extract, match = pycolmap.extract_features, pycolmap.match_image_pairs

    def extracting(database: str, images: str, names: list[str], **more: Any) -> None:
        asked["photos"] += len(names)
        extract(database, images, names, **more)

    def matching(database: str, options: Any, pairing: Any, *rest: Any, **more: Any) -> None:
        asked["pairs"] += len(Path(pairing.match_list_path).read_text().splitlines())
        match(database, options, pairing, *rest, **more)

    monkeypatch.setattr(pycolmap, "extract_features", extracting)
    monkeypatch.setattr(pycolmap, "match_image_pairs", matching)
    return asked


@pytest.mark.slow
def test_killed_while_finding_features(
    photos: Path, undisturbed: dict[str, Any], tmp_path: Path, worked_on: dict[str, int]
) -> None:
    out = tmp_path / "out"
    killed_when(photos, out, lambda: rows(out / DATABASE, "keypoints") >= 3)
    kept = rows(out / DATABASE, "keypoints")
    assert 3 <= kept < VIEWS
    assert rows(out / DATABASE, "descriptors") == kept
    reconstruct(photos, out)
    assert VIEWS - kept <= worked_on["photos"] <= VIEWS - 2, (
        "the colours of a photo may be missing where features are there"
    )
    assert worked_on["pairs"] == PAIRS
    assert contents(out) == undisturbed


@pytest.mark.slow
def test_killed_while_matching(
    photos: Path, undisturbed: dict[str, Any], tmp_path: Path, worked_on: dict[str, int]
) -> None:
    out = tmp_path / "out"
    killed_when(photos, out, lambda: rows(out / DATABASE, "two_view_geometries") > 0)
    kept = rows(out / DATABASE, "two_view_geometries")
    assert 0 < kept < PAIRS
    assert rows(out / DATABASE, "matches") == kept
    reconstruct(photos, out)
    assert worked_on == {"photos": 0, "pairs": PAIRS - kept}
    assert contents(out) == undisturbed


@pytest.mark.slow
def test_killed_while_mapping(
    photos: Path, undisturbed: dict[str, Any], tmp_path: Path, worked_on: dict[str, int]
) -> None:
    out = tmp_path / "out"
    killed_when(photos, out, lambda: rows(out / DATABASE, "two_view_geometries") == PAIRS)
    assert not (out / "sfm.json").exists()
    reconstruct(photos, out)
    assert worked_on == {"photos": 0, "pairs": 0}
    assert contents(out) == undisturbed


@pytest.mark.slow
def test_killed_while_finding_more_features(tmp_path: Path, worked_on: dict[str, int]) -> None:
    """Of photos so small that the first features do not register half of them."""
    photos, out, whole = (tmp_path / name for name in ("photos", "out", "whole"))
    render_photos(photos, VIEWS, (512, 384))
    more = out / ".working/more_features/database.db"
    killed_when(photos, out, lambda: rows(more, "keypoints") >= 3)
    assert 3 <= rows(more, "keypoints") < VIEWS
    reconstruct(photos, out)
    assert 0 < worked_on["photos"] <= VIEWS - 2
    assert worked_on["pairs"] == PAIRS
    whole.mkdir()
    reconstruct(photos, whole)
    assert contents(out) == contents(whole)


@pytest.fixture(scope="module")
def half_done(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run left that was killed while it matched. Tests copy it before they damage it."""
    out = tmp_path_factory.mktemp("half") / "out"
    killed_when(photos, out, lambda: rows(out / DATABASE, "two_view_geometries") > 0)
    return out


def truncate(path: Path, share: float) -> None:
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def cut_off(path: Path) -> None:
    truncate(path, 0.4)


def overwrite_pages(path: Path) -> None:
    """Damage pages of a database whose journal is written back."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)


def replace_by_text(path: Path) -> None:
    path.write_text("no database")


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.9, 0.3])
def test_a_cut_journal_loses_its_end_only(
    photos: Path, half_done: Path, undisturbed: dict[str, Any], tmp_path: Path, worked_on: dict[str, int], share: float
) -> None:
    out = tmp_path / "out"
    shutil.copytree(half_done, out)
    truncate(out / f"{DATABASE}-wal", share)
    reconstruct(photos, out)
    kept = rows(half_done / DATABASE, "two_view_geometries")
    assert worked_on["photos"] + worked_on["pairs"] > PAIRS - kept, "something was lost"
    assert contents(out) == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("damage", [overwrite_pages, cut_off, replace_by_text])
def test_a_broken_database_is_thrown_away(
    photos: Path,
    half_done: Path,
    undisturbed: dict[str, Any],
    tmp_path: Path,
    worked_on: dict[str, int],
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path], None],
) -> None:
    out = tmp_path / "out"
    shutil.copytree(half_done, out)
    damage(out / DATABASE)
    with caplog.at_level(logging.WARNING):
        reconstruct(photos, out)
    assert "features of an interrupted run cannot be used" in caplog.text
    assert worked_on == {"photos": VIEWS, "pairs": PAIRS}
    assert contents(out) == undisturbed


@pytest.mark.slow
def test_killed_when_all_is_written(
    photos: Path, undisturbed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is handed over and its features are not: they cannot serve again."""

    class Killed(BaseException):
        pass

    hand_over = FeatureFolder.hand_over

    def killed_after_it(folder: FeatureFolder, target: Path) -> None:
        hand_over(folder, target)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(FeatureFolder, "hand_over", killed_after_it)
        with pytest.raises(Killed):
            reconstruct(photos, tmp_path)
    assert (tmp_path / "database.db").exists()
    assert list((tmp_path / WORKING).iterdir())
    reconstruct(photos, tmp_path)
    assert contents(tmp_path) == undisturbed
