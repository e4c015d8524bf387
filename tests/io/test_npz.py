"""npy and npz files of anybody: damaged ones are named, large ones take no memory."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lotus_recon.errors import InputError
from lotus_recon.io import npz
from lotus_recon.io.images import read_mask, read_pixels
from lotus_recon.io.npz import npz_shapes, read_npy, read_npz
from lotus_recon.models.precomputed import load_for_photo

ARRAYS: dict[str, Any] = {
    "depth": np.arange(12, dtype=np.float32).reshape(3, 4),
    "meta": np.array('{"kind": "METRIC"}'),
}


def header(shape: str, kind: str = "<f4") -> bytes:
    """The beginning of an npy file with that shape, and no data."""
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
    text += " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def bomb(path: Path, shape: tuple[int, int]) -> None:
    """An npz of a few MB with a depth map of zeros of that shape."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("depth.npy", "w") as file:
        file.write(header(str(shape)))
        row = bytes(4 * shape[1])
        for _ in range(shape[0]):
            file.write(row)


def test_arrays_come_back(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", **ARRAYS)
    found = read_npz(tmp_path / "a.npz")
    assert found.keys() == ARRAYS.keys()
    np.testing.assert_array_equal(found["depth"], ARRAYS["depth"])
    assert read_npz(tmp_path / "a.npz", without=("depth",)).keys() == {"meta"}
    assert npz_shapes(tmp_path / "a.npz") == {"depth": (3, 4), "meta": ()}


@pytest.mark.parametrize("shape", ["(100000000, 100000000)", "(-1, -5)", "(3, 'a')", "3", "(1e3,)", "[]", "(" * 500])
def test_a_shape_that_the_data_does_not_have_is_refused(shape: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("depth.npy", header(shape) + b"data")
    with pytest.raises(InputError, match=r"a\.npz cannot be read as npz"):
        read_npz(tmp_path / "a.npz")
    with pytest.raises(InputError, match="place cannot be read as npy"):
        read_npy(io.BytesIO(header(shape) + b"data"), "place")


def test_every_cut_and_many_changes_are_named(tmp_path: Path) -> None:
    path, rng = tmp_path / "a.npz", np.random.default_rng(0)
    np.savez_compressed(path, **ARRAYS)
    whole = path.read_bytes()
    for length in range(0, len(whole), 5):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"a\.npz"):
            read_npz(path)
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(rng.integers(1, 5)):
            data[rng.integers(0, len(data))] = rng.integers(0, 256)
        path.write_bytes(data)
        try:
            read_npz(path)
        except InputError as error:
            said = str(error)
            assert "a.npz" in said


def test_too_many_values_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "a.npz", depth=np.zeros((1000, 1000)))
    monkeypatch.setattr(npz, "MAX_BYTES", 7_000_000)
    with pytest.raises(InputError, match=r"depth: \(1000, 1000\)"):
        read_npz(tmp_path / "a.npz")


LIMITED = """
import resource, sys
from pathlib import Path
{imports}
used = int(open('/proc/self/statm').read().split()[5]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_DATA, (used + (200 << 20),) * 2)
try:
    {call}
except InputError as error:
    print(error)
"""


def output_with_200_mb(imports: str, call: str) -> str:
    """What a process prints that may take 200 MB more than what it has after its imports."""
    code = LIMITED.format(imports=f"from lotus_recon.errors import InputError\n{imports}", call=call)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_a_map_of_another_size_than_its_photo_takes_no_memory(tmp_path: Path) -> None:
    bomb(tmp_path / "a.npz", (20_000, 20_000))  # 1.6 GB
    assert (tmp_path / "a.npz").stat().st_size < 5_000_000
    said = output_with_200_mb(
        "from lotus_recon.models.precomputed import load_for_photo",
        f"load_for_photo(Path({str(tmp_path)!r}), 'a.png', 64, 48)",
    )
    assert "20000x20000 pixels, its photo 64x48" in said
    with pytest.raises(InputError, match="must agree"):
        load_for_photo(tmp_path, "a.png", 64, 48)


@pytest.mark.parametrize("call", ["read_mask({path}, 64, 48)", "read_pixels({path})"])
def test_an_image_of_too_many_pixels_takes_no_memory(call: str, tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    Image.new("1", (40_000, 40_000)).save(path)
    assert path.stat().st_size < 1_000_000
    said = output_with_200_mb(
        "from lotus_recon.io.images import read_mask, read_pixels", call.format(path=f"Path({str(path)!r})")
    )
    assert "mask.png is 40000x40000 pixels, its photo 64x48" in said or "1600 megapixels" in said
    read = read_pixels if "pixels" in call else lambda path: read_mask(path, 64, 48)
    with pytest.raises(InputError, match=r"mask\.png"):
        read(path)
