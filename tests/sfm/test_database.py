"""What of a killed run's features can be used: what has all its parts, of the same photos."""

from __future__ import annotations

import itertools
import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lotus_recon.sfm.database import FeatureFolder
from lotus_recon.sfm.images import SfmImage
from lotus_recon.sfm.matching import in_tiles
from tests.sfm.helpers import images_of, synthesize


@pytest.fixture
def folder(tmp_path: Path) -> FeatureFolder:
    """Four images with features, colours and matches."""
    path = tmp_path / "features"
    path.mkdir()
    folder = FeatureFolder(path, images_of(synthesize(path / "database.db", views=4, points=50)))
    (path / "colors").mkdir()
    with closing(sqlite3.connect(folder.database)) as connection:
        for number, count in connection.execute("SELECT image_id, rows FROM keypoints"):
            np.save(folder.colors_file(folder.images[number - 1]), np.full((count, 3), number, np.uint8))
    return folder


def execute(folder: FeatureFolder, statement: str) -> None:
    with closing(sqlite3.connect(folder.database)) as connection, connection:
        connection.execute(statement)


def test_complete_photos_and_pairs(folder: FeatureFolder) -> None:
    colors = folder.colors()
    assert sorted(colors) == [1, 2, 3, 4]
    assert all((colors[number] == number).all() for number in colors)
    assert folder.matched_pairs() == set(itertools.combinations((1, 2, 3, 4), 2))


@pytest.mark.parametrize("table", ["keypoints", "descriptors"])
def test_a_photo_that_lacks_a_part_of_its_features_is_not_complete(folder: FeatureFolder, table: str) -> None:
    execute(folder, f"DELETE FROM {table} WHERE image_id = 3")
    assert sorted(folder.colors()) == [1, 2, 4]


@pytest.mark.parametrize("content", [None, b"", b"\x93NUMPY half a head"])
def test_a_photo_without_readable_colours_is_not_complete(folder: FeatureFolder, content: bytes | None) -> None:
    path = folder.colors_file(folder.images[1])
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert sorted(folder.colors()) == [1, 3, 4]


def test_colours_of_other_features_do_not_count(folder: FeatureFolder) -> None:
    np.save(folder.colors_file(folder.images[0]), np.zeros((7, 3), np.uint8))
    assert sorted(folder.colors()) == [2, 3, 4]


@pytest.mark.parametrize("table", ["matches", "two_view_geometries"])
def test_a_pair_that_lacks_a_part_is_not_matched(folder: FeatureFolder, table: str) -> None:
    execute(folder, f"DELETE FROM {table} WHERE pair_id = (SELECT min(pair_id) FROM {table})")
    assert len(folder.matched_pairs()) == 5
    assert (1, 2) not in folder.matched_pairs()


def prepared(tmp_path: Path, images: list[SfmImage]) -> FeatureFolder:
    folder = FeatureFolder(tmp_path / "prepared", images)
    folder.prepare()
    return folder


def test_what_is_sound_is_kept_and_left_overs_are_not(
    folder: FeatureFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = list(folder.images)
    first = prepared(tmp_path, images)
    (first.path / ".temporary-x/images").mkdir(parents=True)
    execute(first, "UPDATE cameras SET prior_focal_length = 7")
    with caplog.at_level(logging.WARNING):
        prepared(tmp_path, images)
    assert [path.name for path in first.path.iterdir()] == ["database.db"]
    with closing(sqlite3.connect(first.database)) as connection:
        assert connection.execute("SELECT prior_focal_length FROM cameras").fetchall() == [(7,)]
    assert not caplog.text


def test_features_of_other_photos_are_thrown_away(
    folder: FeatureFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = list(folder.images)
    prepared(tmp_path, images[:3])
    with caplog.at_level(logging.WARNING):
        prepared(tmp_path, images)
    assert "it holds other photos" in caplog.text
    with closing(sqlite3.connect(tmp_path / "prepared/database.db")) as connection:
        assert connection.execute("SELECT count(*) FROM images").fetchall() == [(4,)]


def test_colours_without_a_database_are_thrown_away(folder: FeatureFolder) -> None:
    folder.database.unlink()
    folder.prepare()
    assert not (folder.path / "colors").exists()


def test_the_images_of_a_finished_database_have_the_names_of_their_photos(
    folder: FeatureFolder, tmp_path: Path
) -> None:
    prepared(tmp_path, list(folder.images)).hand_over(tmp_path / "final.db")
    with closing(sqlite3.connect(tmp_path / "final.db")) as connection:
        names = connection.execute("SELECT name FROM images ORDER BY image_id").fetchall()
    assert [name for (name,) in names] == [image.name for image in folder.images]


@given(st.sets(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=300))
def test_tiles_hold_every_pair_once(pairs: set[tuple[int, int]]) -> None:
    tiles = in_tiles(sorted(pairs))
    assert sorted(pair for tile in tiles for pair in tile) == sorted(pairs)
    assert all(len(tile) <= 64 for tile in tiles)


def test_tiles_share_their_photos() -> None:
    tiles = in_tiles(list(itertools.combinations(range(80), 2)))
    photos = [len({photo for pair in tile for photo in pair}) for tile in tiles]
    assert len(tiles) < 1.1 * 3160 / 64
    assert np.mean(photos) < 24, "in rows of 64 pairs it would be 65"
