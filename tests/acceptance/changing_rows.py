"""Photos come and go: what a run computes again with a photo less, the same photo back, and new photos."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lotus_recon.io.images import list_photos
from tests.acceptance.command import multi_view
from tests.acceptance.evaluated import evaluate
from tests.acceptance.rows import Row

_OPTIONS = ("--preset", "fast", "--model", "nano", "--seed", "0")
# Those that keep what they make of single photos; the others are computed from all photos together, and so again.
_STAGES = ("sfm", "images", "prediction")
_NEW = 2  # photos by which the folder grows


@dataclass(frozen=True)
class _Again:
    """What one run computed: SIFT features and network maps of photos, matches of pairs."""

    photos: int
    seconds: float
    log: str

    def _kept(self, what: str) -> int:
        found = re.search(rf"the {what} of (\d+) of \d+", self.log)
        return int(found.group(1)) if found else 0

    def text(self) -> str:
        """For the table."""
        ran = re.search(r" sfm[^\n]*: running", self.log)
        pairs = self.photos * (self.photos - 1) // 2
        features, maps = self.photos - self._kept("features"), self.photos - self._kept("maps")
        return f"{features} features, {pairs - self._kept('matches')} pairs, {maps} maps" if ran else "nothing"


def photos_come_and_go(data: Path, work: Path) -> list[Row]:
    """Rows of fountain_p11 with a photo excluded, back again, and two photos added to a finished model and anew."""
    names = [photo.name for photo in list_photos(data / "images")]
    folder, out = work / "photos", work / "out"
    folder.mkdir()
    for name in names[:-_NEW]:
        shutil.copy(data / "images" / name, folder / name)
    steps: list[tuple[str, tuple[str, ...], str]] = [
        (f"first run, {len(names) - _NEW} photos", (), "all"),
        (f"--exclude {names[4]}", ("--exclude", names[4]), "0 features, 0 pairs, 0 maps"),
        ("the same photo back", (), "0 features, 0 pairs, 0 maps"),
    ]
    rows = [_row(what, folder, out, options, asked, data) for what, options, asked in steps]
    for name in names[-_NEW:]:
        shutil.copy(data / "images" / name, folder / name)
    shutil.copytree(out, work / "other")
    new_pairs = sum(range(len(names) - _NEW, len(names)))
    asked = f"{_NEW} features, {new_pairs} pairs, {_NEW} maps"
    rows.append(_row(f"{_NEW} photos more, --add", folder, out, ("--add",), asked, data))
    rows.append(_row(f"{_NEW} photos more, without", folder, work / "other", (), asked, data))
    rows.append(_row(f"all {len(names)} in a new folder", folder, work / "new", (), "all", data))
    return rows


def _row(what: str, folder: Path, out: Path, options: tuple[str, ...], asked: str, data: Path) -> Row:
    log = out / "log.txt"
    before = len(log.read_text()) if log.exists() else 0
    seconds = sum(multi_view(folder, out, *_OPTIONS, *options, "--only", stage) for stage in _STAGES)
    again = _Again(len(list_photos(folder)) - ("--exclude" in options), seconds, log.read_text()[before:])
    poses = evaluate("poses", out.parent / "scores", "--pred", str(out), "--reference", str(data / "cameras.json"))
    rms: Any = poses.score("position_rms")
    ok = None if asked == "all" else again.text() == asked
    figure = f"{what}: computed; camera positions, rms"
    return Row("fountain_p11, photos come and go", figure, f"{again.text()}; {rms * 1000:.1f} mm", asked, ok, seconds)
