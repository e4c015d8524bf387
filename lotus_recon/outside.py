"""Values in files of others: one parser per kind of value, each with an error that says where and what is allowed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError

_MAX_JSON_BYTES = 512 << 20
_SHOWN = 40  # characters of a wrong value in a message


def read_json(path: Path, what: str) -> Any:
    """The content of a JSON file. Raises InputError, naming ``what`` it is, when it is none."""
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise InputError(f"{what} {path} has more than {_MAX_JSON_BYTES >> 20} MB")
        return json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{what} {path} cannot be read: {error.strerror}") from None
    except RecursionError:
        raise InputError(f"{what} {path} is not JSON that can be used: it is nested too deeply") from None
    except ValueError as error:
        raise InputError(f"{what} {path} is not JSON: {error}") from None


def member(values: Any, key: str, where: str) -> Any:
    """What an object holds under ``key``. Raises InputError when it is no object, or lacks it."""
    if not isinstance(values, Mapping):
        raise InputError(f"{where}: must be an object with {key!r}, not {_shown(values)}")
    if key not in values:
        raise InputError(f"{where}: {key!r} is missing")
    return values[key]


def number(value: Any, where: str) -> float:
    """A finite number. Raises InputError for text, truth values, NaN and what no float holds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{where} is {_shown(value)}, not a number")
    try:
        parsed = float(value)
    except OverflowError:
        parsed = math.inf
    if not math.isfinite(parsed):
        raise InputError(f"{where} is {_shown(value)}; allowed: a finite number")
    return parsed


def whole(value: Any, where: str, low: int, high: int) -> int:
    """A whole number from ``low`` to ``high``, also written as 640.0. Raises InputError for any other."""
    parsed = number(value, where)
    if parsed != int(parsed) or not low <= parsed <= high:
        raise InputError(f"{where} is {_shown(value)}; allowed: a whole number from {low} to {high}")
    return int(parsed)


def text(value: Any, where: str) -> str:
    """Text without NUL, which no path may hold. Raises InputError for anything else."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise InputError(f"{where} is {_shown(value)}; allowed: text")
    return value


def matrix(value: Any, shape: tuple[int, ...], where: str) -> NDArray[np.float64]:
    """Finite numbers of any shape, here ``shape``, from lists of lists. Raises InputError for anything else."""
    try:
        return np.array(_leaves(value, shape, where), np.float64).reshape(shape)
    except InputError as error:
        raise InputError(f"{error}; allowed: {shape}") from None


def _leaves(value: Any, shape: tuple[int, ...], where: str) -> list[float]:
    if not shape:
        return [number(value, where)]
    if not isinstance(value, list) or len(value) != shape[0]:
        raise InputError(f"{where} is not a matrix of numbers: {_shown(value)} is no list of {shape[0]}")
    return [leaf for item in value for leaf in _leaves(item, shape[1:], where)]


def no_formula(cell: Any) -> Any:
    """A cell of a table, quoted where a spreadsheet would take it for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


def _shown(value: Any) -> str:
    try:
        written = repr(value)
    except ValueError:  # a whole number of thousands of digits
        written = "a number too large"
    return written if len(written) <= _SHOWN else f"{written[:_SHOWN]}..."
