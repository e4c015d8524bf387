"""Flat file names: other tools know neither sub-folders nor spaces nor letters beyond ASCII, or not all of them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import PurePosixPath

_KEPT_SUFFIXES = (".jpg", ".jpeg", ".png")  # every tool reads these


def flat_names(names: Sequence[str]) -> list[str]:
    """A file name for each photo (its path below the image root), no two the same, not even in another case.

    Sub-folders become part of the name, and letters lose their accents; what else is not a letter, digit or hyphen
    becomes an underscore. Photos in formats that few tools read are to be PNG.
    """
    taken: set[str] = set()
    flat = []
    for name in names:
        path = PurePosixPath(name)
        suffix = path.suffix.lower()
        stem = _free(_plain(str(path.with_suffix(""))), taken)
        taken.add(stem.casefold())
        flat.append(stem + (suffix if suffix in _KEPT_SUFFIXES else ".png"))
    return flat


def _plain(text: str) -> str:
    ascii_only = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9-]+", "_", ascii_only).strip("_") or "photo"


def _free(stem: str, taken: set[str]) -> str:
    number, free = 2, stem
    while free.casefold() in taken:
        number, free = number + 1, f"{stem}_{number}"
    return free
