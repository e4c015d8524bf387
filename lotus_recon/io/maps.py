"""Predictions on disk: ``<view>.npz`` with depth, depth_valid, normals, normals_valid and meta (a JSON string)."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.geometry.normals import normalized
from lotus_recon.types import DepthKind, DepthMap, FloatArray, NormalMap, Prediction
from lotus_recon.workspace import to_plain, write_atomically

_DEPTH, _NORMALS = ("depth", "depth_valid"), ("normals", "normals_valid")


def save_arrays(path: Path, **arrays: Any) -> None:
    """Write a compressed npz by rename; the same arrays always give the same bytes."""

    def write(part: Path) -> None:
        with zipfile.ZipFile(part, "w") as archive:
            for name, array in arrays.items():
                content = io.BytesIO()
                np.lib.format.write_array(content, np.asanyarray(array), allow_pickle=False)
                # ZipInfo has a fixed date (numpy.savez would store the time of writing) but knows no compression.
                archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content.getvalue(), zipfile.ZIP_DEFLATED)

    write_atomically(path, write)


def load_arrays(path: Path, without: Collection[str] = ()) -> dict[str, np.ndarray]:
    """All arrays of an npz, but for those named in ``without``. Raises InputError when it is missing or broken."""
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            raise InputError(f"{path} holds a single array (npy), not named arrays (npz)")
        with loaded as archive:
            return {name: archive[name] for name in archive.files if name not in without}
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
        raise InputError(f"{path} cannot be read as npz: {error}") from error


def save_prediction(path: Path, prediction: Prediction) -> None:
    """Write a prediction in the layout that ``load_prediction`` reads."""
    arrays: dict[str, Any] = {}
    meta = dict(prediction.meta)
    if prediction.depth is not None:
        arrays |= {"depth": prediction.depth.values, "depth_valid": prediction.depth.valid}
        meta["kind"] = prediction.depth.kind.value
    if prediction.normals is not None:
        arrays |= {"normals": prediction.normals.values, "normals_valid": prediction.normals.valid}
    save_arrays(path, **arrays, meta=np.array(json.dumps(to_plain(meta), sort_keys=True)))


def load_prediction(path: Path, only: Literal["depth", "normals"] | None = None) -> Prediction:
    """Read and check a prediction, also one made elsewhere (see docs/formats.md); ``only`` reads one of its maps.

    Raises InputError naming the file for a missing key, a wrong kind or shape, or depth that has no valid pixel.
    """
    unused = {"depth": _NORMALS, "normals": _DEPTH}.get(only or "", ())
    arrays = load_arrays(path, unused)
    if only is not None and only not in arrays:
        raise InputError(f"{path} has no {only}")
    return _prediction(path, arrays)


def save_weighted_depth(path: Path, depth: DepthMap, confidence: FloatArray) -> None:
    """Write depth, 0 where invalid, and its confidence (H, W) in the layout that ``load_weighted_depth`` reads."""
    values = np.where(depth.valid, depth.values, 0).astype(np.float32)
    meta = np.array(json.dumps({"kind": depth.kind.value}))
    save_arrays(path, depth=values, depth_valid=depth.valid, confidence=confidence.astype(np.float32), meta=meta)


def load_weighted_depth(path: Path) -> tuple[DepthMap | None, NDArray[np.float32]]:
    """Depth as ``load_prediction`` reads it, and its ``confidence`` (H, W), 1 where the file has none.

    Raises InputError as ``load_prediction`` does, and for a confidence of another size.
    """
    arrays = load_arrays(path)
    prediction = _prediction(path, arrays)
    confidence = arrays.get("confidence", np.ones(prediction.shape)).astype(np.float32)
    if confidence.shape != prediction.shape:
        raise InputError(f"{path} has confidence of size {confidence.shape}, depth {prediction.shape}: must agree")
    return prediction.depth, confidence


def _prediction(path: Path, arrays: dict[str, np.ndarray]) -> Prediction:
    meta = _meta(path, arrays)
    try:
        depth = _depth(path, arrays, meta) if "depth" in arrays else None
        normals = _normals(arrays) if "normals" in arrays else None
        return Prediction(depth, normals, meta)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _meta(path: Path, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    if "meta" not in arrays:
        raise InputError(f"{path} has no 'meta'; needed: a 0-d array holding a JSON string with 'kind'")
    try:
        meta = json.loads(str(arrays["meta"]))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: 'meta' is not JSON: {error}") from None
    if not isinstance(meta, dict):
        raise InputError(f"{path}: 'meta' must be a JSON object, not {type(meta).__name__}")
    return meta


def _depth(path: Path, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> DepthMap:
    if "kind" not in meta:
        raise InputError(f"'meta' has no 'kind'; allowed: {', '.join(k.value for k in DepthKind)}")
    values = _numbers(arrays, "depth")
    valid = arrays["depth_valid"].astype(bool) if "depth_valid" in arrays else np.isfinite(values)
    depth = DepthMap(values, valid, DepthKind.parse(str(meta["kind"])))
    if not depth.valid.any():
        raise InputError("depth has no valid pixel (all NaN, infinite or masked)")
    return depth


def _numbers(arrays: dict[str, np.ndarray], name: str) -> np.ndarray:
    if arrays[name].dtype.kind not in "fiu":
        raise InputError(f"{name} has type {arrays[name].dtype}; allowed: real numbers")
    return arrays[name].astype(np.float32)


def _normals(arrays: dict[str, np.ndarray]) -> NormalMap:
    values = _numbers(arrays, "normals")
    if values.ndim != 3 or values.shape[2] != 3:
        raise InputError(f"normals have shape {values.shape}; allowed: (H, W, 3)")
    length = np.linalg.norm(values, axis=-1)
    valid = arrays["normals_valid"].astype(bool) if "normals_valid" in arrays else np.isfinite(length) & (length > 0.5)
    # Stored at half precision, or quantised, unit vectors are off by up to a percent: renormalise, do not refuse.
    unit = normalized(np.where(np.isfinite(values), values, 0.0)).astype(np.float32)
    bad = valid & (np.abs(length - 1) > 0.1)
    if bad.any():
        raise InputError(f"normals are not of unit length at {bad.mean():.1%} of the pixels marked valid")
    return NormalMap(unit, valid)
