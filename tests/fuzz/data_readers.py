"""Readers of data sets: benchmarks, training sets, ground truth."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz.reader import Reader


def _checked(sample: Any) -> Any:
    """Depth and normals of a sample are finite where they are said to be valid."""
    if sample.depth is not None:
        assert np.isfinite(sample.depth[sample.depth_valid]).all(), "valid depth that is not finite"
    if sample.normals is not None:
        length = np.linalg.norm(sample.normals[sample.normals_valid], axis=-1)
        assert (np.abs(length - 1) < 1e-2).all(), "valid normals that are no unit vectors"
    return sample.name


def _write_folder(folder: Path) -> None:
    from tests.datasets.test_rgbd_folder import HEIGHT, WIDTH, write_folder

    write_folder(folder, "depth_unit_m: 0.001\nfx: 60", ("a",))
    (folder / "normals").mkdir()
    np.save(folder / "normals/a.npy", np.tile(np.array([0, 0, -1], np.float32), (HEIGHT, WIDTH, 1)))
    (folder / "train.txt").write_text("a\n")


def _read_folder(folder: Path) -> Any:
    from lotus_recon.datasets.rgbd_folder import FolderSet
    from lotus_recon.datasets.verification import check_complete

    training_set = FolderSet(folder, "train")
    for path in training_set.files(0):
        check_complete(path)
    return _checked(training_set.load(0))


def _write_hypersim(folder: Path) -> None:
    from lotus_recon.datasets.hypersim import SPLIT_TABLE, STANDARD_CAMERA
    from tests.datasets.analytic import write_table
    from tests.datasets.test_hypersim import split_row, write_cameras, write_frame

    write_frame(folder, "ai_001_001", 0)
    write_cameras(folder, {"ai_001_001": STANDARD_CAMERA})
    write_table(folder / SPLIT_TABLE, [split_row("ai_001_001", 0, "train")])


def _read_hypersim(folder: Path) -> Any:
    from lotus_recon.datasets.hypersim import HypersimSet
    from lotus_recon.datasets.verification import check_complete

    training_set = HypersimSet(folder, "train")
    for path in training_set.files(0):
        check_complete(path)
    return _checked(training_set.load(0))


def _write_processed(folder: Path) -> None:
    from tests.datasets.analytic import write_photo, write_png

    scene = folder / "train/ai_001_001"
    write_photo(scene / "rgb_cam_00_fr0000.png", 18, 24)
    write_png(scene / "depth_plane_cam_00_fr0000.png", np.full((18, 24), 2000, np.uint16))
    names = ("ai_001_001/rgb_cam_00_fr0000.png", "ai_001_001/depth_plane_cam_00_fr0000.png")
    (folder / "train/filename_list_train.txt").write_text(" ".join(names) + "\n")


def _read_processed(folder: Path) -> Any:
    from lotus_recon.datasets.hypersim_processed import ProcessedHypersimSet

    return _checked(ProcessedHypersimSet(folder, "train").load(0))


def _write_vkitti(folder: Path) -> None:
    from tests.datasets.test_vkitti2 import write_variation

    write_variation(folder, "Scene01/clone")


def _read_vkitti(folder: Path) -> Any:
    from lotus_recon.datasets import vkitti2

    vkitti2._read_intrinsics.cache_clear()  # by path, which is the same for every input
    training_set = vkitti2.Vkitti2Set(folder, "all")
    if not training_set.is_prepared(0):
        training_set.prepare(0)
    return _checked(training_set.load(0))


def _write_rooms(folder: Path) -> None:
    from tests.datasets.test_rooms import write_room

    write_room(folder, 1)


def _read_rooms(folder: Path) -> Any:
    from lotus_recon.datasets.rooms import RoomsSet

    return _checked(RoomsSet(folder, "all").load(0))


def _write_rooms_settings(folder: Path) -> None:
    from lotus_recon.synthetic.rooms.config import RoomsConfig
    from lotus_recon.synthetic.rooms.writing import claim

    claim(folder, RoomsConfig(catalog="procedural", renderer="raycast"))


def _read_rooms_settings(folder: Path) -> None:
    from lotus_recon.synthetic.rooms.config import RoomsConfig
    from lotus_recon.synthetic.rooms.writing import claim

    claim(folder, RoomsConfig(catalog="procedural", renderer="raycast"))


def _write_object(folder: Path) -> None:
    from tests.datasets.test_diligent import write_object

    write_object(folder / "pot")


def _read_object(folder: Path) -> Any:
    from lotus_recon.datasets.diligent import read_object

    found = read_object(folder / "pot")
    assert found.K is None or np.isfinite(found.K).all(), "a camera that is not finite"
    return found.name


def _write_seven_scenes(folder: Path) -> None:
    import cv2

    np.savetxt(folder / "camera-intrinsics.txt", np.array([[585.0, 0, 320], [0, 585, 240], [0, 0, 1]]))
    np.savetxt(folder / "frame-000000.pose.txt", np.eye(4))
    cv2.imwrite(str(folder / "frame-000000.depth.png"), np.full((480, 640), 2000, np.uint16))


def _read_seven_scenes(folder: Path) -> Any:
    from lotus_recon.datasets import seven_scenes

    frames = seven_scenes.frames(folder)
    seven_scenes.sensor_depth(folder, "frame-000000")
    return [frame.view for frame in frames]


def _write_dsine(folder: Path, suffix: str, archived: bool = False) -> None:
    from tests.datasets.benchmarks.layouts import tar_of, write_dsine

    normals = np.tile(np.array([0, 0, 1], np.float32), (6, 8, 1))
    name = {".png": "nyuv2", ".exr": "ibims", ".pkl": "oasis"}[suffix]
    root = folder / "dsine_eval"
    write_dsine(root, name, normals, suffix).rename(folder / "files.txt")
    if archived:
        import shutil

        tar_of(root)
        shutil.rmtree(root)


def _read_dsine(folder: Path, suffix: str, archived: bool = False) -> Any:
    from lotus_recon.datasets.benchmarks.dsine import LAYOUTS, DsineSet

    name = {".png": "nyuv2", ".exr": "ibims", ".pkl": "oasis"}[suffix]
    root = folder / ("dsine_eval.tar" if archived else "dsine_eval")
    found = DsineSet(LAYOUTS[name], root, folder / "files.txt")
    if not found.missing():
        found.photo(0)
        truth = found.truth(0)
        assert truth.normals is not None
        assert truth.normals_valid is not None
        assert np.isfinite(truth.normals[truth.normals_valid]).all(), "valid normals that are not finite"
    return found.name(0)


def _write_listed(folder: Path, kind: str) -> None:
    from tests.datasets.benchmarks import layouts

    root = folder / kind
    if kind == "diode":
        listed = layouts.write_diode(root, np.full((6, 8), 2, np.float32), np.ones((6, 8)))
    else:
        listed = layouts.write_nyu(root, np.full((480, 640), 2000, np.uint16))
    listed.rename(folder / "files.txt")


def _read_listed(folder: Path, kind: str) -> Any:
    from lotus_recon.datasets.benchmarks.registry import open_benchmark

    found = open_benchmark({"nyu": "nyuv2"}.get(kind, kind), folder / kind, folder / "files.txt")
    if not found.missing():
        found.photo(0)
        truth = found.truth(0)
        assert truth.depth is not None
        assert truth.depth_valid is not None
        assert np.isfinite(truth.depth[truth.depth_valid]).all(), "valid depth that is not finite"
    return found.name(0)


def _write_mat(folder: Path) -> None:
    from scipy.io import savemat

    seen = np.ones((2, 3, 4), np.uint8)
    savemat(folder / "mask.mat", {"ObsMask": seen, "BB": np.array([[0.0, -1, -1], [2, 1, 1]]), "Res": 1.0})
    savemat(folder / "plane.mat", {"P": np.array([[0.0], [0], [1], [0.5]])})


def _read_mat(folder: Path) -> Any:
    from lotus_recon.evaluation.surface_masks import read_dtu_mask, read_dtu_plane

    volume = read_dtu_mask(folder / "mask.mat")
    return volume.size, read_dtu_plane(folder / "plane.mat").tolist()


def _write_assets(folder: Path) -> None:
    from tests.synthetic.rooms.sweethome3d_archives import write_archives

    write_archives(folder)


def _read_assets(folder: Path) -> Any:
    from lotus_recon.synthetic.rooms.sweethome3d import SweetHome3D, find_archives

    catalog = SweetHome3D(find_archives(folder))
    for furniture in catalog.furniture:
        catalog.model(furniture)
    for texture in catalog.textures:
        catalog.bitmap(texture)
    return len(catalog.furniture)


DATA_READERS: Mapping[str, Reader] = {
    "folder of photos and depth": Reader(_write_folder, _read_folder),
    "Hypersim": Reader(_write_hypersim, _read_hypersim),
    "Hypersim, processed": Reader(_write_processed, _read_processed),
    "Virtual KITTI 2": Reader(_write_vkitti, _read_vkitti),
    "rooms": Reader(_write_rooms, _read_rooms),
    "settings of rooms": Reader(_write_rooms_settings, _read_rooms_settings),
    "DiLiGenT": Reader(_write_object, _read_object),
    "7-Scenes": Reader(_write_seven_scenes, _read_seven_scenes),
    **{
        f"DSINE {suffix}": Reader(partial(_write_dsine, suffix=suffix), partial(_read_dsine, suffix=suffix))
        for suffix in (".png", ".exr", ".pkl")
    },
    "tar": Reader(
        partial(_write_dsine, suffix=".png", archived=True), partial(_read_dsine, suffix=".png", archived=True)
    ),
    **{
        f"benchmark {kind}": Reader(partial(_write_listed, kind=kind), partial(_read_listed, kind=kind))
        for kind in ("nyu", "diode")
    },
    "MATLAB": Reader(_write_mat, _read_mat, "scipy.io"),
    "Sweet Home 3D": Reader(_write_assets, _read_assets),
}
