"""Predictions on disk: ``<view>.npz`` with depth, depth_valid, normals, normals_valid and meta (a JSON string)."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lotus_recon.errors import InputError
from lotus_recon.geometry.normals import normalized
from lotus_recon.io.npz import read_npz
from lotus_recon.types import DepthKind, DepthMap, FloatArray, NormalMap, Prediction
from lotus_recon.workspace import to_plain, write_atomically

_DEPTH = ("depth", "depth_valid", "depth_sigma")
_NORMALS = ("normals", "normals_valid", "normals_sigma_deg")


def save_arrays(path: Path, compressed: bool = True, /, **arrays: Any) -> None:
    """Write an npz by rename; the same arrays always give the same bytes."""
    method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED

    def write(part: Path) -> None:
        with zipfile.ZipFile(part, "w") as archive:
            for name, array in arrays.items():
                content = io.BytesIO()
                np.lib.format.write_array(content, np.asanyarray(array), allow_pickle=False)
                # ZipInfo has a fixed date (numpy.savez would store the time of writing) but knows no compression.
                entry = zipfile.ZipInfo(f"{name}.npy")
                entry.compress_type, entry.file_size = method, content.getbuffer().nbytes
                with archive.open(entry, "w") as file:
                    if compressed:
                        _compress_fast(file)
                    file.write(content.getbuffer())

    write_atomically(path, write)


def _compress_fast(file: Any) -> None:
    """Let a file of a zip archive take no time to look for repeated strings of bytes, of which float maps have none.

    Measured on maps of the sample scene: a fifth of the time, and 1 % larger. The module has no argument for it; where
    the attribute is another some day, files are compressed as usual.
    """
    file._compressor = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)


def load_arrays(path: Path, without: Collection[str] = ()) -> dict[str, np.ndarray]:
    """The arrays (any shape) of an npz, not those in ``without``. Raises InputError when it is missing or broken."""
    return read_npz(path, without)


def save_array(path: Path, array: np.ndarray) -> None:
    """Write one array (any shape) as npy by rename."""

    def write(part: Path) -> None:
        with part.open("wb") as file:
            np.lib.format.write_array(file, array, allow_pickle=False)

    write_atomically(path, write)


def map_array(path: Path) -> np.ndarray:
    """An array (any shape) of ``save_array``, of which only what is looked at is read from disk.

    What is written to it stays in memory.
    """
    return np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))


def save_maps(
    path: Path,
    depth: DepthMap | None = None,
    normals: NormalMap | None = None,
    confidence: FloatArray | None = None,
    meta: Mapping[str, Any] | None = None,
    compressed: bool = True,
    depth_sigma: FloatArray | None = None,
    normals_sigma_deg: FloatArray | None = None,
    sigma: FloatArray | None = None,
) -> None:
    """Write maps (H, W) of one view in the layout that docs/formats.md describes; ``meta`` is plain JSON values."""
    arrays: dict[str, Any] = {}
    meta = dict(meta or {})
    if depth is not None:
        arrays |= {"depth": depth.values, "depth_valid": depth.valid}
        meta["kind"] = depth.kind.value
    if confidence is not None:
        arrays["confidence"] = np.asarray(confidence, np.float32)
    if normals is not None:
        arrays |= {"normals": normals.values, "normals_valid": normals.valid}
    if depth_sigma is not None:
        arrays["depth_sigma"] = np.asarray(depth_sigma, np.float32)
    if normals_sigma_deg is not None:
        arrays["normals_sigma_deg"] = np.asarray(normals_sigma_deg, np.float32)
    if sigma is not None:
        arrays["sigma"] = np.asarray(sigma, np.float32)
    arrays["meta"] = np.array(json.dumps(to_plain(meta), sort_keys=True))
    save_arrays(path, compressed, **arrays)


def save_prediction(path: Path, prediction: Prediction) -> None:
    """Write a prediction in the layout that ``load_prediction`` reads."""
    save_maps(
        path,
        prediction.depth,
        prediction.normals,
        meta=prediction.meta,
        depth_sigma=prediction.depth_sigma,
        normals_sigma_deg=prediction.normals_sigma_deg,
    )


def load_prediction(path: Path, only: Literal["depth", "normals"] | None = None) -> Prediction:
    """Read and check a prediction, also one made elsewhere (see docs/formats.md); ``only`` reads one of its maps.

    Raises InputError naming the file for a missing key, a wrong kind or shape, or depth that has no valid pixel.
    """
    unused = {"depth": _NORMALS, "normals": _DEPTH}.get(only or "", ())
    arrays = load_arrays(path, unused)
    if only is not None and only not in arrays:
        raise InputError(f"{path} has no {only}")
    return _prediction(path, arrays)


def _prediction(path: Path, arrays: dict[str, np.ndarray]) -> Prediction:
    meta = parse_meta(path, arrays)
    depth, normals = parse_depth(path, arrays, meta), parse_normals(path, arrays)
    try:
        if depth is not None and not depth.valid.any():
            raise InputError("depth has no valid pixel (all NaN, infinite or masked)")
        sigmas = [_numbers(arrays, name) if name in arrays else None for name in ("depth_sigma", "normals_sigma_deg")]
        return Prediction(depth, normals, meta, *sigmas)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def parse_meta(path: Path, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What the 0-d array ``meta`` of a file says. Raises InputError naming the file when it is not a JSON object."""
    if "meta" not in arrays:
        raise InputError(f"{path} has no 'meta'; needed: a 0-d array holding a JSON string with 'kind'")
    try:
        meta = json.loads(str(arrays["meta"]))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: 'meta' is not JSON: {error}") from None
    if not isinstance(meta, dict):
        raise InputError(f"{path}: 'meta' must be a JSON object, not {type(meta).__name__}")
    return meta


