"""The project's own sets as benchmarks: a sensor's depth and its normals, and any set that can be trained on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lotus_recon.datasets.benchmarks.registry import KINDS, open_benchmark
from lotus_recon.errors import InputError
from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.io.images import write_png
from lotus_recon.types import Camera
from tests.datasets.benchmarks import layouts

NORMAL = np.array([0.6, 0.0, -0.8])  # of a wall that recedes to the right


def wall_mm(camera: Camera) -> np.ndarray:
    """z-depth in millimetres of the plane through (0, 0, 2) with that normal."""
    return 1000 * (NORMAL @ [0, 0, 2]) / (rays_in_cam(camera) @ NORMAL)


def test_single_images_keep_their_range_and_have_the_normals_of_planes(tmp_path: Path) -> None:
    camera = Camera(96, 72, 120.0, 120.0, 48.0, 36.0)
    depth = wall_mm(camera)
    depth[0, 0], depth[0, 1] = 0, 12_000
    write_png(tmp_path / "wall_depth.png", depth.round().astype(np.uint16))
    write_png(tmp_path / "wall_rgb.png", layouts.photo(72, 96))
    entry = {"rgb": "wall_rgb.png", "depth": "wall_depth.png", "depth_scale": 1000, "K": [120, 120, 47.5, 35.5]}
    (tmp_path / "manifest.json").write_text(json.dumps([entry]))
    benchmark = open_benchmark("single_images", tmp_path)
    truth = benchmark.truth(0)
    assert truth.depth_valid is not None
    assert not truth.depth_valid[0, :2].any()
    assert truth.depth_valid.sum() == 72 * 96 - 2
    assert truth.normals is not None
    assert truth.normals_valid is not None
    angle = np.degrees(np.arccos(np.clip(truth.normals[truth.normals_valid] @ NORMAL, -1, 1)))
    assert np.median(angle) < 0.5  # whole millimetres
    (tmp_path / "names.txt").write_text("wall\n")
    assert len(open_benchmark("single_images", tmp_path, tmp_path / "names.txt")) == 1
    (tmp_path / "names.txt").write_text("other\n")
    with pytest.raises(InputError, match="'other'; it has wall"):
        open_benchmark("single_images", tmp_path, tmp_path / "names.txt")


def test_a_camera_in_doubt_gives_no_normals(tmp_path: Path) -> None:
    write_png(tmp_path / "a_depth.png", np.full((20, 30), 2000, np.uint16))
    write_png(tmp_path / "a_rgb.png", layouts.photo(20, 30))
    entry = {"rgb": "a_rgb.png", "depth": "a_depth.png", "depth_scale": 1000, "K": [30, 30, 15, 10], "K_note": "?"}
    (tmp_path / "manifest.json").write_text(json.dumps([entry]))
    assert open_benchmark("single_images", tmp_path).truth(0).normals is None


def test_hololens_frames_are_a_set(tmp_path: Path) -> None:
    camera = Camera(540, 360, 500.0, 500.0, 270.0, 180.0)
    write_png(tmp_path / "images/00003.png", layouts.photo(360, 540))
    write_png(tmp_path / "depth/00003.png", wall_mm(camera).round().astype(np.uint16))
    K = [[500, 0, 269.5], [0, 500, 179.5], [0, 0, 1]]
    frame = {"file": "images/00003.png", "K": K, "w2c": np.eye(4).tolist()}
    (tmp_path / "cameras.json").write_text(json.dumps({"frames": [frame]}))
    benchmark = open_benchmark("hololens", tmp_path)
    truth = benchmark.truth(0)
    assert (benchmark.name(0), benchmark.photo(0).shape, benchmark.missing()) == ("00003", (360, 540, 3), [])
    assert truth.normals is not None
    assert truth.normals[180, 270] == pytest.approx(NORMAL, abs=0.02)


def test_a_folder_of_photos_says_what_is_missing(tmp_path: Path) -> None:
    for name in "ab":
        write_png(tmp_path / f"rgb/{name}.png", layouts.photo(20, 30))
        write_png(tmp_path / f"depth/{name}.png", np.full((20, 30), 1500, np.uint16))
    (tmp_path / "dataset.yaml").write_text("depth_unit_m: 0.001\n")
    benchmark = open_benchmark("folder", tmp_path, split="all")
    truth = benchmark.truth(1)
    assert truth.depth is not None
    assert truth.depth == pytest.approx(np.full((20, 30), 1.5))
    assert benchmark.missing() == []
    (tmp_path / "depth/b.png").write_bytes(b"")
    assert [Path(path).name for path in benchmark.missing()] == ["b.png"]


def test_an_unknown_kind_gets_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'single_images'"):
        open_benchmark("single_image", tmp_path)
    assert len(set(KINDS)) == len(KINDS)
