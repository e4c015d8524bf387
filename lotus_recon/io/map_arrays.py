"""Depth and normals that other programs wrote, as arrays: npy, 16-bit PNG and OpenEXR."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon import native
from lotus_recon.errors import InputError
from lotus_recon.io.image_sizes import MAX_MEGAPIXELS
from lotus_recon.io.images import read_pixels
from lotus_recon.io.npz import read_npy

SUFFIXES = (".npy", ".exr", ".png")
_DEPTH_CHANNELS = ("Z", "Y", "V", "R")  # OpenCV calls a single channel Y, Blender V, renderers Z
_NORMAL_CHANNELS = ("RGB", "XYZ")


def read_depth_array(path: Path) -> tuple[NDArray[np.float32], bool]:
    """The numbers (H, W) of a depth file, and whether 0 in it stands for "unknown", as it does in integers.

    Raises InputError naming the file when it holds anything else, such as a picture of a depth map.
    """
    if path.suffix == ".exr":
        return _depth_of_channels(read_exr(path), path), False
    values = _array(path)
    if values.ndim == 3 and 1 in (values.shape[0], values.shape[-1]):
        values = values[0] if values.shape[0] == 1 else values[..., 0]
    if path.suffix == ".png" and (values.ndim != 2 or values.dtype != np.uint16):
        raise InputError(
            f"{path} has {values.dtype.itemsize * 8} bits and {1 if values.ndim == 2 else values.shape[2]} channels: a "
            "picture of a depth map, not its numbers; allowed: PNG with one channel of 16 bits, npy, OpenEXR"
        )
    if values.ndim != 2 or values.dtype.kind not in "fiu":
        raise InputError(f"{path} has shape {values.shape} and type {values.dtype}; allowed: real numbers (H, W)")
    return values.astype(np.float32), values.dtype.kind in "iu"


def read_normals_array(path: Path, is_coded: bool) -> NDArray[np.float32]:
    """Normals (H, W, 3) in the axes of the file, not yet of unit length; 0 0 0 where a PNG has none.

    ``is_coded``: floats lie in [0, 1], as the values of a PNG always do, and not in [-1, 1]. Raises InputError naming
    the file when it holds anything else.
    """
    if path.suffix == ".exr":
        values: NDArray[Any] = _normals_of_channels(read_exr(path), path)
    else:
        values = _array(path)
    if values.ndim == 3 and values.shape[0] == 3 and values.shape[2] != 3:
        values = np.moveaxis(values, 0, -1)
    if values.ndim != 3 or values.shape[2] != 3 or values.dtype.kind not in "fu":
        raise InputError(f"{path} has shape {values.shape} and type {values.dtype}; allowed: normals (H, W, 3)")
    if values.dtype.kind == "u":
        is_known = values.any(axis=-1, keepdims=True)
        return np.where(is_known, values / np.iinfo(values.dtype).max * 2.0 - 1, 0).astype(np.float32)
    return (values * 2 - 1 if is_coded else values).astype(np.float32)


def read_exr(path: Path, shown: str = "") -> dict[str, NDArray[np.float32]]:
    """The channels (H, W) of an OpenEXR file by name.

    Raises InputError, which calls the file ``shown``, when it is none, or the library is missing.
    """
    native.require(("OpenEXR",))
    import OpenEXR

    try:
        with OpenEXR.File(str(path), separate_channels=True, header_only=True) as image:
            low, high = (np.asarray(corner, np.int64) for corner in image.header()["dataWindow"])
        width, height = (high - low + 1).tolist()
        if not 0 < width * height <= MAX_MEGAPIXELS * 1e6:
            raise ValueError(f"it says {width}x{height} pixels; at most {MAX_MEGAPIXELS:g} megapixels are allowed")
        with OpenEXR.File(str(path), separate_channels=True) as image:
            return {name: np.asarray(one.pixels, np.float32) for name, one in image.channels().items()}
    except (RuntimeError, ValueError, KeyError, TypeError, OSError, MemoryError) as error:
        raise InputError(f"{shown or path} cannot be read as OpenEXR: {error}") from None


def _array(path: Path) -> NDArray[Any]:
    if path.suffix == ".png":
        return read_pixels(path)
    try:
        with path.open("rb") as file:
            return read_npy(file, str(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}") from None


def _depth_of_channels(channels: Mapping[str, NDArray[np.float32]], path: Path) -> NDArray[np.float32]:
    names = [name for name in _DEPTH_CHANNELS if name in channels]
    if len(channels) == 1:
        return next(iter(channels.values()))
    is_grey = set(channels) >= set("RGB") and all(np.array_equal(channels["R"], channels[c]) for c in "GB")
    if not names or (names == ["R"] and not is_grey):
        raise InputError(f"{path} has the channels {', '.join(channels)}; allowed for depth: one, or Z, Y or V")
    return channels[names[0]]


def _normals_of_channels(channels: Mapping[str, NDArray[np.float32]], path: Path) -> NDArray[np.float32]:
    names = next((names for names in _NORMAL_CHANNELS if set(names) <= set(channels)), None)
    if names is None:
        raise InputError(f"{path} has the channels {', '.join(channels)}; allowed for normals: R, G, B or X, Y, Z")
    return np.stack([channels[name] for name in names], axis=-1)
