"""The photos of a job, checked before any work."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lotus_recon.errors import InputError
from lotus_recon.io.images import Photo, read_info, read_mask, verify
from lotus_recon.progress import track
from lotus_recon.threads import thread_count

log = logging.getLogger(__name__)

_SHOWN_PROBLEMS = 20


def refuse_broken(photos: Sequence[Photo]) -> None:
    """Decode every photo. Raises one InputError that lists those that cannot be used, and why."""
    with ThreadPoolExecutor(thread_count()) as pool:
        found = list(track(pool.map(_problem, photos), "checking photos", len(photos)))
    problems = [problem for problem in found if problem is not None]
    if problems:
        rest = len(problems) - _SHOWN_PROBLEMS
        more = [f"... and {rest} more"] if rest > 0 else []
        headline = f"{len(problems)} of {len(photos)} photos cannot be used; repair or remove them:"
        raise InputError("\n  ".join([headline, *problems[:_SHOWN_PROBLEMS], *more]))


def _problem(photo: Photo) -> str | None:
    try:
        verify(photo.path)
    except InputError as error:
        return str(error)
    return None


def mask_files(photos: Iterable[Photo], masks: Path | None) -> dict[str, Path]:
    """The mask of each photo that has one: ``<masks>/<stem>.png`` or ``<masks>/<name>.png``.

    Raises InputError when the folder does not exist, holds no mask of any photo, or one of another size than its photo.
    """
    if masks is None:
        return {}
    if not masks.is_dir():
        raise InputError(f"masks folder {masks} does not exist")
    found, unsure = {}, []
    for photo in photos:
        candidates = [masks / f"{photo.stem}.png", masks / f"{photo.name}.png"]
        existing = next((path for path in candidates if path.is_file()), None)
        if existing is not None:
            info = read_info(photo.path)
            read_mask(existing, info.width, info.height)
            found[photo.name] = existing
            if info.orientation != 1 and info.stored_size == info.size and read_info(existing).orientation == 1:
                unsure.append(photo.name)
    if unsure:
        log.warning(
            "EXIF turns or mirrors %d photos and not their masks, which are taken to be upright already: %s",
            len(unsure),
            ", ".join(unsure[:_SHOWN_PROBLEMS]),
        )
    if not found:
        raise InputError(f"masks folder {masks} has no mask of any photo; a mask is named like its photo, suffix .png")
    return found
