"""Writes small sets in the layouts in which the published ones are distributed."""

from __future__ import annotations

import pickle
import tarfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lotus_recon.datasets.benchmarks import eth3d

RNG = np.random.default_rng(3)


def png(path: Path, image: NDArray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image if image.ndim == 2 else np.ascontiguousarray(image[..., ::-1]))


def photo(height: int, width: int) -> NDArray[np.uint8]:
    return RNG.integers(0, 255, (height, width, 3), dtype=np.uint8)


def tar_of(folder: Path) -> Path:
    """An archive as Marigold's: member names begin with './'."""
    path = folder.with_suffix(".tar")
    with tarfile.open(path, "w") as archive:
        archive.add(folder, arcname=".")
    return path


def write_nyu(root: Path, depth_mm: NDArray[np.uint16]) -> Path:
    """One photo of 640x480; returns the file list."""
    png(root / "test/kitchen_0004/rgb_0001.png", photo(480, 640))
    for name in ("depth", "filled"):
        png(root / f"test/kitchen_0004/{name}_0001.png", depth_mm)
    names = (f"test/kitchen_0004/{name}_0001.png" for name in ("rgb", "depth", "filled"))
    return _list(root, " ".join(names))


def write_kitti(root: Path, depth: NDArray[np.uint16], rgb: NDArray[np.uint8]) -> Path:
    drive = "2011_09_26/2011_09_26_drive_0002_sync/image_02/data"
    truth = "2011_09_26_drive_0002_sync/proj_depth/groundtruth/image_02"
    png(root / drive / "0000000069.png", rgb)
    png(root / truth / "0000000069.png", depth)
    lines = [f"{drive}/{n}.png {gt} 721.5377" for n, gt in (("0000000069", f"{truth}/0000000069.png"), ("0", "None"))]
    return _list(root, "\n".join(lines))


def write_eth3d(root: Path, value: float) -> Path:
    png(root / "rgb/courtyard/images/dslr_images/DSC_0286.png", photo(30, 40))
    depth = np.full((eth3d.HEIGHT, eth3d.WIDTH), value, np.float32)
    depth[0, 0] = np.inf
    path = root / "depth/courtyard_dslr_depth/courtyard/ground_truth_depth/dslr_images/DSC_0286"
    path.parent.mkdir(parents=True)
    path.write_bytes(depth.tobytes())
    names = ("rgb/courtyard/images/dslr_images/DSC_0286.png", path.relative_to(root).as_posix())
    return _list(root, " ".join(names))


def write_diode(root: Path, depth: NDArray[np.float32], mask: NDArray) -> Path:
    base = "indoors/scene_00019/scan_00183/00019_00183_indoors_000_010"
    png(root / f"{base}.png", photo(*depth.shape))
    np.save(root / f"{base}_depth.npy", depth[..., None])
    np.save(root / f"{base}_depth_mask.npy", mask.astype(np.float64))
    return _list(root, f"{base}.png {base}_depth.npy {base}_depth_mask.npy")


def write_dsine(root: Path, name: str, normals_lub: NDArray[np.float32], suffix: str) -> Path:
    """One photo of a DSINE set; ``normals_lub`` (H, W, 3) x left, y up, z back, zero where unknown."""
    scene = root / name / "scene"
    png(scene / "000000_img.png", photo(*normals_lub.shape[:2]))
    np.save(scene / "000000_intrins.npy", np.eye(3, dtype=np.float32))
    target = scene / f"000000_normal{suffix}"
    if suffix == ".png":
        known = np.linalg.norm(normals_lub, axis=-1, keepdims=True) > 0
        png(target, np.where(known, np.round((normals_lub + 1) * 127.5), 0).astype(np.uint8))
    elif suffix == ".exr":
        import OpenEXR

        header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
        channels = {"RGB": np.ascontiguousarray(normals_lub, np.float32)}
        with OpenEXR.File(header, channels) as file:
            file.write(str(target))
    else:
        region = normals_lub[1:3, 2:5] * np.array([-1, -1, 1], np.float32)  # OASIS: x right, y down, z back
        stored = {"min_y": 1, "max_y": 2, "min_x": 2, "max_x": 4, "normal": region}
        target.write_bytes(pickle.dumps(stored))
    return _list(root, "scene/000000_img.png")


def _list(root: Path, text: str) -> Path:
    path = root.parent / f"{root.name}_files.txt"
    path.write_text(text + "\n")
    return path
