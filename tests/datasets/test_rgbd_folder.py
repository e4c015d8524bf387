"""A user's folder: units, conventions of normals, masks, sky, splits, and what is said of what is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lotus_recon.datasets.rgbd_folder import FolderSet
from lotus_recon.errors import InputError
from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.geometry.normals import angle_deg
from lotus_recon.io.maps import save_arrays
from lotus_recon.io.normal_maps import write_normals_png
from lotus_recon.types import Camera
from tests.datasets.analytic import Truth, cut, look, write_photo, write_png

WIDTH, HEIGHT = 64, 48
CAMERA = Camera(WIDTH, HEIGHT, 60.0, 60.0, WIDTH / 2, HEIGHT / 2)
EVERYWHERE = np.ones((HEIGHT, WIDTH), bool)
TRUTH = look(rays_in_cam(CAMERA))


def write_folder(root: Path, spec: str = "depth_unit_m: 0.001", stems: tuple[str, ...] = ("a", "sub/b")) -> Truth:
    """Photos with depth in millimetres; the first line has none."""
    counts = np.round(TRUTH.depth * 1000).astype(np.uint16)
    counts[0] = 0
    for stem in stems:
        write_photo(root / f"rgb/{stem}.jpg", HEIGHT, WIDTH)
        write_png(root / f"depth/{stem}.png", counts)
    (root / "dataset.yaml").write_text(spec)
    return TRUTH


def test_depth_unit_and_names(tmp_path: Path) -> None:
    truth = write_folder(tmp_path)
    training_set = FolderSet(tmp_path, "train")
    assert [training_set.name(i) for i in range(len(training_set))] == ["a", "sub/b"]
    sample = training_set.load(1)
    assert sample.depth is not None
    assert sample.depth_valid is not None
    np.testing.assert_array_equal(sample.depth_valid, np.arange(HEIGHT)[:, None].repeat(WIDTH, 1) > 0)
    np.testing.assert_allclose(sample.depth[1:], truth.depth[1:], atol=5.1e-4)
    assert sample.normals is None
    assert sample.sky is None


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_depth_as_arrays(tmp_path: Path, suffix: str) -> None:
    truth = write_folder(tmp_path, "depth_unit_m: 2", stems=("a",))
    (tmp_path / "depth/a.png").unlink()
    depth = truth.depth.copy()
    depth[0], depth[1] = np.nan, -1
    if suffix == "npy":
        np.save(tmp_path / "depth/a.npy", depth)
    else:
        save_arrays(tmp_path / "depth/a.npz", depth=depth)
    sample = FolderSet(tmp_path, "all").load(0)
    assert sample.depth is not None
    assert sample.depth_valid is not None
    assert not sample.depth_valid[:2].any()
    np.testing.assert_allclose(sample.depth[2:], 2 * truth.depth[2:], rtol=1e-6)


@pytest.mark.parametrize(
    ("convention", "axes"), [("opencv", (1, 1, 1)), ("opengl", (1, -1, -1)), ("lotus", (-1, -1, -1))]
)
@pytest.mark.parametrize("bits", [8, 16])
def test_conventions_of_normals(tmp_path: Path, convention: str, axes: tuple[int, ...], bits: int) -> None:
    truth = write_folder(tmp_path, f"depth_unit_m: 0.001\nnormal_convention: {convention}", stems=("a",))
    known = EVERYWHERE.copy()
    known[:, :3] = False
    write_normals_png(tmp_path / "normals/a.png", truth.normals * axes, known, bits)
    sample = FolderSet(tmp_path, "all").load(0)
    assert sample.normals is not None
    assert sample.normals_valid is not None
    np.testing.assert_array_equal(sample.normals_valid, known)
    assert angle_deg(sample.normals, truth.normals)[known].max() < (0.5 if bits == 8 else 0.002)


def test_normals_are_turned_where_the_camera_is_known(tmp_path: Path) -> None:
    truth = write_folder(tmp_path, "{depth_unit_m: 0.001, fx: 60}", stems=("a",))
    (tmp_path / "normals").mkdir()
    np.save(tmp_path / "normals/a.npy", -3 * truth.normals)
    sample = FolderSet(tmp_path, "all").load(0)
    assert sample.normals is not None
    assert angle_deg(sample.normals, truth.normals).max() < 0.01


def test_normals_from_depth_where_there_is_no_file(tmp_path: Path) -> None:
    truth = write_folder(tmp_path, "{depth_unit_m: 0.001, fx: 60, normals_from_depth: true}", stems=("a",))
    sample = FolderSet(tmp_path, "all").load(0)
    assert sample.normals is not None
    assert sample.normals_valid is not None
    plane = sample.normals_valid & ~truth.sphere
    assert np.median(angle_deg(sample.normals, truth.normals)[plane]) < 0.5
    assert not sample.normals_valid[0].any()


def test_sky_and_mask(tmp_path: Path) -> None:
    truth = write_folder(tmp_path, "{depth_unit_m: 0.001, sky_from_m: 3.5}", stems=("a",))
    mask = np.full((HEIGHT, WIDTH), 255, np.uint8)
    mask[:, :8] = 0
    write_png(tmp_path / "mask/a.png", mask)
    sample = FolderSet(tmp_path, "all").load(0)
    assert sample.sky is not None
    assert sample.depth_valid is not None
    far = np.round(truth.depth, 3) >= 3.5
    np.testing.assert_array_equal(sample.sky[1:, 8:], far[1:, 8:])
    np.testing.assert_array_equal(sample.depth_valid[1:, 8:], ~far[1:, 8:])
    assert not (sample.sky | sample.depth_valid)[:, :8].any()


def test_only_normals(tmp_path: Path) -> None:
    write_folder(tmp_path, stems=("a",))
    (tmp_path / "depth/a.png").unlink()
    (tmp_path / "depth").rmdir()
    with pytest.raises(InputError, match="has no truth"):
        FolderSet(tmp_path, "all")
    (tmp_path / "dataset.yaml").unlink()
    write_normals_png(tmp_path / "normals/a.png", TRUTH.normals, EVERYWHERE)
    sample = FolderSet(tmp_path, "all").load(0)
    assert sample.depth is None
    assert sample.normals is not None


def test_photos_without_normals_are_counted(tmp_path: Path) -> None:
    write_folder(tmp_path)
    assert FolderSet(tmp_path, "all").notes == ()
    write_normals_png(tmp_path / "normals/a.png", TRUTH.normals, EVERYWHERE)
    training_set = FolderSet(tmp_path, "all")
    assert training_set.notes == ("1 of 2 photos have no file in normals",)
    assert training_set.load(1).normals is None


def test_split_files(tmp_path: Path) -> None:
    write_folder(tmp_path)
    with pytest.raises(InputError, match=r"needs .*val\.txt"):
        FolderSet(tmp_path, "val")
    (tmp_path / "val.txt").write_text("sub/b\n")
    (tmp_path / "train.txt").write_text("a\n")
    assert FolderSet(tmp_path, "val").name(0) == "sub/b"
    assert len(FolderSet(tmp_path, "train")) == 1
    assert len(FolderSet(tmp_path, "all")) == 2
    (tmp_path / "val.txt").write_text("sub/c\n")
    with pytest.raises(InputError, match=r"val\.txt names 'sub/c'"):
        FolderSet(tmp_path, "val")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("depth_unit: 1", "did you mean 'depth_unit_m'"),
        ("depth_unit_m: 0", "depth_unit_m 0: must be a number, above 0"),
        ("{depth_unit_m: 1, normal_convention: unity}", "opencv"),
        ("{depth_unit_m: 1, normals_from_depth: true}", "needs the camera"),
        ("", "depth_unit_m"),
    ],
)
def test_wrong_facts(tmp_path: Path, spec: str, message: str) -> None:
    write_folder(tmp_path, spec, stems=("a",))
    with pytest.raises(InputError, match=message) as error:
        FolderSet(tmp_path, "all")
    assert "dataset.yaml" in str(error.value)


def test_broken_samples_are_named(tmp_path: Path) -> None:
    write_folder(tmp_path, stems=tuple("abcde"))
    (tmp_path / "depth/a.png").unlink()
    write_png(tmp_path / "depth/b.png", np.zeros((HEIGHT, WIDTH), np.uint16))
    write_png(tmp_path / "depth/c.png", np.ones((HEIGHT, WIDTH + 1), np.uint16))
    cut(tmp_path / "rgb/d.jpg")
    write_png(tmp_path / "mask/e.png", np.zeros((HEIGHT, WIDTH), np.uint8))
    messages = [
        r"depth/a\.png is missing",
        r"depth/b\.png holds no valid depth",
        r"depth/c\.png has shape",
        r"rgb/d\.jpg",
    ]
    messages.append(r"rgb/e\.jpg holds no valid depth")
    training_set = FolderSet(tmp_path, "all")
    for index, message in enumerate(messages):
        with pytest.raises(InputError, match=message):
            training_set.load(index)
