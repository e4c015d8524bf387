"""COLMAP's database of features and matches, so kept that a killed run is resumed with what it had.

COLMAP writes the features of a photo, and the matches of one list of pairs, in one transaction each: a killed process
leaves all of them or none. What SQLite cannot repair (a damaged disk) is noticed here.
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon.colmap import pycolmap
from lotus_recon.durable import full_disk_named
from lotus_recon.sfm.images import SfmImage

log = logging.getLogger(__name__)

_DATABASE = "database.db"
TEMPORARY = ".temporary-"  # begins the names of folders that last for one step; a killed run leaves them


@dataclass(frozen=True)
class FeatureFolder:
    """Features of the images with one set of settings: the database, and beside it what COLMAP has no place for."""

    path: Path
    images: Sequence[SfmImage]

    @property
    def database(self) -> Path:
        """COLMAP's database."""
        return self.path / _DATABASE

    def colors_file(self, image: SfmImage) -> Path:
        """Where the colours of a photo's features are kept: (N, 3) uint8."""
        return self.path / "colors" / f"{image.number:06d}.npy"

    def colors(self) -> dict[int, NDArray[np.uint8]]:
        """(N, 3) colours of the N features of every image, by its number, that has all of both."""
        counts = dict(self._rows("SELECT image_id, rows FROM keypoints JOIN descriptors USING (image_id, rows)"))
        found = {image.number: _read_colors(self.colors_file(image)) for image in self.images if image.number in counts}
        return {number: colors for number, colors in found.items() if len(colors) == counts[number]}

    def prepare(self) -> None:
        """Make the database with cameras and images, unless a killed run of the same images left a sound one."""
        fault = _fault(self.database, self.images) if self.database.exists() else ""
        if fault:
            log.warning("the features of an interrupted run cannot be used (%s): they are computed again", fault)
            self.database.unlink()
        if not self.database.exists() and self.path.exists():
            shutil.rmtree(self.path)
        for left in self.path.glob(f"{TEMPORARY}*"):
            shutil.rmtree(left)
        if not self.database.exists():
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.path, prefix=TEMPORARY) as folder, full_disk_named(self.path):
                _create(self.images, Path(folder, _DATABASE))
                Path(folder, _DATABASE).rename(self.database)

    def matched_pairs(self) -> set[tuple[int, int]]:
        """Pairs of image numbers whose matches are in the database, verified; the smaller number first."""
        rows = self._rows("SELECT pair_id FROM matches JOIN two_view_geometries USING (pair_id)")
        pairs = (pycolmap.pair_id_to_image_pair(pair_id) for (pair_id,) in rows)
        return {(min(pair), max(pair)) for pair in pairs}

    def _rows(self, query: str) -> list[Any]:
        with closing(sqlite3.connect(self.database)) as connection:
            return connection.execute(query).fetchall()

    def hand_over(self, target: Path) -> None:
        """Move the database to ``target``, its images named after their photos."""
        self.database.replace(target)
        with closing(sqlite3.connect(target)) as connection, connection:
            names = [(image.name, image.number) for image in self.images]
            connection.executemany("UPDATE images SET name = ? WHERE image_id = ?", names)


def _read_colors(path: Path) -> NDArray[np.uint8]:
    try:
        return np.asarray(np.load(path), np.uint8)
    except (OSError, ValueError, EOFError):  # absent, or cut by a crash of the whole machine
        return np.zeros((0, 3), np.uint8)


def working_name(image: SfmImage) -> str:
    """Name of an image while SfM runs: COLMAP's lists of pairs cannot hold spaces, and no photo's name begins so."""
    return f".{image.number:06d}.png"


def fault_of(database: Path) -> str:
    """What is wrong with a file that should be a database; empty where nothing is."""
    if not database.is_file():
        return "there is none"
    try:
        with closing(sqlite3.connect(database)) as connection:
            ((check,),) = connection.execute("PRAGMA quick_check(1)").fetchall()
    except (sqlite3.DatabaseError, ValueError) as error:
        return str(error)
    return "" if check == "ok" else str(check)


def _fault(database: Path, images: Sequence[SfmImage]) -> str:
    """What is wrong with a database that a killed run left; empty where nothing is."""
    if fault := fault_of(database):
        return fault
    try:
        with closing(sqlite3.connect(database)) as connection:
            stored = connection.execute("SELECT image_id, camera_id, name FROM images ORDER BY image_id").fetchall()
    except sqlite3.DatabaseError as error:
        return str(error)
    expected = [(image.number, image.camera_number, working_name(image)) for image in images]
    return "" if stored == expected else "it holds other photos"


def _create(images: Sequence[SfmImage], path: Path) -> None:
    """Cameras and images, each camera a rig and each image a frame of its own (COLMAP 4 wants both)."""
    database = pycolmap.Database.open(str(path))
    for image in {image.camera_number: image for image in images}.values():
        camera = image.prior.camera.to_colmap(image.camera_number)
        camera.has_prior_focal_length = image.prior.has_prior
        database.write_camera(camera, use_camera_id=True)
        rig = pycolmap.Rig(rig_id=image.camera_number)
        rig.add_ref_sensor(camera.sensor_id)
        database.write_rig(rig, use_rig_id=True)
    for image in images:
        entry = pycolmap.Image(image_id=image.number, camera_id=image.camera_number, name=working_name(image))
        database.write_image(entry, use_image_id=True)
        frame = pycolmap.Frame(frame_id=image.number, rig_id=image.camera_number)
        frame.add_data_id(entry.data_id)
        database.write_frame(frame, use_frame_id=True)
    database.close()
