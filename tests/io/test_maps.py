"""Predictions on disk: what is written is read back, always the same bytes, and files from elsewhere are checked."""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.io.maps import load_arrays, load_prediction, save_arrays, save_prediction
from lotus_recon.types import DepthKind, DepthMap, NormalMap, Prediction


def unit_normals(height: int = 6, width: int = 8) -> NDArray[np.float32]:
    vectors = np.random.default_rng(0).normal(size=(height, width, 3))
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def prediction() -> Prediction:
    values = np.random.default_rng(1).random((6, 8), np.float32) + 0.5
    valid = np.ones((6, 8), bool)
    valid[2, 3] = False
    values[2, 3] = np.nan
    depth = DepthMap(values, valid, DepthKind.AFFINE_DISPARITY)
    return Prediction(depth, NormalMap(unit_normals(), ~np.eye(6, 8, dtype=bool)), {"model": "x", "seed": np.int64(3)})


def given(path: Path, meta: Any = None, **arrays: Any) -> Path:
    """A file as somebody else would write it."""
    content = {"kind": "AFFINE_DISPARITY"} if meta is None else meta
    np.savez(path, meta=np.array(content if isinstance(content, str) else json.dumps(content)), **arrays)
    return path


def test_round_trip(tmp_path: Path) -> None:
    written = prediction()
    save_prediction(tmp_path / "sub" / "a.npz", written)
    read = load_prediction(tmp_path / "sub" / "a.npz")
    assert read.depth is not None
    assert read.normals is not None
    assert written.depth is not None
    assert written.normals is not None
    assert np.array_equal(read.depth.values, written.depth.values, equal_nan=True)
    assert np.array_equal(read.depth.valid, written.depth.valid)
    assert read.depth.kind is DepthKind.AFFINE_DISPARITY
    assert np.abs(read.normals.values - written.normals.values).max() < 1e-6
    assert np.array_equal(read.normals.valid, written.normals.valid)
    assert read.meta == {"model": "x", "seed": 3, "kind": "AFFINE_DISPARITY"}


def test_sigmas_travel_with_their_maps(tmp_path: Path) -> None:
    sigma, degrees = np.full((6, 8), 0.25, np.float32), np.full((6, 8), 3.0, np.float32)
    written = replace(prediction(), depth_sigma=sigma, normals_sigma_deg=degrees)
    save_prediction(tmp_path / "a.npz", written)
    read = load_prediction(tmp_path / "a.npz")
    np.testing.assert_array_equal(read.depth_sigma, sigma)
    np.testing.assert_array_equal(read.normals_sigma_deg, degrees)
    assert load_prediction(tmp_path / "a.npz", only="normals").depth_sigma is None


def test_only_depth_or_only_normals(tmp_path: Path) -> None:
    both = prediction()
    save_prediction(tmp_path / "d.npz", Prediction(both.depth, None))
    save_prediction(tmp_path / "n.npz", Prediction(None, both.normals))
    assert load_prediction(tmp_path / "d.npz").normals is None
    assert load_prediction(tmp_path / "n.npz").depth is None


def test_the_same_arrays_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        save_prediction(tmp_path / name, prediction())
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:  # written a day later, they would still be the same
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_files_are_compressed_and_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    save_arrays(path, zeros=np.zeros((500, 500), np.float32))
    assert path.stat().st_size < 10_000
    save_arrays(path, ones=np.ones(3))
    assert list(load_arrays(path)) == ["ones"]
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"], "no temporary file is left"


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    save_arrays(path, a=np.ones(3))
    with pytest.raises(ValueError, match="Object arrays"):
        save_arrays(path, a=np.array([{}], object))
    assert np.array_equal(load_arrays(path)["a"], np.ones(3))
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


def test_depth_valid_defaults_to_finite(tmp_path: Path) -> None:
    depth = np.array([[1.0, np.nan], [np.inf, 2.0]])
    read = load_prediction(given(tmp_path / "a.npz", depth=depth)).depth
    assert read is not None
    assert np.array_equal(read.valid, [[True, False], [False, True]])
    assert read.values.dtype == np.float32


def test_half_precision_and_quantised_normals_are_renormalised(tmp_path: Path) -> None:
    exact = unit_normals()
    stored = (np.round(exact * 64) / 64).astype(np.float16)
    stored[0, 0] = 0  # no normal here
    stored[0, 1] = np.nan
    read = load_prediction(given(tmp_path / "a.npz", normals=stored, depth=np.ones((6, 8), np.float16))).normals
    assert read is not None
    assert not read.valid[0, 0]
    assert not read.valid[0, 1]
    assert read.valid.sum() == 46
    assert np.abs(np.linalg.norm(read.values[read.valid], axis=-1) - 1).max() < 1e-6
    assert np.abs(read.values - exact)[read.valid].max() < 0.03


