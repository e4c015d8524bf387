"""The photos of a job, checked before any work."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lotus_recon.errors import InputError
from lotus_recon.io.images import Photo, read_info, read_mask, verify
from lotus_recon.progress import track

_SHOWN_PROBLEMS = 20


def broken_photos(photos: Sequence[Photo]) -> dict[str, str]:
    """What is wrong with each photo that cannot be used, by name. Every photo is decoded."""

    def problem(photo: Photo) -> str | None:
        try:
            verify(photo.path)
        except InputError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        problems = list(track(pool.map(problem, photos), "checking photos", len(photos)))
    return {photo.name: text for photo, text in zip(photos, problems, strict=True) if text is not None}


def refuse_broken(photos: Sequence[Photo]) -> None:
    """Raise one InputError that lists every photo that cannot be used."""
    problems = list(broken_photos(photos).values())
    if problems:
        raise InputError(
            listed(f"{len(problems)} of {len(photos)} photos cannot be used; repair or remove them", problems)
        )


def listed(headline: str, lines: Sequence[str]) -> str:
    """A headline and the first lines of a list, one below the other."""
    rest = len(lines) - _SHOWN_PROBLEMS
    more = [f"... and {rest} more"] if rest > 0 else []
    return "\n  ".join([f"{headline}:", *lines[:_SHOWN_PROBLEMS], *more])


def mask_files(photos: Iterable[Photo], masks: Path | None) -> dict[str, Path]:
    """The mask of each photo that has one: ``<masks>/<stem>.png`` or ``<masks>/<name>.png``.

    Raises InputError when the folder does not exist, holds no mask of any photo, or one of another size than its photo.
    """
    if masks is None:
        return {}
    if not masks.is_dir():
        raise InputError(f"masks folder {masks} does not exist")
    found = {}
    for photo in photos:
        candidates = [masks / f"{photo.stem}.png", masks / f"{photo.name}.png"]
        existing = next((path for path in candidates if path.is_file()), None)
        if existing is not None:
            info = read_info(photo.path)
            read_mask(existing, info.width, info.height)
            found[photo.name] = existing
    if not found:
        raise InputError(f"masks folder {masks} has no mask of any photo; a mask is named like its photo, suffix .png")
    return found
