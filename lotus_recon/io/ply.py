"""PLY files of anybody, read without native code: a damaged one is an error, where Open3D's reader crashes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from plyfile import PlyData, PlyElementParseError, PlyParseError

from lotus_recon.errors import InputError

_LISTS = ("vertex_indices", "vertex_index")  # both names are in use
_TRIANGLES = {"face": dict.fromkeys(_LISTS, 3)}
_MAX_HEADER = 1 << 20
_BYTES = {"char": 1, "uchar": 1, "short": 2, "ushort": 2, "int": 4, "uint": 4, "float": 4, "double": 8}
_BYTES |= {"int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "float32": 4, "float64": 8}


def read_ply(path: Path) -> PlyData:
    """All elements of a PLY file. Raises InputError when it is none, or is cut."""
    try:
        _refuse_more_than_there_is(path)
        try:
            return PlyData.read(str(path), known_list_len=_TRIANGLES)  # memory-mapped, where all faces are triangles
        except PlyElementParseError:
            return PlyData.read(str(path))
    except (PlyParseError, ValueError, TypeError, KeyError, IndexError, OverflowError, MemoryError, OSError) as error:
        raise InputError(f"{path} is not a whole PLY file: {' '.join(str(error).split()) or repr(error)}") from None


def _refuse_more_than_there_is(path: Path) -> None:
    """Raise ValueError when the header counts more than the file can hold: memory is taken by these counts."""
    with open(path, "rb") as file:
        head = file.read(_MAX_HEADER)
    end = re.search(rb"\nend_header\r?\n?", head)
    if not head.startswith(b"ply") or end is None:
        raise ValueError("no PLY header")
    lines = [line.split() for line in head[: end.start()].decode("latin1").splitlines()]
    is_text = ["format", "ascii"] in [words[:2] for words in lines]
    needed, count = end.end(), 0
    for words in lines:
        if words[:1] == ["element"] and len(words) == 3:
            count = int(words[2])
        elif words[:1] == ["property"] and len(words) > 2:
            kind = words[2] if words[1] == "list" else words[1]
            needed += count * (1 if is_text else _BYTES.get(kind, 1))
    if needed > path.stat().st_size:
        raise ValueError(f"its header counts more than its {path.stat().st_size} bytes can hold")


def columns(data: PlyData, path: Path, names: Sequence[str]) -> NDArray[Any] | None:
    """(V, C) those properties of the vertices; None where one is missing. Raises InputError where one is a list."""
    vertex = _element(data, path, "vertex")
    if not set(names) <= set(vertex.dtype.names or ()):
        return None
    if any(vertex.dtype[name].kind == "O" for name in names):
        raise InputError(f"{path}: {', '.join(names)} of its vertices are lists; allowed: numbers")
    return np.stack([vertex[name] for name in names], 1)


def triangles(data: PlyData, path: Path) -> NDArray[np.int64]:
    """(T, 3) vertices of each triangle; polygons become fans. Raises InputError where there are no faces."""
    if "face" not in data:
        raise InputError(f"{path} has no triangles")
    face = _element(data, path, "face")
    name = next((name for name in _LISTS if name in (face.dtype.names or ())), None)
    if name is None or len(face) == 0:
        raise InputError(f"{path} has no triangles")
    corners = face[name]
    if corners.ndim == 2:
        return np.asarray(corners, np.int64).reshape(-1, 3)
    if corners.dtype.kind != "O":
        raise InputError(f"{path}: the {name} of its faces are numbers; allowed: lists of vertices")
    return _fans(corners, path)


def _fans(polygons: NDArray[Any], path: Path) -> NDArray[np.int64]:
    lengths = np.array([len(polygon) for polygon in polygons])
    if (lengths < 3).any():
        raise InputError(f"{path}: a face has {lengths.min()} vertices; allowed: 3 or more")
    parts = []
    for length in np.unique(lengths):
        same = np.stack(list(polygons[lengths == length])).astype(np.int64)
        steps = np.arange(1, length - 1)
        fans = np.stack([np.broadcast_to(same[:, :1], (len(same), length - 2)), same[:, steps], same[:, steps + 1]], -1)
        parts.append((np.flatnonzero(lengths == length).repeat(length - 2), fans.reshape(-1, 3)))
    order = np.argsort(np.concatenate([rows for rows, _ in parts]), kind="stable")
    found: NDArray[np.int64] = np.concatenate([fans for _, fans in parts])[order]
    return found


def _element(data: PlyData, path: Path, name: str) -> NDArray[Any]:
    if name not in data:
        raise InputError(f"{path} has no element {name!r}")
    rows: NDArray[Any] = data[name].data
    return rows
