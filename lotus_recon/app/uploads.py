"""Files that a browser sent: looked at before anything decodes them, and put where a run reads them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lotus_recon.errors import InputError
from lotus_recon.frames.config import VIDEO_SUFFIXES
from lotus_recon.io.images import SUFFIXES, read_info

PHOTOS, VIDEOS = tuple(sorted(SUFFIXES)), tuple(sorted(VIDEO_SUFFIXES))
_MB = 1e6
_SHOWN = 10


@dataclass(frozen=True)
class Limits:
    """Most that is taken: megabytes (1e6 bytes) of a photo and of a video, and photos at once."""

    photo_mb: int = 100
    video_mb: int = 2000
    photos: int = 500

    @property
    def file_mb(self) -> int:
        """Of any file."""
        return max(self.photo_mb, self.video_mb)


def take_photo(files: Sequence[Path], folder: Path, limits: Limits) -> Path:
    """Put one uploaded photo into ``folder``. Raises InputError for what is none."""
    if len(files) != 1:
        raise InputError("drop one photo first" if not files else f"{len(files)} files; one photo is taken here")
    _check_photo(files[0], limits)
    return _put(files, folder)[0]


def take_scene(files: Sequence[Path], folder: Path, limits: Limits) -> Path:
    """Put uploaded photos, or a video, into ``folder``: that folder, or the path of the video.

    Raises InputError for what is neither, naming all files that cannot be used.
    """
    if not files:
        raise InputError("drop photos of one scene, or a video of it, first")
    videos = [file for file in files if file.suffix.lower() in VIDEO_SUFFIXES]
    if videos:
        if len(files) > 1:
            raise InputError(f"{videos[0].name} is a video; it comes alone, without photos or other videos")
        _check_bytes(videos[0], "video", limits.video_mb)
        return _put(videos, folder)[0]
    if len(files) == 1:
        raise InputError("one photo makes no scene: drop at least two, better ten or more, or use the tab One photo")
    if len(files) > limits.photos:
        raise InputError(f"{len(files)} photos; at most {limits.photos} are taken: use lotus-recon multi for more")
    _refuse(_problems(files, limits), len(files))
    _put(files, folder)
    return folder


def _problems(files: Sequence[Path], limits: Limits) -> list[str]:
    problems = []
    for file in files:
        try:
            _check_photo(file, limits)
        except InputError as error:
            problems.append(str(error))
    return problems


def _refuse(problems: Sequence[str], count: int) -> None:
    if problems:
        more = [f"... and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        head = f"{len(problems)} of {count} files cannot be used:"
        raise InputError("\n".join([head, *problems[:_SHOWN], *more]) if count > 1 else problems[0])


def _check_photo(file: Path, limits: Limits) -> None:
    """Raise InputError unless the file is a photo by name, bytes and header."""
    if file.suffix.lower() not in SUFFIXES:
        raise InputError(f"{file.name} is not a photo; taken are {', '.join(PHOTOS)}")
    _check_bytes(file, "photo", limits.photo_mb)
    try:
        read_info(file)
    except InputError as error:
        raise InputError(str(error).replace(str(file), file.name)) from None


def _check_bytes(file: Path, what: str, most_mb: int) -> None:
    size_mb = file.stat().st_size / _MB
    if size_mb > most_mb:
        raise InputError(f"{file.name} has {size_mb:.0f} MB; a {what} may have {most_mb} MB")


def _put(files: Sequence[Path], folder: Path) -> list[Path]:
    """Hard links, or copies, of files in a folder; stems that are taken, or would hide the file, get a number."""
    folder.mkdir(parents=True)
    taken: set[str] = set()
    placed = []
    for file in files:
        stem = original = file.stem.lstrip(".") or "photo"
        number = 1
        while stem.casefold() in taken:
            number += 1
            stem = f"{original}_{number}"
        taken.add(stem.casefold())
        placed.append(folder / f"{stem}{file.suffix.lower()}")
        try:
            os.link(file, placed[-1])
        except OSError:  # another file system
            shutil.copyfile(file, placed[-1])
    return placed
