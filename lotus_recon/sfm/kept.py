"""Features and matches that earlier runs in an output folder made, for photos that are the same by content.

A set is a folder with the COLMAP database of a run (a hard link, so that it takes no space of its own), the colours of
its features, and what both were made with. Runs with a photo more or less copy from it what they would compute again.
Nothing is lost but time when all of it is deleted.
"""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lotus_recon.colmap import pycolmap
from lotus_recon.durable import link_or_copy
from lotus_recon.sfm.database import FeatureFolder, fault_of
from lotus_recon.workspace import fingerprint, write_json

log = logging.getLogger(__name__)

_SET = "set.json"
_MOST_SETS = 6  # normal features and more features, of three sets of photos


@dataclass(frozen=True)
class MadeWith:
    """What features depend on, by image number, the cameras that matches were verified with, and how."""

    features: Mapping[int, str]
    cameras: Mapping[int, str]
    matching: str

    @property
    def photos(self) -> set[tuple[str, str]]:
        """What the features and the camera of each photo are, whatever their numbers."""
        return {(self.features[number], self.cameras[number]) for number in self.features}

    @classmethod
    def read(cls, path: Path) -> MadeWith | None:
        """What ``write_json`` wrote; None where that cannot be read."""
        try:
            stored = json.loads(path.read_text())
            features, cameras = ({int(n): str(k) for n, k in stored[part].items()} for part in ("features", "cameras"))
            return cls(features, cameras, str(stored["matching"])) if features.keys() == cameras.keys() else None
        except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError):
            return None


class KeptFeatures:
    """The sets in ``folder``; None: nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def give(self, target: FeatureFolder, wanted: MadeWith) -> None:
        """Copy into a prepared database the features, and the verified matches, that it lacks and that are kept."""
        for path, made_with in self._sets():
            numbers = {key: number for number, key in made_with.features.items()}
            old_of = {new: numbers[key] for new, key in wanted.features.items() if key in numbers}
            database = path / target.database.name
            if not old_of:
                continue
            if problem := fault_of(database):
                log.warning("kept features in %s cannot be used (%s)", path, problem)
                shutil.rmtree(path, ignore_errors=True)
                continue
            _copy_features(target, path, old_of)
            if made_with.matching == wanted.matching:
                same_camera = {n: o for n, o in old_of.items() if made_with.cameras[o] == wanted.cameras[n]}
                _copy_matches(target, database, same_camera)

    def keep(self, source: FeatureFolder, made_with: MadeWith) -> None:
        """Keep a filled database, instead of sets that hold nothing else."""
        if self._folder is None:
            return
        path = self._folder / fingerprint([sorted(made_with.photos), made_with.matching])[:16]
        if MadeWith.read(path / _SET) == made_with:
            return
        shutil.rmtree(path, ignore_errors=True)
        link_or_copy(source.database, path / source.database.name)
        for image in source.images:
            link_or_copy(source.colors_file(image), path / source.colors_file(image).relative_to(source.path))
        write_json(path / _SET, made_with)
        self._drop_contained(path, made_with)

    def _sets(self) -> Iterator[tuple[Path, MadeWith]]:
        """Folder and content of each set, the newest first."""
        found = [] if self._folder is None else list(self._folder.glob(f"*/{_SET}"))
        for file in sorted(found, key=lambda path: (path.stat().st_mtime_ns, path), reverse=True):
            if (made_with := MadeWith.read(file)) is not None:
                yield file.parent, made_with

    def _drop_contained(self, newest: Path, made_with: MadeWith) -> None:
        others = [(path, other) for path, other in self._sets() if path != newest]
        for index, (path, other) in enumerate(others):
            is_contained = other.matching == made_with.matching and other.photos <= made_with.photos
            if is_contained or index >= _MOST_SETS - 1:
                shutil.rmtree(path, ignore_errors=True)


def _copy_features(target: FeatureFolder, kept: Path, old_of: Mapping[int, int]) -> None:
    """Features and colours of images by their number there. Those that are in the database stay."""
    complete = target.colors()
    missing = {new: old for new, old in old_of.items() if new not in complete}
    with _attached(target.database, kept / target.database.name) as connection:
        for table in ("keypoints", "descriptors"):
            connection.executemany(f"DELETE FROM {table} WHERE image_id = ?", [(new,) for new in missing])
            _copy_rows(connection, table, "image_id", missing)
    for image in target.images:
        if image.number in missing:
            name = target.colors_file(image).with_name(f"{missing[image.number]:06d}.npy").name
            with suppress(OSError):  # without colours the photo counts as one without features
                link_or_copy(kept / "colors" / name, target.colors_file(image))


def _copy_matches(target: FeatureFolder, database: Path, old_of: Mapping[int, int]) -> None:
    """Matches of pairs of images whose features are those of ``database``, where both lie in the same order."""
    done = target.matched_pairs()
    with _attached(target.database, database) as connection:
        same = [new for new, old in old_of.items() if _same_keypoints(connection, new, old)]
        pairs = [(a, b) for a in same for b in same if a < b and old_of[a] < old_of[b] and (a, b) not in done]
        new_of_old = {_pair_id(a, b): _pair_id(old_of[a], old_of[b]) for a, b in pairs}
        for table in ("matches", "two_view_geometries"):
            connection.executemany(f"DELETE FROM {table} WHERE pair_id = ?", [(new,) for new in new_of_old])
            _copy_rows(connection, table, "pair_id", new_of_old)


def _pair_id(first: int, second: int) -> int:
    return int(pycolmap.image_pair_to_pair_id(first, second))


def _same_keypoints(connection: sqlite3.Connection, new: int, old: int) -> bool:
    """Whether matches, which count keypoints, mean the same in both databases."""
    query = "SELECT a.data = b.data FROM main.keypoints a, kept.keypoints b WHERE a.image_id = ? AND b.image_id = ?"
    return connection.execute(query, (new, old)).fetchone() == (1,)


def _copy_rows(connection: sqlite3.Connection, table: str, key: str, old_of: Mapping[int, int]) -> None:
    columns = [str(row[1]) for row in connection.execute(f"PRAGMA main.table_info({table})")]
    others = ", ".join(column for column in columns if column != key)
    connection.executemany(
        f"INSERT INTO main.{table} ({key}, {others}) SELECT ?, {others} FROM kept.{table} WHERE {key} = ?",
        list(old_of.items()),
    )


@contextmanager
def _attached(database: Path, kept: Path) -> Iterator[sqlite3.Connection]:
    """One transaction on ``database`` in which ``kept`` can be read."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("ATTACH ? AS kept", (str(kept),))
        with connection:
            yield connection
