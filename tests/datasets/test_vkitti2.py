"""Virtual KITTI 2 on files of its layout: centimetres, sky, the half pixel of the cameras, cached normals, splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lotus_recon.datasets import vkitti2
from lotus_recon.datasets.reading import SPLITS
from lotus_recon.datasets.vkitti2 import Vkitti2Set, make_cache
from lotus_recon.errors import InputError
from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.geometry.normals import angle_deg
from lotus_recon.types import Camera
from tests.datasets.analytic import Truth, cut, look, write_photo, write_png

WIDTH, HEIGHT = 160, 48
FOCAL = 725.0087 * WIDTH / 1242
CAMERA = Camera(WIDTH, HEIGHT, FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2)


def depth_file(root: Path, variation: str, index: int, camera: int = 0) -> Path:
    return root / variation / f"frames/depth/Camera_{camera}/depth_{index:05d}.png"


def photo(root: Path, variation: str, index: int, camera: int = 0) -> Path:
    return root / variation / f"frames/rgb/Camera_{camera}/rgb_{index:05d}.jpg"


def write_variation(root: Path, variation: str, frames: int = 1, cameras: int = 1) -> Truth:
    """A variation as in the data set: the scene at 8 m and more, a far pixel, sky above, integer pixel centres."""
    truth = look(rays_in_cam(CAMERA), scale=4)
    counts = np.round(truth.depth * 100).astype(np.uint16)
    counts[:4] = 65535
    counts[4, 0] = 8000
    lines = ["frame cameraID K[0,0] K[1,1] K[0,2] K[1,2]"]
    for index in range(frames):
        for camera in range(cameras):
            write_photo(photo(root, variation, index, camera), HEIGHT, WIDTH)
            write_png(depth_file(root, variation, index, camera), counts)
            lines.append(f"{index} {camera} {FOCAL} {FOCAL} {CAMERA.cx - 0.5} {CAMERA.cy - 0.5}")
    (root / variation / "intrinsic.txt").write_text("\n".join(lines) + "\n")
    return truth


def test_depth_sky_and_normals(tmp_path: Path) -> None:
    truth = write_variation(tmp_path, "Scene02/clone")
    sample = Vkitti2Set(tmp_path, "train").load(0)
    assert sample.depth is not None
    assert sample.depth_valid is not None
    assert sample.sky is not None
    assert sample.normals is not None
    assert sample.normals_valid is not None
    assert sample.sky[:4].all()
    assert sample.sky[4, 0], "80 m is sky"
    assert sample.sky.sum() == 4 * WIDTH + 1
    np.testing.assert_array_equal(sample.depth_valid, ~sample.sky)
    np.testing.assert_allclose(sample.depth[5:], truth.depth[5:], atol=0.00501)
    known = sample.normals_valid
    assert not known[sample.sky].any()
    assert known[5:].mean() > 0.95
    plane = known & ~truth.sphere
    error = angle_deg(sample.normals, truth.normals)
    assert np.median(error[plane]) < 1
    assert np.percentile(error[known], 95) < 8, "windows at the rim of the sphere bend"


def test_intrinsics_gain_half_a_pixel(tmp_path: Path) -> None:
    write_variation(tmp_path, "Scene01/fog", frames=2, cameras=2)
    path = tmp_path / "Scene01/fog/intrinsic.txt"
    np.testing.assert_allclose(vkitti2.intrinsics(path, 1, 1), CAMERA.K)
    with pytest.raises(InputError, match=r"intrinsic\.txt says nothing of frame 2, camera 0"):
        vkitti2.intrinsics(path, 2, 0)


def test_splits_by_scene(tmp_path: Path) -> None:
    for variation in ("Scene01/clone", "Scene02/clone", "Scene02/15-deg-left"):
        write_variation(tmp_path, variation, cameras=2)
    names = {split: [s.name(i) for i in range(len(s))] for split in SPLITS for s in [Vkitti2Set(tmp_path, split)]}
    assert names["val"] == ["Scene01/clone/Camera_0/00000", "Scene01/clone/Camera_1/00000"]
    assert names["train"] == [f"Scene02/{v}/Camera_{c}/00000" for v in ("15-deg-left", "clone") for c in (0, 1)]
    assert names["all"] == names["val"] + names["train"]


def test_prepared_normals_are_those_computed_at_reading(tmp_path: Path) -> None:
    write_variation(tmp_path, "Scene02/clone")
    training_set = Vkitti2Set(tmp_path, "all")
    computed = training_set.load(0)
    assert not training_set.is_prepared(0)
    assert "1 of 1" in training_set.notes[0]
    training_set.prepare(0)
    path = tmp_path / "Scene02/clone/frames/normals_v1/Camera_0/normals_00000.png"
    first = path.read_bytes()
    training_set.prepare(0)
    assert path.read_bytes() == first
    assert training_set.notes == ()
    prepared = training_set.load(0)
    assert computed.normals is not None
    assert computed.normals_valid is not None
    assert prepared.normals is not None
    assert prepared.normals_valid is not None
    np.testing.assert_array_equal(computed.normals, prepared.normals)
    np.testing.assert_array_equal(computed.normals_valid, prepared.normals_valid)
    # They are read, not computed again: without the cameras there is nothing to compute from.
    (tmp_path / "Scene02/clone/intrinsic.txt").unlink()
    Vkitti2Set(tmp_path, "all").load(0)
    cut(path)
    with pytest.raises(InputError, match=r"normals_00000\.png"):
        training_set.load(0)


def test_cache_folder_stands_for_the_data_set(tmp_path: Path) -> None:
    root, cache = tmp_path / "data", tmp_path / "cache"
    write_variation(root, "Scene02/clone")
    make_cache(cache, root)
    Vkitti2Set(cache, "all").prepare(0)
    assert (cache / "Scene02/clone/frames/normals_v1/Camera_0/normals_00000.png").is_file()
    assert not (root / "Scene02/clone/frames/normals_v1").exists()
    assert Vkitti2Set(cache, "train").is_prepared(0)
    make_cache(cache, root)
    (tmp_path / "other").mkdir()
    with pytest.raises(InputError, match="choose another folder"):
        make_cache(cache, tmp_path / "other")


def test_broken_frames_are_named(tmp_path: Path) -> None:
    write_variation(tmp_path, "Scene02/clone", frames=5)
    depth_file(tmp_path, "Scene02/clone", 0).unlink()
    photo(tmp_path, "Scene02/clone", 1).unlink()
    cut(depth_file(tmp_path, "Scene02/clone", 2))
    write_png(depth_file(tmp_path, "Scene02/clone", 3), np.full((HEIGHT, WIDTH), 65535, np.uint16))
    write_png(depth_file(tmp_path, "Scene02/clone", 4), np.full((HEIGHT, WIDTH, 3), 100, np.uint8))
    messages = [r"depth_00000\.png is missing", r"rgb_00001\.jpg is missing", r"depth_00002\.png"]
    messages += [
        r"depth_00003\.png holds no valid depth below 80 m",
        r"depth_00004\.png has uint8 pixels; allowed: a 16-bit PNG",
    ]
    training_set = Vkitti2Set(tmp_path, "all")
    for index, message in enumerate(messages):
        with pytest.raises(InputError, match=message):
            training_set.load(index)


def test_frames_of_the_cameras_table_are_not_overlooked(tmp_path: Path) -> None:
    """Photo and depth of the last frame are both gone: only the table knows that there was one."""
    write_variation(tmp_path, "Scene02/clone", frames=3)
    depth_file(tmp_path, "Scene02/clone", 2).unlink()
    photo(tmp_path, "Scene02/clone", 2).unlink()
    training_set = Vkitti2Set(tmp_path, "all")
    assert len(training_set) == 3
    with pytest.raises(InputError, match=r"rgb_00002\.jpg is missing"):
        training_set.load(2)


def test_folders_that_are_not_virtual_kitti(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no scene folder such as Scene01"):
        Vkitti2Set(tmp_path, "all")
    write_variation(tmp_path, "Scene01/clone")
    with pytest.raises(InputError, match="no frame of split 'train' in Scene01"):
        Vkitti2Set(tmp_path, "train")
    (tmp_path / "vkitti2.json").write_text("{}")
    with pytest.raises(InputError, match="does not name the data set"):
        Vkitti2Set(tmp_path, "val")
