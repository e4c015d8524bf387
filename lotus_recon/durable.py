"""Files that are on the disk itself, so that a rename after it is kept in the same order when the power goes."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_THREADS = 16  # they wait: a journal writes what many ask for in one go


def is_disk_full(error: BaseException) -> bool:
    """Whether an exception says that a disk is full: with its number, or as numpy says it, without one."""
    if not isinstance(error, OSError):
        return False
    short = error.errno is None and re.search(r"\d+ requested and \d+ written", str(error))
    return error.errno in (errno.ENOSPC, errno.EDQUOT) or bool(short)


@contextlib.contextmanager
def full_disk_named(folder: Path) -> Iterator[None]:
    """Make the OSError of a full disk of what a native library raises while that of ``folder`` takes no more files.

    Enter it inside of the folder of temporary files: removing them makes room again.
    """
    try:
        yield
    except (RuntimeError, ValueError) as error:
        disk = os.statvfs(folder)
        counts_files = disk.f_files > 0
        if disk.f_bavail == 0 or (counts_files and disk.f_favail == 0):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from error
        raise


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


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has no hard links; replaces ``target`` by rename."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{uuid.uuid4().hex[:8]}-{target.name}")
    try:
        try:
            os.link(source, part)
        except OSError:
            shutil.copyfile(source, part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
