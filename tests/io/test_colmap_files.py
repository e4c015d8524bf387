"""Binary COLMAP models that were cut anywhere: refused by name, at once, where pycolmap reads for ever."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import PIL.Image  # noqa: F401  must come before pycolmap
import pycolmap
import pytest

from lotus_recon.errors import InputError
from lotus_recon.io.cameras import read_colmap_model

FILES = ("cameras", "rigs", "frames", "images", "points3D")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rigs of two cameras each (one of them with a pose of its own), five points."""
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig, options.num_points3D = 2, 2, 2, 5
    pycolmap.set_random_seed(1)
    folder = tmp_path_factory.mktemp("model")
    pycolmap.synthesize_dataset(options).write_binary(str(folder))
    return folder


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", FILES)
def test_a_cut_file_is_refused_by_name_wherever_it_ends(name: str, model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(model, copy)
    whole = (model / f"{name}.bin").read_bytes()
    lengths = {0, 1, 7, 8, 9, *range(len(whole) - 60, len(whole)), *range(10, len(whole), 37)}
    for length in sorted(length for length in lengths if 0 <= length < len(whole)):
        (copy / f"{name}.bin").write_bytes(whole[:length])
        with pytest.raises(InputError, match=rf"{name}\.bin is cut: it has {length} bytes"):
            read_colmap_model(copy)


def test_a_whole_model_is_read_with_rigs_and_without_them(model: Path, tmp_path: Path) -> None:
    assert len(read_colmap_model(model).names) == 8
    for version in ("PINHOLE", "OPENCV", "FULL_OPENCV"):
        options = pycolmap.SyntheticDatasetOptions()
        options.camera_model_id = pycolmap.CameraModelId.__members__[version]
        count = len(pycolmap.Camera.create_from_model_name(1, version, 1.0, 1, 1).params)
        options.camera_params = [1280.0, 1280.0, 512.0, 384.0, *[0.0] * 20][:count]
        folder = tmp_path / version
        folder.mkdir()
        trivial = pycolmap.synthesize_dataset(options)
        trivial.write_binary(str(folder))
        expected = read_colmap_model(folder).names
        for name in ("rigs", "frames"):  # as COLMAP before version 3.12 wrote them
            (folder / f"{name}.bin").unlink()
        assert read_colmap_model(folder).names == expected


def test_garbage_of_the_right_length_is_refused_too(model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(model, copy)
    data = bytearray((model / "cameras.bin").read_bytes())
    data[12:16] = struct.pack("<i", 77)
    (copy / "cameras.bin").write_bytes(data)
    with pytest.raises(InputError, match="names the camera model 77"):
        read_colmap_model(copy)
    (copy / "cameras.bin").write_bytes(struct.pack("<Q", 2**60))
    with pytest.raises(InputError, match=r"cameras\.bin is cut"):
        read_colmap_model(copy)
