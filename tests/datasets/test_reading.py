"""Files of data sets that are none: named, whatever a list or an archive says they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lotus_recon.datasets import seven_scenes
from lotus_recon.datasets.reading import read_hdf5, require_file
from lotus_recon.errors import InputError


@pytest.mark.parametrize("name", ["a\0b.png", "9" * 5000, "absent.png"])
def test_what_no_file_is_called_is_missing(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="is missing"):
        require_file(tmp_path / name)


def test_what_is_no_array_is_named(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["dataset"] = np.dtype("f4")  # a data type, as a flipped bit makes it
        file.create_group("group")
    for name in ("dataset", "group"):
        with pytest.raises(InputError, match=r"a\.hdf5 cannot be read as HDF5 .* no array"):
            read_hdf5(tmp_path / "a.hdf5", name)


def test_a_pose_that_is_not_finite_is_named(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "camera-intrinsics.txt", np.eye(3))
    np.savetxt(tmp_path / "frame-000000.pose.txt", np.full((4, 4), np.nan))
    with pytest.raises(InputError, match=r"pose\.txt does not hold a 4x4 matrix: not all"):
        seven_scenes.frames(tmp_path)
