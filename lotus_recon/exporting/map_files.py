"""Depth and normals of one photo as 16-bit PNG and OpenEXR, with a file that says what their numbers mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon.exporting.map_formats import EXR, PNG16
from lotus_recon.io.images import write_png
from lotus_recon.types import DepthKind, DepthMap, NormalMap
from lotus_recon.workspace import write_atomically, write_json

SIDECAR = "maps.json"
_LARGEST = 65535
_MILLIMETRE = 1e-3
_OF_NORMALS = "OpenCV camera axes: x right, y down, z forward; unit vectors that face the camera"


def write_map_files(
    folder: Path, depth: DepthMap | None, normals: NormalMap | None, unit: str, formats: Sequence[str]
) -> None:
    """Write depth and normals in ``formats`` into a folder, and maps.json; ``unit`` is that of the depth, in words."""
    said: dict[str, Any] = {}
    if depth is not None and PNG16 in formats:
        stored, coded = coded_depth(depth)
        write_png(folder / "depth.png", stored)
        said["depth.png"] = {"kind": depth.kind, "unit": unit, **coded}
    if depth is not None and EXR in formats:
        write_exr(folder / "depth.exr", {"Z": np.where(depth.valid, depth.values, np.nan)})
        said["depth.exr"] = {"kind": depth.kind, "unit": unit, "channel": "Z", "invalid": "nan"}
    if normals is not None and PNG16 in formats:
        write_png(folder / "normals.png", coded_normals(normals))
        coding = {"normal": "2 * value / 65535 - 1", "invalid": [0, 0, 0]}
        said["normals.png"] = {"axes": _OF_NORMALS, **coding}
    if normals is not None and EXR in formats:
        values = np.where(normals.valid[..., None], normals.values, 0)
        write_exr(folder / "normals.exr", dict(zip("RGB", np.moveaxis(values, -1, 0), strict=True)))
        said["normals.exr"] = {"axes": _OF_NORMALS, "channels": "R, G, B are x, y, z", "invalid": [0, 0, 0]}
    write_json(folder / SIDECAR, said)


def coded_depth(depth: DepthMap) -> tuple[NDArray[np.uint16], dict[str, Any]]:
    """(H, W) depth in 16 bits, 0 where it is invalid, and how to read it: depth = value * scale + offset.

    Metric depth below 65 m is in millimetres, other positive depth in shares of the largest, with offset 0. Affine
    depth may be negative and has an offset.
    """
    known = depth.values[depth.valid].astype(np.float64)
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    if depth.kind.has_shift:
        scale = max(high - low, 1e-12) / (_LARGEST - 1)
        offset = low - scale  # the lowest value is 1
    else:
        offset = 0.0
        in_millimetres = depth.kind is DepthKind.METRIC and high < _LARGEST * _MILLIMETRE
        scale = _MILLIMETRE if in_millimetres else high / _LARGEST
    value = np.rint((depth.values.astype(np.float64) - offset) / scale)
    stored = np.where(depth.valid, np.clip(value, 1, _LARGEST), 0).astype(np.uint16)
    return stored, {"depth": "value * scale + offset", "scale": scale, "offset": offset, "invalid": 0}


def coded_normals(normals: NormalMap) -> NDArray[np.uint16]:
    """(H, W, 3) normals as (n + 1) / 2 in 16 bits, all zero where they are invalid."""
    value = np.rint((normals.values.astype(np.float64) + 1) / 2 * _LARGEST)
    return np.where(normals.valid[..., None], np.clip(value, 0, _LARGEST), 0).astype(np.uint16)


def write_exr(path: Path, channels: dict[str, NDArray[Any]]) -> None:
    """Write float channels (H, W) by name, compressed without loss, by rename."""
    import OpenEXR

    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    pixels = {name: np.ascontiguousarray(values, np.float32) for name, values in channels.items()}

    def write(part: Path) -> None:
        with OpenEXR.File(header, pixels) as file:
            file.write(str(part))

    write_atomically(path, write)
