"""Photos come and go: what is known of the others is not computed again, and new ones join a finished model."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pycolmap
import pytest

from lotus_recon.config import Runtime
from lotus_recon.io.images import list_photos
from lotus_recon.sfm import stage
from lotus_recon.sfm.config import SfmConfig
from tests.sfm.helpers import render_photos

VIEWS = 7


class Counted:
    """What COLMAP is asked to compute: names of photos, and pairs of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.photos, self.pairs = 0, 0
        extract, match = pycolmap.extract_features, pycolmap.match_image_pairs

        def counted_extract(database: str, folder: str, names: list[str], **options: Any) -> None:
            self.photos += len(names)
            extract(database, folder, names, **options)

        def counted_match(database: str, options: Any, pairing: Any, *more: Any, **named: Any) -> None:
            self.pairs += len(Path(pairing.match_list_path).read_text().splitlines())
            match(database, options, pairing, *more, **named)

        monkeypatch.setattr(pycolmap, "extract_features", counted_extract)
        monkeypatch.setattr(pycolmap, "match_image_pairs", counted_match)

    def take(self) -> tuple[int, int]:
        """Photos and pairs since the last time."""
        counted = self.photos, self.pairs
        self.photos = self.pairs = 0
        return counted


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kept") / "photos"
    render_photos(folder, VIEWS, (800, 600))
    return folder


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


Run = Callable[..., stage.SfmResult]


@pytest.fixture
def run(photos: Path, tmp_path: Path) -> Run:
    """The stage on some of the photos, in a new folder each time; all runs keep in one place."""
    numbers = iter(range(100))

    def run(count: int, without: tuple[int, ...] = (), config: SfmConfig | None = None, **more: Any) -> stage.SfmResult:
        out = tmp_path / f"out {next(numbers)}"
        out.mkdir()
        chosen = [photo for i, photo in enumerate(list_photos(photos)) if i < count and i not in without]
        inputs = stage.Inputs(chosen, runtime=Runtime(), kept=tmp_path / "kept")
        return stage.run(replace(inputs, **more), config or SfmConfig(), out)

    return run


def test_a_photo_less_or_more_computes_only_what_it_brings(run: Run, counted: Counted) -> None:
    run(VIEWS - 1)
    assert counted.take() == (6, 15)
    less = run(VIEWS - 1, without=(2,))
    assert counted.take() == (0, 0)
    assert len(less.scene.views) == 5
    run(VIEWS)
    assert counted.take() == (1, 6)
    run(VIEWS - 1, without=(2,))
    run(VIEWS)  # the photo that was away is still known
    assert counted.take() == (0, 0)


def test_other_options_and_edited_photos_are_computed_again(run: Run, counted: Counted, photos: Path) -> None:
    run(4)
    assert counted.take() == (4, 6)
    run(4, config=SfmConfig(sfm_max_size=700))
    assert counted.take() == (4, 6)
    run(4, runtime=Runtime(seed=1))  # matches are verified by chance, features are not
    assert counted.take() == (0, 6)
    run(4, config=SfmConfig(focal_px=900.0))  # matches are verified with the camera
    assert counted.take() == (0, 6)
    path = list_photos(photos)[1].path
    whole = path.read_bytes()
    try:
        PIL.Image.open(path).point(lambda value: value // 2).save(path)
        run(4)
        assert counted.take() == (1, 3)
    finally:
        path.write_bytes(whole)


def test_what_is_kept_changes_no_result(run: Run, tmp_path: Path) -> None:
    exact = Runtime(deterministic=True)
    run(VIEWS, runtime=exact)
    kept = run(VIEWS, without=(3,), runtime=exact)
    anew = run(VIEWS, without=(3,), runtime=exact, kept=tmp_path / "nothing")
    for one, other in zip(kept.scene.views, anew.scene.views, strict=True):
        assert np.array_equal(one.cam_from_world, other.cam_from_world)
    assert np.array_equal(kept.scene.points.xyz, anew.scene.points.xyz)


def test_a_broken_database_is_not_used(run: Run, tmp_path: Path, counted: Counted) -> None:
    run(3)
    for database in (tmp_path / "kept").glob("*/database.db"):
        content = database.read_bytes()
        database.write_bytes(content[: len(content) // 2])
    assert counted.take() == (3, 3)
    run(3)
    assert counted.take() == (3, 3)


def test_new_photos_join_a_finished_model_that_stays_as_it_is(
    run: Run, counted: Counted, tmp_path: Path, photos: Path
) -> None:
    before = run(VIEWS - 2)
    counted.take()
    after = run(VIEWS, finished=tmp_path / "out 0")
    assert counted.take() == (2, 11)
    assert after.report["added"] == [photo.name for photo in list_photos(photos)][-2:]
    for view in before.scene.views:
        now = after.scene.views[after.scene.index[view.name]]
        np.testing.assert_allclose(now.cam_from_world, view.cam_from_world, atol=1e-12)  # quaternions in the file
        assert now.camera == view.camera
    # Where a reconstruction of all photos at once has them, in the frame of those that stayed.
    anew = run(VIEWS)
    assert _position_error(after, anew) < 2e-3
    less = run(VIEWS, without=(0,), finished=tmp_path / "out 1")
    assert len(less.scene.views) == VIEWS - 1
    assert less.report["added"] == []


def _position_error(one: stage.SfmResult, other: stage.SfmResult) -> float:
    """Largest distance of a camera from where it is in ``other``, after the best similarity, in extents."""
    a, b = (np.array([np.linalg.inv(v.cam_from_world)[:3, 3] for v in r.scene.views]) for r in (one, other))
    a, b = a - a.mean(0), b - b.mean(0)
    u, _, vt = np.linalg.svd(b.T @ a)
    turn = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    scale = (b * (a @ turn.T)).sum() / (a**2).sum()
    return float(np.linalg.norm(scale * a @ turn.T - b, axis=1).max() / np.ptp(b, axis=0).max())


@pytest.mark.parametrize(
    ("first", "now", "reason"),
    [
        ({"count": 5}, {"config": SfmConfig(camera_model="PINHOLE")}, "its options of structure from motion"),
        ({"count": 5}, {"without": (0, 1, 2)}, "only 2 of its 5 photos are still there"),
        (None, {}, "there is none of photos without given poses"),
    ],
)
def test_reconstruction_that_starts_anew_says_why(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture, first: Any, now: dict[str, Any], reason: str
) -> None:
    if first:
        run(**first)
    with caplog.at_level(logging.WARNING):
        result = run(6, finished=tmp_path / "out 0" if first else tmp_path / "nothing", **now)
    assert f"nothing is added to the finished model, reconstruction starts anew: {reason}" in caplog.text
    assert len(result.scene.views) == 6 - len(now.get("without", ()))
    assert "added" not in result.report


def test_photos_of_another_place_start_anew(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture, photos: Path
) -> None:
    run(4)
    other = tmp_path / "other"
    shutil.copytree(photos, other)
    for photo in list_photos(other)[4:]:
        noise = np.random.default_rng(len(photo.name)).integers(0, 256, (600, 800, 3), dtype=np.uint8)
        PIL.Image.fromarray(noise).save(photo.path)
    with caplog.at_level(logging.WARNING):
        run(4, finished=tmp_path / "out 0", photos=list_photos(other))
    assert "0 of 3 new photos fit it" in caplog.text or "the new photos do not fit it" in caplog.text