@pytest.mark.parametrize(
    ("arrays", "meta", "message"),
    [
        ({"depth": np.ones((4, 4))}, {"kind": "DISPARITY"}, "AFFINE_DISPARITY"),
        ({"depth": np.ones((4, 4))}, {"model": "x"}, "no 'kind'"),
        ({"depth": np.ones((4, 4))}, "{not json", "not JSON"),
        ({"depth": np.ones((4, 4))}, [1], "JSON object"),
        ({"depth": np.ones((4, 4, 1))}, None, "allowed: \\(H, W\\)"),
        ({"depth": np.full((4, 4), np.nan)}, None, "no valid pixel"),
        ({"depth": np.full((4, 4), np.nan), "depth_valid": np.ones((4, 4), bool)}, None, "NaN"),
        ({"depth": np.ones((4, 4)), "depth_valid": np.ones((4, 5), bool)}, None, "must agree"),
        ({"depth": -np.ones((4, 4))}, {"kind": "METRIC"}, "positive"),
        ({"depth": np.ones((4, 4)), "normals": unit_normals()}, None, "must agree"),
        ({"depth": np.ones((6, 8)), "normals": 2 * unit_normals()}, None, "unit length"),
        ({"depth": np.ones((6, 8)), "normals": unit_normals()[..., :2]}, None, "\\(H, W, 3\\)"),
        ({"nothing": np.ones(3)}, None, "depth, normals or both"),
        ({"depth": np.ones((4, 4)), "depth_sigma": np.ones((4, 5))}, None, "depth_sigma has shape"),
        ({"depth": np.ones((4, 4)), "depth_sigma": -np.ones((4, 4))}, None, "0 or more"),
        ({"depth": np.ones((4, 4)), "depth_sigma": np.full((4, 4), np.nan)}, None, "0 or more"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, arrays: dict[str, Any], meta: Any, message: str) -> None:
    path = given(tmp_path / "bad.npz", meta, **arrays)
    with pytest.raises(InputError, match=message) as error:
        load_prediction(path)
    assert str(path) in str(error.value)


def test_depth_that_holds_text(tmp_path: Path) -> None:
    path = given(tmp_path / "bad.npz", depth=np.full((4, 4), "far"))
    with pytest.raises(InputError, match="bad.npz"):
        load_prediction(path)


def test_meta_is_required(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", depth=np.ones((4, 4)))
    with pytest.raises(InputError, match="no 'meta'"):
        load_prediction(tmp_path / "a.npz")


def test_files_that_are_no_npz(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_arrays(tmp_path / "missing.npz")
    save_arrays(tmp_path / "a.npz", a=np.random.default_rng(0).random(10_000))
    whole = (tmp_path / "a.npz").read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 0xFF
    np.save(tmp_path / "array.npy", np.ones(3))
    contents = {
        "empty": b"",
        "half": whole[: len(whole) // 2],
        "flipped": bytes(damaged),
        "text": b"words " * 100,
        "single array": (tmp_path / "array.npy").read_bytes(),
    }
    for name, content in contents.items():
        path = tmp_path / f"{name}.npz"
        path.write_bytes(content)
        with pytest.raises(InputError, match=name):
            load_arrays(path)


def _stored(path: Path, name: str) -> bytes:
    """The bytes of a compressed array as they lie in the file."""
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        entry = archive.getinfo(f"{name}.npy")
        file.seek(entry.header_offset + 26)
        file.seek(int.from_bytes(file.read(2), "little") + int.from_bytes(file.read(2), "little"), 1)
        return file.read(entry.compress_size)


def test_float_maps_are_compressed_without_a_search_for_repetitions(tmp_path: Path) -> None:
    """A fifth of the time of the search, which finds nothing in them, for hardly more bytes."""
    y, x = np.mgrid[:120, :160].astype(np.float32)
    depth = np.sin(x / 30) * np.cos(y / 25) + 3 + 0.01 * np.random.default_rng(0).random((120, 160), np.float32)
    save_arrays(tmp_path / "a.npz", depth=depth, valid=np.ones((120, 160), bool))
    assert np.array_equal(load_arrays(tmp_path / "a.npz")["depth"], depth)
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        content = archive.read("depth.npy")
    codec = zlib.compressobj(1, zlib.DEFLATED, -15, 8, zlib.Z_RLE)
    assert _stored(tmp_path / "a.npz", "depth") == codec.compress(content) + codec.flush()
    assert len(_stored(tmp_path / "a.npz", "depth")) < 1.03 * len(zlib.compress(content))
    assert len(_stored(tmp_path / "a.npz", "valid")) < 200
