"""The photos of a job, checked before any work."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lotus_recon.errors import InputError
from lotus_recon.io.images import MASKS_FOLDER, Photo, is_cut_out, read_info, read_mask, verify
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
        headline = (
            f"{len(problems)} of {len(photos)} photos cannot be used; repair them, or leave them out (--exclude):"
        )
        raise InputError("\n  ".join([headline, *problems[:_SHOWN_PROBLEMS], *more]))


def _problem(photo: Photo) -> str | None:
    try:
        verify(photo.path)
    except InputError as error:
        return str(error)
    return None


def mask_files(photos: Sequence[Photo], masks: Path | None, named: Mapping[str, Path] | None = None) -> dict[str, Path]:
    """The mask of each photo that has one: ``<masks>/<stem>.png``, ``<masks>/<name>.png``, or the one ``named``.

    A photo without either that has transparent pixels is its own mask. Raises InputError when the folder does not exist
    or holds no mask of any photo, or a mask is missing or of another size than its photo.
    """
    if masks is not None and not masks.is_dir():
        raise InputError(f"masks folder {masks} does not exist")
    in_folder = {photo.name: path for photo in photos if masks and (path := _in_folder(photo, masks))}
    if masks is not None and not in_folder:
        raise InputError(f"masks folder {masks} has no mask of any photo; a mask is named like its photo, suffix .png")
    found = {**(named or {}), **in_folder}
    _check_masks(photos, found)
    cut_out = {photo.name: photo.path for photo in photos if photo.name not in found and is_cut_out(photo.path)}
    if cut_out:
        log.info("%d photos have transparent pixels, which are not used", len(cut_out))
    return {**found, **cut_out}


def mask_of(photo: Photo, masks: Path | None) -> Path | None:
    """The mask of one photo, as ``mask_files`` finds it; without ``masks``, in masks/ beside it, if that is there."""
    path = _in_folder(photo, masks if masks is not None else photo.root / MASKS_FOLDER)
    if path is None:
        return photo.path if is_cut_out(photo.path) else None
    _check_masks([photo], {photo.name: path})
    return path


def _in_folder(photo: Photo, masks: Path) -> Path | None:
    candidates = [masks / f"{photo.stem}.png", masks / f"{photo.name}.png"]
    return next((path for path in candidates if path.is_file()), None)


def _check_masks(photos: Iterable[Photo], masks: Mapping[str, Path]) -> None:
    """Raise InputError for a mask that is missing or of another size; warn of photos that EXIF turns and masks not."""
    unsure = []
    for photo in photos:
        path = masks.get(photo.name)
        if path is None:
            continue
        info = read_info(photo.path)
        read_mask(path, info.width, info.height)
        if info.orientation != 1 and info.stored_size == info.size and read_info(path).orientation == 1:
            unsure.append(photo.name)
    if unsure:
        log.warning(
            "EXIF turns or mirrors %d photos and not their masks, which are taken to be upright already: %s",
            len(unsure),
            ", ".join(unsure[:_SHOWN_PROBLEMS]),
        )
