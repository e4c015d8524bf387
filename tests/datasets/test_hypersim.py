"""Hypersim on files of its layout: distance to depth, axes, masks, cameras, splits, messages about broken files."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.datasets import hypersim
from lotus_recon.datasets.hypersim import HypersimSet, pixel_rays, tone_mapped
from lotus_recon.datasets.hypersim_processed import ProcessedHypersimSet
from lotus_recon.datasets.training_sets import open_training_set
from lotus_recon.errors import InputError
from lotus_recon.geometry.camera import pixel_centers, rays_in_cam
from lotus_recon.geometry.normals import angle_deg
from lotus_recon.types import Camera
from tests.datasets.analytic import Truth, cut, look, write_hdf5, write_photo, write_png, write_table

WIDTH, HEIGHT = 128, 96
# Of ai_042_003, from the table that comes with the data set: a lens that is shifted in both directions.
TILT_SHIFT = np.array(
    [
        [0.5813867895573526, 0.0, 0.0],
        [0.0, 0.44599980827670044, -0.01189332795487541],
        [-0.1337189640239258, 0.03567998386462623, -1.0244455108528754],
    ]
)
OPENGL = np.array([1, -1, -1])


def rays_of(cam_from_uv: NDArray[np.float64]) -> NDArray[np.float64]:
    """Independent of the reader: u to the right and v up, from -1 to 1, then from OpenGL to OpenCV axes."""
    x, y = np.moveaxis(pixel_centers(HEIGHT, WIDTH), -1, 0)
    uv = np.stack([2 * x / WIDTH - 1, 1 - 2 * y / HEIGHT, np.ones_like(x)], axis=-1)
    return (uv @ cam_from_uv.T) * OPENGL


def geometry(root: Path, scene: str, index: int, what: str) -> Path:
    return root / scene / "images/scene_cam_00_geometry_hdf5" / f"frame.{index:04d}.{what}.hdf5"


def photo(root: Path, scene: str, index: int) -> Path:
    return root / scene / "images/scene_cam_00_final_preview" / f"frame.{index:04d}.tonemap.jpg"


def write_frame(root: Path, scene: str, index: int, camera: NDArray[np.float64] = hypersim.STANDARD_CAMERA) -> Truth:
    """One frame as in the data set: half floats, normals of the sphere turned inside out, four lines of nothing."""
    truth = look(rays_of(camera))
    distance, entities = truth.distance.copy(), np.ones((HEIGHT, WIDTH), np.int16)
    distance[:2], entities[2:4] = np.nan, -1
    normals = np.where(truth.sphere[..., None], -truth.normals, truth.normals) * OPENGL
    write_photo(photo(root, scene, index), HEIGHT, WIDTH)
    write_hdf5(geometry(root, scene, index, "depth_meters"), distance.astype(np.float16))
    write_hdf5(geometry(root, scene, index, "normal_cam"), normals.astype(np.float16))
    write_hdf5(geometry(root, scene, index, "render_entity_id"), entities)
    return truth


def write_cameras(root: Path, cameras: dict[str, NDArray[np.float64]]) -> None:
    rows = [
        {"scene_name": scene, **{f"M_cam_from_uv_{i}{j}": camera[i, j] for i in range(3) for j in range(3)}}
        for scene, camera in cameras.items()
    ]
    write_table(root / hypersim.CAMERA_TABLE, rows)


def split_row(scene: str, index: int, split: str, public: bool = True) -> dict[str, object]:
    return {
        "scene_name": scene,
        "camera_name": "cam_00",
        "frame_id": index,
        "included_in_public_release": public,
        "exclude_reason": "" if public else "person",
        "split_partition_name": split if public else "",
    }


def test_distance_becomes_depth_and_normals_are_turned(tmp_path: Path) -> None:
    truth = write_frame(tmp_path, "ai_001_001", 0)
    sample = HypersimSet(tmp_path, "all").load(0)
    assert sample.depth is not None
    assert sample.depth_valid is not None
    assert sample.normals is not None
    assert sample.normals_valid is not None
    valid = sample.depth_valid
    assert not valid[:4].any()
    assert valid[4:].all()
    # Half floats keep 11 bits.
    np.testing.assert_allclose(sample.depth[valid], truth.depth[valid], rtol=2**-11)
    assert (angle_deg(sample.normals, truth.normals)[sample.normals_valid]).max() < 0.1
    assert not sample.normals_valid[:4].any()
    assert sample.normals_valid[4:].mean() > 0.97


def test_standard_camera_is_the_published_one() -> None:
    rays = rays_of(hypersim.STANDARD_CAMERA)
    published = rays_in_cam(Camera(1024, 768, 886.81, 886.81, 512, 384).resized(WIDTH, HEIGHT))
    np.testing.assert_allclose(rays / rays[..., 2:], published, atol=1e-6)
    ray = pixel_rays(hypersim.STANDARD_CAMERA, WIDTH, HEIGHT) @ [0.5, 0.5, 1]
    np.testing.assert_allclose(ray, rays[0, 0], atol=1e-12)


def test_tilt_shift_scene_is_left_out_and_can_be_asked_for(tmp_path: Path) -> None:
    write_frame(tmp_path, "ai_001_001", 0)
    truth = write_frame(tmp_path, "ai_042_003", 0, TILT_SHIFT)
    write_cameras(tmp_path, {"ai_001_001": hypersim.STANDARD_CAMERA, "ai_042_003": TILT_SHIFT})
    usual = HypersimSet(tmp_path, "all")
    assert [usual.name(i) for i in range(len(usual))] == ["ai_001_001/cam_00/frame.0000"]
    assert usual.left_out == ["ai_042_003"]
    assert "ai_042_003" in usual.notes[0]
    every = open_training_set("hypersim_all_cameras", tmp_path, "all")
    sample = every.load(1)
    assert sample.depth is not None
    assert sample.depth_valid is not None
    assert sample.normals is not None
    assert sample.normals_valid is not None
    valid = sample.depth_valid
    np.testing.assert_allclose(sample.depth[valid], truth.depth[valid], rtol=2**-11)
    assert sample.normals_valid[4:].mean() > 0.97, "the planes of the check use the true rays"
    # The standard camera would be wrong by much more.
    wrong = truth.distance / np.linalg.norm(rays_of(hypersim.STANDARD_CAMERA), axis=-1)
    assert np.abs(wrong / truth.depth - 1).max() > 0.03


def test_without_the_camera_table_a_note_says_so(tmp_path: Path) -> None:
    write_frame(tmp_path, "ai_001_001", 0)
    assert hypersim.CAMERA_TABLE in HypersimSet(tmp_path, "all").notes[0]


def test_normals_that_contradict_the_depth_are_masked(tmp_path: Path) -> None:
    truth = write_frame(tmp_path, "ai_001_001", 0)
    path = geometry(tmp_path, "ai_001_001", 0, "normal_cam")
    normals = truth.normals * OPENGL
    wrong = np.s_[60:80, 4:24]  # on the plane; these are at right angles to it
    normals[wrong] = np.cross(truth.normals[wrong], [0, 1, 0]) * OPENGL
    normals[84:, :10], normals[84:, 10:20] = 0, np.nan
    write_hdf5(path, normals.astype(np.float16))
    sample = HypersimSet(tmp_path, "all").load(0)
    assert sample.normals_valid is not None
    assert sample.depth_valid is not None
    known = sample.normals_valid
    assert not known[60:80, 4:24].any()
    assert not known[84:, :20].any()
    known[60:80, 4:24] = known[84:, :20] = True
    assert known[4:].mean() > 0.97
    assert sample.depth_valid[4:].all()


def test_half_floats_do_not_look_like_contradictions() -> None:
    """At the full size neighbours differ by less than what half floats can tell."""
    rays = rays_in_cam(Camera(1024, 768, 886.81, 886.81, 512, 384))
    truth = look(rays, scale=2.5)
    stored = truth.distance.astype(np.float16).astype(np.float64) / np.linalg.norm(rays, axis=-1)
    everywhere = np.ones(stored.shape, bool)
    ray_from_pixel = pixel_rays(hypersim.STANDARD_CAMERA, 1024, 768)
    assert hypersim.contradicted(truth.normals, everywhere, stored, ray_from_pixel).mean() < 0.002


def test_splits_by_the_table(tmp_path: Path) -> None:
    for scene, index in (("ai_001_001", 0), ("ai_001_001", 1), ("ai_001_002", 0)):
        write_frame(tmp_path, scene, index)
    rows = [split_row("ai_001_001", 0, "train"), split_row("ai_001_001", 1, "train", public=False)]
    rows += [split_row("ai_001_002", 0, "val"), split_row("ai_009_009", 0, "train")]
    write_table(tmp_path / hypersim.SPLIT_TABLE, rows)
    names = {
        split: [s.name(i) for i in range(len(s))]
        for split in ("train", "val", "all")
        for s in [HypersimSet(tmp_path, split)]
    }
    assert names["train"] == ["ai_001_001/cam_00/frame.0000"]
    assert names["val"] == ["ai_001_002/cam_00/frame.0000"]
    assert names["all"] == names["train"] + names["val"]


def test_linear_photo_when_there_is_no_preview(tmp_path: Path) -> None:
    write_frame(tmp_path, "ai_001_001", 0)
    photo(tmp_path, "ai_001_001", 0).unlink()
    radiance = np.random.default_rng(0).uniform(0, 3, (HEIGHT, WIDTH, 3)).astype(np.float16)
    write_hdf5(tmp_path / "ai_001_001/images/scene_cam_00_final_hdf5/frame.0000.color.hdf5", radiance)
    sample = HypersimSet(tmp_path, "all").load(0)
    assert sample.depth_valid is not None
    np.testing.assert_array_equal(sample.rgb, tone_mapped(radiance, sample.depth_valid))


def test_tone_mapping_puts_the_90th_percentile_at_0_8() -> None:
    grey = np.repeat(np.linspace(0, 7, 101, dtype=np.float32)[None, :, None], 3, axis=2)
    mapped = tone_mapped(grey, np.ones((1, 101), bool))
    assert mapped[0, 90, 0] == round(0.8 * 255)
    assert mapped[0, 0, 0] == 0
    assert mapped[0, 45, 0] == round(255 * (0.8**2.2 / 2) ** (1 / 2.2))


def test_broken_frames_are_named(tmp_path: Path) -> None:
    for index in range(6):
        write_frame(tmp_path, "ai_001_001", index)
    files = [geometry(tmp_path, "ai_001_001", i, "depth_meters") for i in range(4)]
    cut(files[0])
    files[1].unlink()
    files[2].write_bytes(b"")
    write_hdf5(files[3], np.full((HEIGHT, WIDTH), np.nan, np.float16))
    write_hdf5(geometry(tmp_path, "ai_001_001", 4, "normal_cam"), np.zeros((HEIGHT, WIDTH, 3), np.float16))
    write_hdf5(geometry(tmp_path, "ai_001_001", 5, "normal_cam"), np.ones((HEIGHT, WIDTH + 1, 3), np.float16))
    messages = [
        "cannot be read as HDF5",
        "is missing",
        "is empty",
        "holds no valid depth",
        "holds no valid normals",
        "shape",
    ]
    training_set = HypersimSet(tmp_path, "all")
    assert len(training_set) == 6
    for index, message in enumerate(messages):
        with pytest.raises(InputError, match=rf"frame\.000{index}\.\w+\.hdf5 .*{message}"):
            training_set.load(index)


def test_truncated_photo_is_named(tmp_path: Path) -> None:
    write_frame(tmp_path, "ai_001_001", 0)
    cut(photo(tmp_path, "ai_001_001", 0))
    with pytest.raises(InputError, match=r"frame\.0000\.tonemap\.jpg"):
        HypersimSet(tmp_path, "all").load(0)


def test_folders_that_are_not_hypersim(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        HypersimSet(tmp_path / "none", "all")
    with pytest.raises(InputError, match="no scene folder such as ai_001_001"):
        HypersimSet(tmp_path, "all")
    write_frame(tmp_path, "ai_001_001", 0)
    with pytest.raises(InputError, match=re.escape(hypersim.SPLIT_TABLE)):
        HypersimSet(tmp_path, "train")
    with pytest.raises(InputError, match="train, val, all"):
        HypersimSet(tmp_path, "test")
    write_table(tmp_path / hypersim.CAMERA_TABLE, [{"scene_name": "ai_001_001"}])
    with pytest.raises(InputError, match="M_cam_from_uv_00"):
        HypersimSet(tmp_path, "all")


def test_without_h5py_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_frame(tmp_path, "ai_001_001", 0)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(InputError, match=r"lotus-recon\[train\]"):
        HypersimSet(tmp_path, "all")


def test_layout_of_marigold(tmp_path: Path) -> None:
    truth = look(rays_of(hypersim.STANDARD_CAMERA))
    for scene in ("ai_001_001", "ai_042_003"):
        write_photo(tmp_path / f"train/{scene}/rgb_cam_00_fr0003.png", HEIGHT, WIDTH)
        counts = (truth.depth * 1000).astype(np.uint16)
        counts[0] = 0
        write_png(tmp_path / f"train/{scene}/depth_plane_cam_00_fr0003.png", counts)
    lines = [f"{s}/rgb_cam_00_fr0003.png {s}/depth_plane_cam_00_fr0003.png" for s in ("ai_001_001", "ai_042_003")]
    (tmp_path / "train/filename_list_train.txt").write_text("\n".join(lines))
    write_cameras(tmp_path, {"ai_042_003": TILT_SHIFT})
    training_set = open_training_set("hypersim", tmp_path, "all")
    assert isinstance(training_set, ProcessedHypersimSet)
    assert len(training_set) == 1
    assert training_set.left_out == ["ai_042_003"]
    sample = training_set.load(0)
    assert sample.name == "ai_001_001/rgb_cam_00_fr0003"
    assert sample.normals is None
    assert sample.depth is not None
    assert sample.depth_valid is not None
    assert not sample.depth_valid[0].any()
    np.testing.assert_allclose(sample.depth[1:], truth.depth[1:], atol=1.1e-3)
    with pytest.raises(InputError, match=r"filename_list_val\.txt is missing"):
        open_training_set("hypersim", tmp_path, "val")
