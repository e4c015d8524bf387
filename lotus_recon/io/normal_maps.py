"""Normal maps as PNG, 8 or 16 bits: (n + 1) / 2 of the full range per channel, red = x; (0, 0, 0) where unknown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.geometry.normals import normalized
from lotus_recon.io.images import read_pixels, write_png
from lotus_recon.types import BoolArray, FloatArray, IntArray


def encode_normals(normals: FloatArray, valid: BoolArray, bits: int = 16) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """(H, W, 3) pixels of unit normals; 8 bits are off by up to 0.4 degrees, 16 bits by nothing that counts."""
    full = 2**bits - 1
    values = np.round((np.where(valid[..., None], normals, -1) + 1) / 2 * full)
    return values.astype(np.uint8) if bits == 8 else values.astype(np.uint16)


def decode_normals(pixels: IntArray) -> tuple[NDArray[np.float32], BoolArray]:
    """Unit normals (H, W, 3) of what ``encode_normals`` gave, and where they are known. Axes are those of the file."""
    values = pixels.astype(np.float64) / np.iinfo(pixels.dtype).max * 2 - 1
    length = np.linalg.norm(values, axis=-1)
    valid = pixels.any(axis=-1) & (np.abs(length - 1) < 0.5)  # a grey pixel, too, has no direction
    return np.where(valid[..., None], normalized(values), 0).astype(np.float32), valid


def write_normals_png(path: Path, normals: FloatArray, valid: BoolArray, bits: int = 16) -> None:
    """Write unit normals (H, W, 3) by rename. Raises OSError when it cannot be written."""
    write_png(path, encode_normals(normals, valid, bits))


def read_normals_png(path: Path) -> tuple[NDArray[np.float32], BoolArray]:
    """Unit normals (H, W, 3) and where they are known. Raises InputError when the file is no colour PNG."""
    pixels = read_pixels(path)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{path} is not a PNG of normals (8- or 16-bit RGB)")
    return decode_normals(pixels)
