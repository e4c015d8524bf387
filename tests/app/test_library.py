"""Which folders are found, what they are taken for, and what they offer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lotus_recon.app import parts
from lotus_recon.app.library import Library, Place
from lotus_recon.app.sessions import Sessions

EVIL = "<img src=x onerror=alert(1)>\"'"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A scene, photos, and a batch of one scene, in and below one folder."""
    root = tmp_path / "out"
    for name in ("scene", "photos", "batch/door"):
        (root / name).mkdir(parents=True)
        (root / name / ".owners.json").write_text("{}")
    (root / "scene/report").mkdir()
    report = {"title": EVIL, "photos": {"registered": ["a", "b"], "given": 3}, "figures": {}}
    (root / "scene/report/report.json").write_text(json.dumps(report))
    (root / "scene/report/index.html").write_text("report")
    (root / "scene/dense.ply").write_bytes(b"0" * 2_500_000)
    for photo in ("a", "holiday/b"):
        (root / "photos" / photo).mkdir(parents=True)
        (root / "photos" / photo / "camera.json").write_text('{"fov_deg": [60, 40]}')
    (root / "batch/batch_report.html").write_text("batch")
    (root / "batch/door/sfm").mkdir()
    (root / "a folder of something else").mkdir()
    return root


def test_results_are_found_and_told_apart(results: Path) -> None:
    places = {place.folder.relative_to(results).as_posix(): place for place in Library([results]).named()}
    assert set(places) == {"batch", "batch/door", "photos", "scene"}
    assert places["batch"].batch_page == "batch_report.html"
    assert (places["batch/door"].is_scene, places["batch/door"].is_finished) == (True, False)
    assert [photo.stem for photo in places["photos"].photos] == ["a", "holiday/b"]
    assert places["photos"].photos[0].camera == {"fov_deg": [60, 40]}
    scene = places["scene"]
    assert (scene.is_scene, scene.is_finished, scene.title) == (True, True, EVIL)
    assert [(each.path, each.size) for each in scene.downloads()] == [
        ("dense.ply", 2_500_000),
        ("report/index.html", 6),
    ]


def test_keys_stay_from_one_start_to_the_next(results: Path, tmp_path: Path) -> None:
    session = Sessions(tmp_path, 0).new()
    key = Library([results]).named()[0].key
    place = Library([results]).find(session, key)
    assert place is not None
    assert place.folder == results / "batch"
    assert Library([results]).find(session, "0" * 16) is None


def test_names_are_escaped(results: Path, tmp_path: Path) -> None:
    session = Sessions(tmp_path, 0).new()
    html = parts.library(Library([results]), session)
    assert "<img src=x" not in html
    assert "&lt;img src=x onerror" in html
    assert "3 single photos" not in html
    assert "2 single photos" in html
    assert "scene, 2 photos" in html


def test_the_name_of_an_archive_is_one_for_every_file_system(tmp_path: Path) -> None:
    for title, name in ((EVIL, "img_src_x_onerror_alert_1"), ("../..", "results"), ("Größe 1.5 m", "Größe_1.5_m")):
        assert Place(tmp_path, "key", title).download_name.strip("_") == name
