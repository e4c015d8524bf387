"""The files of a benchmark set, in a folder or in the downloaded tar archive."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.io.image_sizes import check_image_bytes
from lotus_recon.io.npz import read_npy


class Source:
    """Reads files by their path in the set. Safe to use from several threads.

    Raises InputError when ``root`` is neither a folder nor a tar archive, or the archive is compressed or cut off.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._members: dict[str, tuple[int, int]] | None = None
        if root.is_dir():
            return
        if not root.is_file():
            raise InputError(f"data set {root} does not exist; allowed: the downloaded tar archive, or its folder")
        self._members = _index(root)
        self._handle = os.open(root, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if getattr(self, "_handle", None) is not None:
            os.close(self._handle)

    def has(self, path: str) -> bool:
        """Whether the set has this file, with something in it."""
        if self._members is not None:
            return self._members.get(path, (0, 0))[1] > 0
        try:
            file = self.root / path
            return file.is_file() and file.stat().st_size > 0
        except OSError:  # no disk has files with names as long as some lists name
            return False

    def without(self, paths: Iterable[str]) -> list[str]:
        """The missing files."""
        return [path for path in paths if not self.has(path)]

    def read(self, path: str) -> bytes:
        """The bytes of a file. Raises InputError when it is missing or truncated."""
        if self._members is None:
            try:
                return (self.root / path).read_bytes()
            except OSError as error:
                raise InputError(f"{self.where(path)} cannot be read: {error.strerror}") from None
        if path not in self._members:
            raise InputError(f"{self.where(path)} is missing")
        offset, size = self._members[path]
        content = os.pread(self._handle, size, offset)
        if len(content) != size:
            raise InputError(f"{self.where(path)} is truncated: the archive is incomplete")
        return content

    def where(self, path: str) -> str:
        """The file for messages."""
        return f"{self.root / path}" if self._members is None else f"{self.root}: {path}"

    def inside(self, path: str) -> str:
        """A path of a file list as the set has it: relative to the root, without ``.`` and ``..``.

        Absolute paths may name files below the root. Raises InputError for whatever lies elsewhere: results are stored
        under these names.
        """
        below = os.path.relpath(path, os.path.abspath(self.root)) if os.path.isabs(path) else os.path.normpath(path)
        if below.split(os.sep)[0] in ("..", "."):
            raise InputError(f"{path!r} lies outside the set {self.root}; allowed: paths of files in it")
        return below

    def photo(self, path: str) -> NDArray[np.uint8]:
        """(H, W, 3) RGB. Raises InputError when it is no image of 8 bits."""
        image = self._decoded(path, cv2.IMREAD_COLOR)
        if image.dtype != np.uint8:
            raise InputError(f"{self.where(path)} has {image.dtype} pixels; allowed: 8 bits")
        return np.ascontiguousarray(image[..., ::-1])

    def png16(self, path: str) -> NDArray[np.uint16]:
        """(H, W) grey image of 16 bits. Raises InputError for anything else."""
        image = self._decoded(path, cv2.IMREAD_UNCHANGED)
        if image.dtype != np.uint16 or image.ndim != 2:
            raise InputError(f"{self.where(path)} is {image.dtype} {image.shape}; allowed: a grey PNG of 16 bits")
        return image

    def array(self, path: str) -> NDArray[Any]:
        """The array (any shape) of an npy file. Raises InputError when it cannot be read."""
        return read_npy(io.BytesIO(self.read(path)), self.where(path))

    def _decoded(self, path: str, flags: int) -> NDArray[Any]:
        content = self.read(path)
        check_image_bytes(content, self.where(path))
        try:
            image = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
        except cv2.error:
            image = None
        if image is None:
            raise InputError(f"{self.where(path)} cannot be read as an image")
        return np.asarray(image)


def _index(root: Path) -> dict[str, tuple[int, int]]:
    """Offset and size in bytes of every file of an archive; a leading './' is dropped."""
    try:
        with tarfile.open(root, "r:") as archive:
            files = (member for member in archive if member.isfile())
            found = {os.path.normpath(member.name): (member.offset_data, member.size) for member in files}
    except (tarfile.TarError, OSError, ValueError, OverflowError, MemoryError) as error:
        raise InputError(f"{root} is no uncompressed tar archive ({error}); unpack it and name its folder") from error
    size = root.stat().st_size
    for name, (offset, length) in found.items():
        if offset < 0 or length < 0 or offset + length > size:
            raise InputError(f"{root}: {name} is truncated: the archive is incomplete")
    return found


def refuse_shared_names(named: Iterable[tuple[str, str]], file_list: Path) -> None:
    """Raise InputError when two photos of (name, path) share a name: one would be scored on maps of the other."""
    paths: dict[str, str] = {}
    for name, path in named:
        if paths.setdefault(name, path) != path:
            raise InputError(f"{file_list}: photos {paths[name]} and {path} have one name without suffix; rename one")


def read_list(path: Path) -> list[list[str]]:
    """The words of every line of a file list. Raises InputError when it is missing or empty."""
    try:
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"file list {path} cannot be read: {error}") from None
    if not (rows := [words for words in lines if words]):
        raise InputError(f"file list {path} is empty; each line names a photo and its ground truth")
    return rows
