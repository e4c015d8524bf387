"""Helpers of training set readers: required files, HDF5, tables, checks of arrays."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.types import BoolArray

SPLITS = ("train", "val", "all")


def check_split(split: str) -> None:
    """Raise InputError unless ``split`` is train, val or all."""
    if split not in SPLITS:
        raise InputError(f"split {split!r}: allowed are {', '.join(SPLITS)}")


def check_folder(root: Path, what: str) -> None:
    """Raise InputError unless ``root`` is a folder."""
    if not root.is_dir():
        raise InputError(f"{what}: folder {root} does not exist" if not root.exists() else f"{root} is not a folder")


def require_file(path: Path) -> None:
    """Raise InputError unless ``path`` is a file with something in it."""
    try:
        size = path.stat().st_size
    except (OSError, ValueError):  # ValueError: a list names what no file can be called
        raise InputError(f"{path} is missing") from None
    if size == 0:
        raise InputError(f"{path} is empty (0 bytes)")


def require_valid(valid: BoolArray, path: Path, what: str) -> None:
    """Raise InputError naming the file when no pixel of the mask ``valid`` (H, W) is set."""
    if not valid.any():
        raise InputError(f"{path} holds no valid {what}")


def require_shape(values: NDArray[Any], shape: tuple[int, ...], path: Path) -> None:
    """Raise InputError naming the file unless an array has ``shape``: (H, W), (H, W, 3) or another."""
    if values.shape != shape:
        raise InputError(f"{path} has shape {values.shape}; allowed, as its photo: {shape}")


def read_hdf5(path: Path, name: str = "dataset") -> NDArray[Any]:
    """An array (any shape) of an HDF5 file. Raises InputError naming the file when it is missing or truncated."""
    require_file(path)
    try:
        with h5py().File(path, "r") as file:
            found = file[name]
            if not isinstance(found, h5py().Dataset):
                raise ValueError(f"it is a {type(found).__name__.lower()}, no array")
            return np.asarray(found)
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise InputError(f"{path} cannot be read as HDF5 with {name!r}: {error}") from error


def h5py() -> Any:
    """The module h5py. Raises InputError when it is not installed."""
    try:
        import h5py as module
    except ImportError:
        raise InputError("reading HDF5 needs h5py: pip install 'lotus-recon[train]'") from None
    return module


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a CSV file with a header. Raises InputError when it cannot be read or lacks one of ``columns``."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            if missing:
                raise InputError(f"{path} is not the expected table: it has no column {', '.join(missing)}")
            return list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a table: {error}") from error
