"""Files that are on the disk itself, so that a rename after it is kept in the same order when the power goes."""

from __future__ import annotations

import errno
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_THREADS = 16  # they wait: a journal writes what many ask for in one go


def is_disk_full(error: BaseException) -> bool:
    """Whether an exception says that a disk is full: with its number, or as numpy says it, without one."""
    if not isinstance(error, OSError):
        return False
    short = error.errno is None and re.search(r"\d+ requested and \d+ written", str(error))
    return error.errno in (errno.ENOSPC, errno.EDQUOT) or bool(short)


def to_disk(path: Path) -> None:
    """Bring the content of a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def tree_to_disk(folder: Path) -> None:
    """Bring a folder to the disk with all that is below it."""
    paths = [path for path in folder.rglob("*") if not path.is_symlink()]
    with ThreadPoolExecutor(_THREADS) as threads:
        for done in [threads.submit(to_disk, path) for path in paths]:
            done.result()
    to_disk(folder)
