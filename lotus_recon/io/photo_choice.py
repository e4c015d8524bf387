"""Which of the photos of a folder are used, by patterns of their names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from lotus_recon.errors import InputError
from lotus_recon.io.images import Choice, Photo


def choice(include: str | None, exclude: str | None) -> Choice:
    """``chosen`` with these patterns."""
    return lambda photos: chosen(photos, include, exclude)


def chosen(photos: Sequence[Photo], include: str | None, exclude: str | None) -> list[Photo]:
    """The ``photos`` whose names fit a pattern of ``include`` (None: all) and none of ``exclude``, in their order.

    Patterns are separated by commas; ``*``, ``?`` and ``[...]`` are as in a shell. One without ``/`` fits the last
    part of a name, in whatever folder. Raises InputError for a pattern that no photo fits, and when no photo is left.
    """
    included = _fitting(photos, include, "--include") if include is not None else {photo.name for photo in photos}
    excluded = _fitting(photos, exclude, "--exclude") if exclude is not None else set()
    left = [photo for photo in photos if photo.name in included - excluded]
    if not left:
        raise InputError(f"--include and --exclude leave none of {len(photos)} photos (such as {photos[0].name!r})")
    return left


def _fitting(photos: Iterable[Photo], patterns: str, option: str) -> set[str]:
    """Names that fit one of the patterns."""
    names = [photo.name for photo in photos]
    each = [_matcher(pattern, names, option) for pattern in patterns.split(",")]
    return {name for name in names if any(fits(name) for fits in each)}


def _matcher(pattern: str, names: Sequence[str], option: str) -> Callable[[str], bool]:
    wanted = pattern.strip()

    def fits(name: str) -> bool:
        return fnmatchcase(name if "/" in wanted else PurePosixPath(name).name, wanted)

    if not any(map(fits, names)):
        raise InputError(
            f"{option} {wanted!r}: no photo has such a name; patterns, separated by commas, are of names with suffix, "
            f"such as {names[0]!r}"
        )
    return fits
