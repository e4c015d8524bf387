"""Depth sets in the layout of Marigold's downloads: units, crops, the pixels that count, what is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lotus_recon.datasets.benchmarks import kitti
from lotus_recon.datasets.benchmarks.registry import open_benchmark
from lotus_recon.datasets.benchmarks.source import Source
from lotus_recon.errors import InputError
from tests.datasets.benchmarks import layouts


def test_nyu_is_in_millimetres_and_scored_in_the_eigen_window(tmp_path: Path) -> None:
    depth = np.full((480, 640), 2500, np.uint16)
    depth[100, 100], depth[100, 101] = 0, 10_000  # missing, and at the limit
    files = layouts.write_nyu(tmp_path / "nyu", depth)
    for root in (tmp_path / "nyu", layouts.tar_of(tmp_path / "nyu")):
        benchmark = open_benchmark("nyuv2", root, files)
        assert (len(benchmark), benchmark.name(0), benchmark.missing()) == (1, "test/kitchen_0004/rgb_0001", [])
        truth = benchmark.truth(0)
        assert truth.depth is not None
        assert truth.depth_valid is not None
        assert truth.depth[200, 200] == pytest.approx(2.5)
        rows, columns = np.nonzero(truth.depth_valid)
        assert (rows.min(), rows.max(), columns.min(), columns.max()) == (45, 470, 41, 600)
        assert truth.depth_valid.sum() == 426 * 560 - 2
        assert benchmark.photo(0).shape == (480, 640, 3)


def test_kitti_is_cropped_at_the_bottom_before_its_window(tmp_path: Path) -> None:
    rgb = np.zeros((375, 1242, 3), np.uint8)
    rgb[375 - 352, 13] = (1, 2, 3)  # the first pixel of the crop
    depth = np.full((375, 1242), 256 * 20, np.uint16)
    files = layouts.write_kitti(tmp_path / "kitti", depth, rgb)
    benchmark = open_benchmark("kitti", tmp_path / "kitti", files)
    assert len(benchmark) == 1  # the line whose depth is None is left out
    assert benchmark.photo(0).shape == (352, 1216, 3)
    assert benchmark.photo(0)[0, 0].tolist() == [1, 2, 3]
    truth = benchmark.truth(0)
    assert truth.depth is not None
    assert truth.depth_valid is not None
    assert truth.depth.shape == (352, 1216)
    assert truth.depth[0, 0] == 20
    rows, columns = np.nonzero(truth.depth_valid)
    # 0.3324324 * 352 = 117.02, 0.91351351 * 352 = 321.6, 0.0359477 * 1216 = 43.7, 0.96405229 * 1216 = 1172.3
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (117, 320, 43, 1171)
    garg = open_benchmark("kitti_garg", tmp_path / "kitti", files).truth(0).depth_valid
    assert garg is not None
    rows = np.nonzero(garg)[0]
    assert (rows.min(), rows.max()) == (143, 348)  # 143.65, 349.1


def test_kitti_refuses_what_is_smaller_than_its_crop(tmp_path: Path) -> None:
    files = layouts.write_kitti(tmp_path / "kitti", np.ones((300, 1242), np.uint16), layouts.photo(300, 1242))
    with pytest.raises(InputError, match=f"{kitti.CROP_WIDTH}x{kitti.CROP_HEIGHT}"):
        open_benchmark("kitti", tmp_path / "kitti", files).truth(0)


def test_eth3d_reads_raw_floats(tmp_path: Path) -> None:
    files = layouts.write_eth3d(tmp_path / "eth3d", 7.25)
    benchmark = open_benchmark("eth3d", tmp_path / "eth3d", files)
    truth = benchmark.truth(0)
    assert truth.depth is not None
    assert truth.depth_valid is not None
    assert truth.depth[5, 5] == 7.25
    assert not truth.depth_valid[0, 0]
    assert truth.depth_valid.sum() == truth.depth.size - 1
    assert benchmark.spec.alignment_resolution == 1024


def test_diode_is_masked_by_its_file_not_by_its_limits(tmp_path: Path) -> None:
    depth = np.array([[0.1, 5.0, 400.0], [0.0, 2.0, 3.0]], np.float32)
    mask = np.array([[1, 0, 1], [1, 1, 1]])
    files = layouts.write_diode(tmp_path / "diode", depth, mask)
    truth = open_benchmark("diode", layouts.tar_of(tmp_path / "diode"), files).truth(0)
    assert truth.depth_valid is not None
    assert truth.depth_valid.tolist() == [[True, False, True], [False, True, True]]


def test_missing_files_are_named_and_the_list_is_asked_for(tmp_path: Path) -> None:
    files = layouts.write_nyu(tmp_path / "nyu", np.ones((480, 640), np.uint16))
    (tmp_path / "nyu/test/kitchen_0004/depth_0001.png").unlink()
    assert open_benchmark("nyuv2", tmp_path / "nyu", files).missing() == ["test/kitchen_0004/depth_0001.png"]
    with pytest.raises(InputError, match=r"filename_list_test\.txt"):
        open_benchmark("nyuv2", tmp_path / "nyu")
    with pytest.raises(InputError, match="nyuv2"):
        open_benchmark("nyu", tmp_path, files)


def _read_all(archive: Path, files: Path) -> None:
    benchmark = open_benchmark("nyuv2", archive, files)
    benchmark.photo(0)
    benchmark.truth(0)


def test_an_archive_that_is_cut_off_or_compressed_is_refused(tmp_path: Path) -> None:
    files = layouts.write_nyu(tmp_path / "nyu", np.ones((480, 640), np.uint16))
    archive = layouts.tar_of(tmp_path / "nyu")
    content = archive.read_bytes()
    archive.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"cut off|missing|tar"):
        _read_all(archive, files)
    import gzip

    archive.write_bytes(gzip.compress(content))
    with pytest.raises(InputError, match="uncompressed"):
        Source(archive)
    with pytest.raises(InputError, match="does not exist"):
        Source(tmp_path / "nowhere")


def rewritten(files: Path, old: str, new: str) -> Path:
    """The file list with ``new`` for the path ``old`` of every line that has it."""
    path = files.with_name("rewritten.txt")
    path.write_text(files.read_text().replace(old, new))
    return path


def test_absolute_paths_of_a_list_name_files_of_the_set(tmp_path: Path) -> None:
    root = tmp_path / "nyu"
    files = layouts.write_nyu(root, np.full((480, 640), 2500, np.uint16))
    for prefix in (f"{root}/test/", "./test/", "test/../test/"):
        benchmark = open_benchmark("nyuv2", root, rewritten(files, "test/", prefix))
        assert benchmark.name(0) == "test/kitchen_0004/rgb_0001"
        assert benchmark.missing() == []
        assert benchmark.photo(0).shape == (480, 640, 3)
        assert benchmark.truth(0).depth is not None


@pytest.mark.parametrize("elsewhere", ["/elsewhere/", "../nyu2/", "test/../../nyu2/"])
def test_a_list_does_not_lead_out_of_its_set(tmp_path: Path, elsewhere: str) -> None:
    files = layouts.write_nyu(tmp_path / "nyu", np.full((480, 640), 2500, np.uint16))
    with pytest.raises(InputError, match="entry 1.*lies outside the set"):
        open_benchmark("nyuv2", tmp_path / "nyu", rewritten(files, "test/", elsewhere))


def test_two_photos_with_one_name_are_refused(tmp_path: Path) -> None:
    files = layouts.write_nyu(tmp_path / "nyu", np.full((480, 640), 2500, np.uint16))
    line = files.read_text()
    files.write_text(f"{line}\n{line.replace('rgb_0001.png', 'rgb_0001.jpg')}")
    with pytest.raises(InputError, match="have one name"):
        open_benchmark("nyuv2", tmp_path / "nyu", files)
