"""Hypersim as preprocessed by Marigold (Ke et al., CVPR 2024): photos and z-depth, no normals.

Facts, from script/dataset_preprocess/hypersim of prs-eth/Marigold: ``SPLIT/filename_list_SPLIT.txt`` has a line
``ai_VVV_NNN/rgb_cam_XX_frIIII.png ai_VVV_NNN/depth_plane_cam_XX_frIIII.png`` per frame, relative to SPLIT (train, val
or test). Depth is z-depth in millimetres, 16 bit, 0 where there is nothing. The focal length was taken as 886.81 px for
every scene, so scenes with unusual cameras are left out when the camera table is in the root folder.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lotus_recon.datasets.hypersim import is_unusual, read_cameras
from lotus_recon.datasets.reading import check_split, require_file, require_shape, require_valid
from lotus_recon.datasets.samples import Sample
from lotus_recon.errors import InputError
from lotus_recon.io.images import read_png16, read_rgb

METRES_PER_COUNT = 1e-3


def is_processed(root: Path) -> bool:
    """Whether ``root`` has this layout."""
    return any(root.glob("*/filename_list_*.txt"))


class ProcessedHypersimSet:
    """Frames listed in the files of a split. Raises InputError when the list is missing or broken."""

    def __init__(self, root: Path, split: str) -> None:
        check_split(split)
        splits = [split] if split != "all" else [s for s in ("train", "val", "test") if _list_file(root, s).is_file()]
        unusual = {scene for scene, camera in read_cameras(root).items() if is_unusual(camera)}
        listed = [pair for name in splits for pair in _read_list(_list_file(root, name))]
        self._pairs = [pair for pair in listed if pair[0].parent.name not in unusual]
        self.left_out = sorted({photo.parent.name for photo, _ in listed} & unusual)
        if not self._pairs:
            raise InputError(f"{root} lists no frame of split {split!r}")

    def __len__(self) -> int:
        return len(self._pairs)

    def name(self, index: int) -> str:
        """``scene/rgb_cam_XX_frIIII``."""
        photo, _ = self._pairs[index]
        return f"{photo.parent.name}/{photo.stem}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of this set."""
        notes = ["this layout has no normals"]
        if self.left_out:
            notes.append(f"{len(self.left_out)} scenes with unusual cameras are left out: {', '.join(self.left_out)}")
        return tuple(notes)

    def files(self, index: int) -> tuple[Path, ...]:
        """The files that a sample is read from."""
        return self._pairs[index]

    def load(self, index: int) -> Sample:
        """Photo and z-depth in metres."""
        photo, depth_file = self._pairs[index]
        require_file(photo)
        require_file(depth_file)
        rgb = read_rgb(photo)
        counts = read_png16(depth_file)
        require_shape(counts, rgb.shape[:2], depth_file)
        valid = counts > 0
        require_valid(valid, depth_file, "depth")
        depth = (counts * METRES_PER_COUNT).astype(np.float32)
        return Sample(self.name(index), rgb, depth, valid, None, None, None)


def _list_file(root: Path, split: str) -> Path:
    return root / split / f"filename_list_{split}.txt"


def _read_list(path: Path) -> list[tuple[Path, Path]]:
    require_file(path)
    try:
        pairs = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except ValueError as error:
        raise InputError(f"{path} is no list of photos: {error}") from None
    wrong = [number for number, pair in enumerate(pairs, 1) if len(pair) != 2]
    if wrong:
        raise InputError(f"{path}, line {wrong[0]}: a photo and a depth map are needed")
    return [(path.parent / photo, path.parent / depth) for photo, depth in pairs]
