"""Arrays in npy and npz files of anybody: their shapes are looked at before their data takes any memory."""

from __future__ import annotations

import math
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError

Header = tuple[tuple[int, ...], "np.dtype[Any]"]

MAX_BYTES = 4 << 30  # of all arrays of a file; depth, normals and confidence of 80 megapixels are 2 GB
# What Python's and numpy's readers raise on damaged files, beside errors that are meant for it.
_BROKEN = (
    *(OSError, ValueError, EOFError, KeyError, TypeError, OverflowError, MemoryError, RuntimeError, SyntaxError),
    *(AttributeError, struct.error, zlib.error, zipfile.BadZipFile, tokenize.TokenError),
)


def read_npz(path: Path, without: Collection[str] = ()) -> dict[str, NDArray[Any]]:
    """The arrays (any shape) of an npz, but for those in ``without``.

    Raises InputError when it is missing, is none, or its arrays would take more than ``MAX_BYTES``.
    """
    with _archive(path) as archive:
        shapes = _headers(archive)
        _refuse_large(path, {name: header for name, header in shapes.items() if name not in without})
        return {name: _array(archive, name) for name in shapes if name not in without}


def npz_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each array of an npz, none of which is read. Raises InputError when it is missing or is none."""
    with _archive(path) as archive:
        return {name: shape for name, (shape, _) in _headers(archive).items()}


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with open(path, "rb") as file:
            if file.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX:
                raise InputError(f"{path} holds a single array (npy), not named arrays (npz)")
        with zipfile.ZipFile(path) as archive:
            yield archive
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except _BROKEN as error:
        raise InputError(f"{path} cannot be read as npz: {error or repr(error)}") from error


def _headers(archive: zipfile.ZipFile) -> dict[str, Header]:
    """Shape and type of each array. Raises ValueError for one that is larger than its data."""
    found = {}
    for entry in archive.infolist():
        if entry.filename.endswith(".npy"):
            with archive.open(entry) as file:
                found[entry.filename.removesuffix(".npy")] = _header(file, entry.file_size)
    return found


def _array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    with archive.open(f"{name}.npy") as file:
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))


def read_npy(file: IO[bytes], where: str) -> NDArray[Any]:
    """The array (any shape) in an open npy file. Raises InputError when it is none, or too large."""
    try:
        header = _header(file, file.seek(0, os.SEEK_END), from_start=True)
        _refuse_large(where, {"array": header})
        file.seek(0)
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))
    except _BROKEN as error:
        raise InputError(f"{where} cannot be read as npy: {error or repr(error)}") from error


def _header(file: IO[bytes], size: int, from_start: bool = False) -> Header:
    """Shape and type of the array in an npy file of ``size`` bytes. Raises ValueError when it has no room for it."""
    if from_start:
        file.seek(0)
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"version {version} of the npy format is not known")
    shape, _, kind = read(file)
    if kind.hasobject:
        raise ValueError("it holds Python objects")
    if min(shape, default=0) < 0 or math.prod(shape) * kind.itemsize > size:
        raise ValueError(f"an array of shape {shape} does not fit into its {size} bytes: it is cut")
    return shape, kind


def _refuse_large(where: Path | str, headers: Mapping[str, Header]) -> None:
    total = sum(math.prod(shape) * kind.itemsize for shape, kind in headers.values())
    if total > MAX_BYTES:
        largest = max(headers, key=lambda name: math.prod(headers[name][0]))
        raise InputError(
            f"{where}: its arrays take {total / 2**30:.1f} GB ({largest}: {headers[largest][0]}); "
            f"at most {MAX_BYTES >> 30} GB are allowed"
        )
