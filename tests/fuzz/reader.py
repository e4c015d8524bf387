"""A reader of files from outside, as the fuzzer sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Reader:
    """How valid input is written into an empty folder (what is in a folder ``whole`` stays so), and how it is read."""

    write: Callable[[Path], object]
    read: Callable[[Path], Any]
    library: str = ""  # that it loads in a process of its own for every file; here it is loaded once


def only(read: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """Reads the one file of a folder."""
    return lambda folder: read(next(path for path in folder.iterdir() if path.is_file()))
