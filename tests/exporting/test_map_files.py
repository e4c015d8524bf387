"""Depth and normals as 16-bit PNG and OpenEXR: what the sidecar says reads the same numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from lotus_recon.errors import InputError
from lotus_recon.exporting.map_files import write_map_files
from lotus_recon.exporting.map_formats import extra_formats
from lotus_recon.types import DepthKind, DepthMap, NormalMap
from pipelines import multi_view, single_view
from tests.recipes.scenes import SceneOnDisk, sphere_depth, write_scene

RNG = np.random.default_rng(3)


def depth_map(kind: DepthKind, low: float, high: float) -> DepthMap:
    values = RNG.uniform(low, high, (20, 30)).astype(np.float32)
    return DepthMap(values, RNG.random((20, 30)) > 0.2, kind)


def read(path: Path) -> Any:
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    assert pixels.dtype == np.uint16
    return pixels


@pytest.mark.parametrize(
    ("kind", "low", "high", "step"),
    [
        (DepthKind.METRIC, 0.5, 20.0, 1e-3),
        (DepthKind.METRIC, 50.0, 900.0, 900 / 65535),
        (DepthKind.SCENE, 1e-4, 3e-4, 3e-4 / 65535),
        (DepthKind.SCENE, 100.0, 4000.0, 4000 / 65535),
        (DepthKind.SCALE_FREE, 1.0, 5.0, 5 / 65535),
        (DepthKind.AFFINE, -3.0, 2.0, 5 / 65534),
        (DepthKind.AFFINE_DISPARITY, 0.0, 1.0, 1 / 65534),
    ],
)
def test_png_depth_reads_back_by_its_sidecar(
    kind: DepthKind, low: float, high: float, step: float, tmp_path: Path
) -> None:
    depth = depth_map(kind, low, high)
    write_map_files(tmp_path, depth, None, "metres", ["png16"])
    said = json.loads((tmp_path / "maps.json").read_text())["depth.png"]
    stored = read(tmp_path / "depth.png")
    assert (said["kind"], said["unit"]) == (kind.value, "metres")
    assert np.array_equal(stored == 0, ~depth.valid)
    values = stored[depth.valid] * said["scale"] + said["offset"]
    assert np.abs(values - depth.values[depth.valid]).max() <= 0.51 * step + 1e-6 * high


def test_metric_png_is_in_millimetres(tmp_path: Path) -> None:
    depth = DepthMap(np.full((2, 2), 1.234, np.float32), np.ones((2, 2), bool), DepthKind.METRIC)
    write_map_files(tmp_path, depth, None, "metres", ["png16"])
    assert (read(tmp_path / "depth.png") == 1234).all()


def test_png_normals_keep_16_bits_and_the_order_of_their_channels(tmp_path: Path) -> None:
    values = RNG.standard_normal((8, 9, 3))
    values /= np.linalg.norm(values, axis=-1, keepdims=True)
    valid = RNG.random((8, 9)) > 0.3
    write_map_files(tmp_path, None, NormalMap(values.astype(np.float32), valid), "metres", ["png16"])
    rgb = read(tmp_path / "normals.png")[..., ::-1].astype(float)
    assert not rgb[~valid].any()
    assert np.abs(2 * rgb[valid] / 65535 - 1 - values[valid]).max() < 2e-5


def test_exr_holds_the_floats_themselves(tmp_path: Path) -> None:
    openexr = pytest.importorskip("OpenEXR")
    depth, valid = depth_map(DepthKind.SCENE, 1.0, 5.0), np.ones((20, 30), bool)
    normals = NormalMap(np.broadcast_to(np.array([0.6, 0.0, -0.8], np.float32), (20, 30, 3)), valid)
    write_map_files(tmp_path, depth, normals, "units of the poses", ["exr"])
    with openexr.File(str(tmp_path / "depth.exr")) as file:
        z = file.channels()["Z"].pixels
    assert z.dtype == np.float32
    assert np.array_equal(z[depth.valid], depth.values[depth.valid])
    assert np.isnan(z[~depth.valid]).all()
    with openexr.File(str(tmp_path / "normals.exr"), separate_channels=True) as file:
        shown = [float(file.channels()[name].pixels[3, 4]) for name in "RGB"]
    assert shown == pytest.approx([0.6, 0.0, -0.8])
    assert set(json.loads((tmp_path / "maps.json").read_text())) == {"depth.exr", "normals.exr"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("png", r"--maps png: 'png' is no format; did you mean 'png16'\?; allowed: npz, png16, exr"),
        (",", r"--maps ',' names no format"),
    ],
)
def test_a_wrong_format_is_refused_before_any_work(text: str, message: str, tmp_path: Path) -> None:
    scene = write_scene(tmp_path, 3)
    with pytest.raises(InputError, match=message):
        multi_view.run(scene.arguments("--maps", text))
    assert not scene.out.exists()
    with pytest.raises(InputError, match=message):
        single_view.run([str(scene.photos), "--out", str(scene.out), "--maps", text])


def test_formats_are_listed_once_and_npz_is_always_there() -> None:
    assert extra_formats("exr, npz,png16,exr") == ("png16", "exr")
    assert extra_formats("npz") == ()


def test_multi_view_writes_the_checked_depth_of_every_photo(tmp_path: Path) -> None:
    scene: SceneOnDisk = write_scene(tmp_path, 4)
    assert multi_view.run(scene.arguments("--maps", "png16")) == 0
    from lotus_recon.io.cameras import read_colmap_scene

    for view in read_colmap_scene(scene.out / "sfm/sparse").views:
        folder = scene.out / "maps" / view.stem
        said = json.loads((folder / "maps.json").read_text())
        assert said["depth.png"]["unit"] == "metres"
        depth = read(folder / "depth.png") * said["depth.png"]["scale"]
        known = depth > 0
        assert known.mean() > 0.2
        assert np.abs(depth - sphere_depth(view.cam_from_world))[known].max() < 1e-3
        assert (folder / "normals.png").is_file()


def test_single_view_writes_them_beside_the_prediction(tmp_path: Path) -> None:
    scene = write_scene(tmp_path, 2)
    stored = ["--model", "precomputed", "--predictions", str(scene.predictions), "--quiet"]
    command = [str(scene.photos), "--out", str(scene.out), *stored]
    assert single_view.run([*command, "--maps", "png16"]) == 0
    said = json.loads((scene.out / "view 0/maps/maps.json").read_text())
    assert said["depth.png"]["kind"] == "METRIC"
    assert said["depth.png"]["scale"] == 1e-3
    before = json.loads((scene.out / "view 0/maps.stage.json").read_text())["run_id"]
    assert single_view.run([*command, "--maps", "png16"]) == 0
    assert json.loads((scene.out / "view 0/maps.stage.json").read_text())["run_id"] == before, "up to date"
    with pytest.raises(InputError, match="--only maps: this run has no such stage; it needs --maps"):
        single_view.run([*command, "--only", "maps"])
