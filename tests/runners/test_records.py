"""Records of a batch that are damaged count as not there: the scene is looked at again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lotus_recon.recipes.base import StageRun
from lotus_recon.runners.records import DONE, NOT_RUN, RECORD_FILE, THUMBNAIL, Record, read_record
from lotus_recon.workspace import OWNERS_FILE, Hashes, Place, Workspace, to_plain

STAGE = {"stage": "sfm", "info_files": ["sfm/stage.json"], "seconds": 1.0, "peak_memory_mb": 2.0, "ran": True}


def finished(folder: Path) -> Record:
    """A scene of one stage with one file, done."""
    Workspace(folder).run_stage("sfm", Place("sfm"), lambda path: (path / "a").write_text("a"), Hashes.of({}, {}))
    record = Record("scene", "multi_view", DONE, "signature", stages=(STAGE,))
    record.write(folder)
    return record


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    record = finished(tmp_path)
    assert read_record(tmp_path, "scene", "multi_view") == record
    assert record.holds(tmp_path, "signature")


@pytest.mark.parametrize("content", ["", "[]", "7", "{", "\x00", '"text"', "[" * 100_000])
def test_what_is_no_record_counts_as_none(tmp_path: Path, content: str) -> None:
    finished(tmp_path)
    (tmp_path / RECORD_FILE).write_text(content)
    assert read_record(tmp_path, "scene", "multi_view").status == NOT_RUN


WRONG: dict[str, Any] = {
    "status": "great", "signature": 3, "fault": [], "message": {}, "attempts": "3", "seconds": "1",
    "peak_memory_mb": None, "host": 4, "finished": 2026, "figures": [],
    "files": {"a": "1"}, "stages": ["sfm/stage.json"], "more": 1,
}  # fmt: skip


@pytest.mark.parametrize("key", WRONG)
def test_a_value_of_another_kind_makes_no_record(tmp_path: Path, key: str) -> None:
    finished(tmp_path)
    path = tmp_path / RECORD_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), key: WRONG[key]}))
    assert read_record(tmp_path, "scene", "multi_view").status == NOT_RUN


@pytest.mark.parametrize("key", STAGE)
def test_a_stage_of_a_record_has_all_values_of_their_kind(tmp_path: Path, key: str) -> None:
    finished(tmp_path)
    path = tmp_path / RECORD_FILE
    for stage in ({**STAGE, key: None}, {name: value for name, value in STAGE.items() if name != key}):
        path.write_text(json.dumps({**json.loads(path.read_text()), "stages": [stage]}))
        assert read_record(tmp_path, "scene", "multi_view").status == NOT_RUN


def test_a_scene_with_a_damaged_stage_is_not_done(tmp_path: Path) -> None:
    record = finished(tmp_path)
    (tmp_path / "sfm/a").write_text("")
    assert not record.holds(tmp_path, "signature")
    (tmp_path / "sfm/a").write_text("a")
    assert record.holds(tmp_path, "signature")
    (tmp_path / "sfm/stage.json").write_text("[]")
    assert not record.holds(tmp_path, "signature")


def test_a_scene_is_done_while_all_stages_of_its_photos_are_whole(tmp_path: Path) -> None:
    places = [Place("photo"), Place("photo", "mesh")]
    workspace = Workspace(tmp_path)
    for place in places:
        workspace.run_stage(str(place), place, lambda path: (path / "a").write_text("a"), Hashes.of({}, {}))
    row = StageRun.of(workspace, "photo", places, ["", ""])
    record = Record("scene", "single_view", DONE, "signature", stages=(to_plain(row),))
    assert record.holds(tmp_path, "signature")
    (tmp_path / "photo/stage.json").write_text("")
    assert not record.holds(tmp_path, "signature")


@pytest.mark.parametrize("name", ["config.yaml", OWNERS_FILE, THUMBNAIL])
def test_what_belongs_to_no_stage_is_looked_at_too(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("whole")
    finished(tmp_path)
    record = read_record(tmp_path, "scene", "multi_view")
    assert record.holds(tmp_path, "signature")
    (tmp_path / name).write_text("")
    assert not record.holds(tmp_path, "signature")


def test_a_killed_write_leaves_nothing_after_the_next(tmp_path: Path) -> None:
    (tmp_path / f".01234567-{RECORD_FILE}").touch()
    finished(tmp_path)
    assert [path.name for path in tmp_path.glob(".????????-*")] == []