def parse_depth(path: Path, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> DepthMap | None:
    """The depth (H, W) of a file, None where it holds none. Raises InputError naming the file for wrong values."""
    if "depth" not in arrays:
        return None
    if "kind" not in meta:
        raise InputError(f"{path}: 'meta' has no 'kind'; allowed: {', '.join(k.value for k in DepthKind)}")
    try:
        values = _numbers(arrays, "depth")
        valid = _flags(arrays, "depth_valid") if "depth_valid" in arrays else np.isfinite(values)
        return DepthMap(values, valid, DepthKind.parse(str(meta["kind"])))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def parse_normals(path: Path, arrays: Mapping[str, np.ndarray]) -> NormalMap | None:
    """The normals (H, W, 3) of a file, None where it holds none. Raises InputError naming the file for wrong values."""
    if "normals" not in arrays:
        return None
    try:
        return _normals(arrays)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _numbers(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if arrays[name].dtype.kind not in "fiu":
        raise InputError(f"{name} has type {arrays[name].dtype}; allowed: real numbers")
    return arrays[name].astype(np.float32, copy=False)


def _flags(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if arrays[name].dtype.kind not in "bfiu":
        raise InputError(f"{name} has type {arrays[name].dtype}; allowed: truth values")
    return arrays[name].astype(bool, copy=False)


def _normals(arrays: Mapping[str, np.ndarray]) -> NormalMap:
    values = _numbers(arrays, "normals")
    if values.ndim != 3 or values.shape[2] != 3:
        raise InputError(f"normals have shape {values.shape}; allowed: (H, W, 3)")
    length = np.linalg.norm(values, axis=-1)
    valid = _flags(arrays, "normals_valid") if "normals_valid" in arrays else np.isfinite(length) & (length > 0.5)
    if valid.shape != length.shape:
        raise InputError(f"normals_valid has shape {valid.shape}, normals {values.shape}: must agree")
    # Stored at half precision, or quantised, unit vectors are off by up to a percent: renormalise, do not refuse.
    unit = normalized(np.where(np.isfinite(values), values, 0.0)).astype(np.float32)
    bad = valid & (np.abs(length - 1) > 0.1)
    if bad.any():
        raise InputError(f"normals are not of unit length at {bad.mean():.1%} of the pixels marked valid")
    return NormalMap(unit, valid)
