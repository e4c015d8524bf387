"""The bookkeeping of an output folder: what is damaged neither locks the folder nor lends it to other photos."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lotus_recon.config import Runtime
from lotus_recon.errors import InputError
from lotus_recon.recipes.finished import finished_job
from lotus_recon.recipes.output_folder import check_apart, claim, owner_of
from lotus_recon.workspace import OWNERS_FILE, Hashes, Place, Workspace

WRITTEN = ["sfm", "prediction", "images", "config.yaml"]
DAMAGED = ["", "[1, 2]", "7", '{"scene": 3}', '{"scene": "/ph', "\x00", "[" * 100_000]


def differs(part: str) -> bool:
    """What is at another path is something else."""
    return False


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder with two finished stages, of the photos /photos."""
    workspace = Workspace(tmp_path / "out")
    for folder in ("sfm", "prediction/nano"):
        workspace.run_stage(folder, Place(folder), lambda path: None, Hashes.of({}, {}))
    claim(workspace, Runtime(), {"scene": "/photos"}, force=False, is_same=differs)
    return workspace.root


@pytest.mark.parametrize("text", DAMAGED)
def test_owners_that_cannot_be_read_are_written_again(out: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    (out / OWNERS_FILE).write_text(text)
    check_apart(out, WRITTEN, {})
    claim(Workspace(out), Runtime(), {"scene": "/photos"}, force=False, is_same=differs)
    assert f"{OWNERS_FILE} cannot be read" in caplog.text
    assert json.loads((out / OWNERS_FILE).read_text()) == {"scene": "/photos"}


def test_owners_that_are_gone_do_not_lock_the_folder(out: Path) -> None:
    (out / OWNERS_FILE).unlink()
    check_apart(out, WRITTEN, {})
    claim(Workspace(out), Runtime(), {"scene": "/photos"}, force=False, is_same=differs)
    assert owner_of(out, "scene") == "/photos"


def test_what_is_not_ours_stays_protected(out: Path, tmp_path: Path) -> None:
    (out / OWNERS_FILE).unlink()
    (out / "images").mkdir()
    (out / "images/mine.jpg").touch()
    with pytest.raises(InputError, match="images is not an output of this program"):
        check_apart(out, WRITTEN, {})
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign/config.yaml").touch()
    with pytest.raises(InputError, match=r"config\.yaml is not an output of this program"):
        check_apart(tmp_path / "foreign", WRITTEN, {})


def test_photos_that_were_moved_are_the_same_photos(out: Path) -> None:
    claim(Workspace(out), Runtime(), {"scene": "/moved"}, force=False, is_same=lambda part: part == "scene")
    assert owner_of(out, "scene") == "/moved"


def test_readable_owners_still_hold(out: Path) -> None:
    with pytest.raises(InputError, match="holds results of /photos, not of /others"):
        claim(Workspace(out), Runtime(), {"scene": "/others"}, force=False, is_same=differs)


SCENE, VIDEO, PHOTOS = {"scene": "/photos"}, {"video": "/clip.mp4"}, {"mesh": "/mesh.jpg", "scene": "/scene.jpg"}


@pytest.mark.parametrize(
    ("first", "second"), [(SCENE, PHOTOS), (PHOTOS, SCENE), (VIDEO, PHOTOS), (VIDEO, SCENE), (PHOTOS, VIDEO)]
)
def test_a_folder_holds_one_scene_or_one_video_or_photos(
    first: dict[str, str], second: dict[str, str], tmp_path: Path
) -> None:
    """Else a photo mesh.jpg would take the place of the mesh of a scene, even with --force."""
    workspace = Workspace(tmp_path)
    claim(workspace, Runtime(), first, force=False, is_same=differs)
    before = (tmp_path / "config.yaml").read_bytes()
    for force in (False, True):
        with pytest.raises(InputError, match=r"holds .* \(/.*\), which .* would mix with; choose another --out"):
            claim(workspace, Runtime(seed=1), second, force=force, is_same=differs)
    assert json.loads((tmp_path / OWNERS_FILE).read_text()) == first
    assert (tmp_path / "config.yaml").read_bytes() == before


def test_a_photo_may_be_called_scene(tmp_path: Path) -> None:
    claim(Workspace(tmp_path), Runtime(), {"mesh": "/mesh.jpg"}, force=False, is_same=differs)
    claim(Workspace(tmp_path), Runtime(), {"scene": "/scene.JPG"}, force=False, is_same=differs)
    assert owner_of(tmp_path, "scene") == "/scene.JPG"


@pytest.mark.parametrize("text", DAMAGED)
def test_a_finished_run_whose_owners_cannot_be_read_is_named(out: Path, text: str) -> None:
    (out / OWNERS_FILE).write_text(text)
    with pytest.raises(InputError, match="is not an output folder"):
        finished_job(out)
