"""Normal sets as DSINE packs them: axes, masks and pickles that would run code."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from lotus_recon.datasets.benchmarks.registry import NORMALS, open_benchmark
from lotus_recon.errors import InputError
from tests.datasets.benchmarks import layouts

# x left, y up, z to the camera: a floor seen from above, a wall to the right (it faces left), a wall ahead
FLOOR, RIGHT_WALL, AHEAD = (0.0, 1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)


def some_normals() -> np.ndarray:
    normals = np.zeros((4, 6, 3), np.float32)
    normals[1:3, 2:5] = AHEAD
    normals[1, 2], normals[1, 3] = FLOOR, RIGHT_WALL
    return normals


@pytest.mark.parametrize("kind", NORMALS)
def test_every_set_comes_in_opencv_axes(kind: str, tmp_path: Path) -> None:
    layout = NORMALS[kind]
    if layout.suffix == ".exr":
        pytest.importorskip("OpenEXR")
    files = layouts.write_dsine(tmp_path / "dsine_eval", layout.folder, some_normals(), layout.suffix)
    for root in (tmp_path / "dsine_eval", tmp_path / "dsine_eval" / layout.folder):
        benchmark = open_benchmark(kind, root, files)
        assert (benchmark.name(0), benchmark.missing(), benchmark.spec.padding) == ("scene/000000", [], 32)
        truth = benchmark.truth(0)
        assert truth.normals is not None
        assert truth.normals_valid is not None
        assert truth.normals_valid.sum() == 6
        assert not truth.normals_valid[0].any()
        # OpenCV: x right, y down, z forward
        assert truth.normals[1, 2] == pytest.approx([0, -1, 0], abs=0.01)
        assert truth.normals[1, 3] == pytest.approx([-1, 0, 0], abs=0.01)
        assert truth.normals[2, 4] == pytest.approx([0, 0, -1], abs=0.01)


class _Harmful:
    def __reduce__(self) -> tuple:
        return os.mkdir, ("made_by_a_pickle",)


def test_a_pickle_cannot_run_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = layouts.write_dsine(tmp_path / "dsine_eval", "oasis", some_normals(), ".pkl")
    (tmp_path / "dsine_eval/oasis/scene/000000_normal.pkl").write_bytes(pickle.dumps({"normal": _Harmful()}))
    with pytest.raises(InputError, match="mkdir"):
        open_benchmark("oasis_normals", tmp_path / "dsine_eval", files).truth(0)
    assert not (tmp_path / "made_by_a_pickle").exists()


class _AnyShape:
    def __reduce__(self) -> tuple:
        return np.zeros(0).__reduce__()[0], (np.ndarray, (1 << 40,), b"b")


class _Constructed:
    def __reduce__(self) -> tuple:
        return np.ndarray, ((1 << 40,),)


@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps(_AnyShape()),
        pickle.dumps(_Constructed()),
        b"\x80\x02}r\xff\xff\xff\x7f.",
        b"\x80\x04\x8e" + b"\x40" * 9,
    ],
    ids=["shape", "constructor", "memo index", "length"],
)
def test_a_pickle_cannot_take_memory(tmp_path: Path, data: bytes) -> None:
    files = layouts.write_dsine(tmp_path / "dsine_eval", "oasis", some_normals(), ".pkl")
    (tmp_path / "dsine_eval/oasis/scene/000000_normal.pkl").write_bytes(data)
    with pytest.raises(InputError, match="is not a pickle of arrays"):
        open_benchmark("oasis_normals", tmp_path / "dsine_eval", files).truth(0)


def test_a_list_of_other_names_is_refused(tmp_path: Path) -> None:
    (tmp_path / "files.txt").write_text("scene/0.png\n")
    with pytest.raises(InputError, match="_img"):
        open_benchmark("nyuv2_normals", tmp_path, tmp_path / "files.txt")
