"""Virtual KITTI 2 (Cabon, Murray, Humenberger, 2020): rendered drives through five scenes. CC BY-NC-SA 3.0.

Facts, from the data set's page:

- ``SceneXX/VARIATION/frames/rgb/Camera_C/rgb_IIIII.jpg``, 1242x375, two cameras; variations of weather (clone,
  fog, ...) and of the camera's direction (15-deg-left, ...);
- ``.../frames/depth/Camera_C/depth_IIIII.png``: z-depth in centimetres, 16 bit, 65535 for the sky;
- ``SceneXX/VARIATION/intrinsic.txt``: ``frame cameraID K[0,0] K[1,1] K[0,2] K[1,2]``. The principal point (620.5, 187)
  counts from the centre of the first pixel; the half pixel is added here.

What is 80 m away or more is sky, and scene 01 is kept for validation: Lotus was trained on the other four
(utils/vkitti_dataset.py of EnVision-Research/Lotus). There are no normals: they are fitted to the depth
(``plane_normals``), once per photo when the set is prepared, else at every reading.
"""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lotus_recon.datasets.reading import check_folder, check_split, require_file, require_shape, require_valid
from lotus_recon.datasets.samples import Sample
from lotus_recon.errors import InputError
from lotus_recon.geometry.plane_normals import plane_normals
from lotus_recon.io.images import read_png16, read_rgb
from lotus_recon.io.normal_maps import decode_normals, encode_normals, read_normals_png, write_normals_png
from lotus_recon.types import BoolArray, FloatArray
from lotus_recon.workspace import make_folder, write_json

METRES_PER_COUNT = 0.01
FAR_M = 80.0  # from here on it is sky
VALIDATION_SCENES = frozenset({"Scene01"})
NORMALS_RADIUS = 3  # centimetres are coarse: 5x5 windows leave 2.5 times the error of 7x7 at 5 m
NORMALS_BITS = 8
NORMALS_FOLDER = "normals_v1"  # another recipe for the normals gets another number
INTRINSICS_FILE = "intrinsic.txt"
POINTER = "vkitti2.json"  # in a cache folder: where the data set is

_SCENE = re.compile(r"Scene\d\d")
_FILE = re.compile(r"(?:rgb_(\d{5})\.jpg|depth_(\d{5})\.png)")
_CAMERAS = ("Camera_0", "Camera_1")


@dataclass(frozen=True, order=True)
class Frame:
    """A photo by variation (``SceneXX/clone``), camera folder and number."""

    variation: str
    camera: str
    index: int

    @property
    def name(self) -> str:
        """Unique name."""
        return f"{self.variation}/{self.camera}/{self.index:05d}"

    def file(self, kind: str, prefix: str, suffix: str) -> Path:
        """Path of one of its files relative to the root."""
        return Path(self.variation, "frames", kind, self.camera, f"{prefix}_{self.index:05d}{suffix}")


class Vkitti2Set:
    """Frames of Virtual KITTI 2. ``root`` is the data set, or a cache folder made by ``make_cache``.

    Raises InputError when ``root`` has no scene of the split.
    """

    def __init__(self, root: Path, split: str) -> None:
        check_split(split)
        check_folder(root, "Virtual KITTI 2")
        self.cache = root
        self.root = _source(root)
        scenes = sorted(path.name for path in self.root.iterdir() if _SCENE.fullmatch(path.name))
        if not scenes:
            raise InputError(f"{self.root} is not Virtual KITTI 2: it holds no scene folder such as Scene01")
        self._scenes = [scene for scene in scenes if split in ("all", _split_of(scene))]
        self._frames = sorted(frame for scene in self._scenes for frame in _frames_on_disk(self.root, scene))
        if not self._frames:
            raise InputError(f"{self.root}: no frame of split {split!r} in {', '.join(scenes)}")

    def __len__(self) -> int:
        return len(self._frames)

    def name(self, index: int) -> str:
        """``SceneXX/VARIATION/Camera_C/IIIII``."""
        return self._frames[index].name

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of this set."""
        missing = sum(not self.is_prepared(index) for index in range(len(self)))
        if not missing:
            return ()
        return (f"normals of {missing} of {len(self)} photos are not prepared: they are computed at every reading",)

    def files(self, index: int) -> tuple[Path, ...]:
        """The files that a sample is read from."""
        frame = self._frames[index]
        photo, depth = (
            self.root / path for path in (frame.file("rgb", "rgb", ".jpg"), frame.file("depth", "depth", ".png"))
        )
        return photo, depth, self.root / frame.variation / INTRINSICS_FILE

    def is_prepared(self, index: int) -> bool:
        """Whether the normals of a photo are on disk."""
        return self._normals_file(index).is_file()

    def prepare(self, index: int) -> None:
        """Compute the normals of a photo and write them. Raises InputError as ``load`` does."""
        write_normals_png(self._normals_file(index), *self._computed_normals(index), NORMALS_BITS)

    def load(self, index: int) -> Sample:
        """Photo, z-depth in metres, sky, and normals of what is nearer than 80 m."""
        photo, depth_file, _ = self.files(index)
        require_file(photo)
        rgb = read_rgb(photo)
        depth = read_depth(depth_file)
        require_shape(depth, rgb.shape[:2], depth_file)
        valid, sky = (depth > 0) & (depth < FAR_M), depth >= FAR_M
        normals, normals_valid = self._normals(index, rgb.shape)
        require_valid(normals_valid & valid, depth_file, "normals")
        return Sample(self.name(index), rgb, depth, valid, sky, normals, normals_valid & valid)

    def _normals(self, index: int, shape: tuple[int, ...]) -> tuple[NDArray[np.float32], BoolArray]:
        if not self.is_prepared(index):
            # Coded and decoded, so that results do not depend on whether the set was prepared.
            return decode_normals(encode_normals(*self._computed_normals(index), NORMALS_BITS))
        path = self._normals_file(index)
        normals, normals_valid = read_normals_png(path)
        require_shape(normals, shape, path)
        return normals, normals_valid

    def _computed_normals(self, index: int) -> tuple[NDArray[np.float32], BoolArray]:
        _, depth_file, intrinsics_file = self.files(index)
        depth = read_depth(depth_file)
        frame = self._frames[index]
        K = intrinsics(intrinsics_file, frame.index, _CAMERAS.index(frame.camera))
        return plane_normals(depth, (depth > 0) & (depth < FAR_M), np.linalg.inv(K), NORMALS_RADIUS)

    def _normals_file(self, index: int) -> Path:
        return self.cache / self._frames[index].file(NORMALS_FOLDER, "normals", ".png")


def make_cache(cache: Path, root: Path) -> None:
    """Make ``cache`` a folder for the normals of the data set ``root`` that can stand for it as a root.

    Raises InputError when it cannot be written or belongs to another data set.
    """
    check_folder(root, "Virtual KITTI 2")
    make_folder(cache)
    if (cache / POINTER).is_file() and _source(cache).resolve() != root.resolve():
        raise InputError(f"{cache} holds the normals of {_source(cache)}; choose another folder for those of {root}")
    write_json(cache / POINTER, {"source": str(root.resolve())})


def read_depth(path: Path) -> NDArray[np.float32]:
    """(H, W) z-depth in metres; 0 is invalid. Raises InputError when the file is broken or all of it is invalid."""
    require_file(path)
    counts = read_png16(path)
    if counts.ndim != 2:
        raise InputError(f"{path} has {counts.shape[2]} channels; allowed: one")
    depth = (counts * METRES_PER_COUNT).astype(np.float32)
    require_valid((depth > 0) & (depth < FAR_M), path, f"depth below {FAR_M:g} m")
    return depth


def intrinsics(path: Path, frame: int, camera: int) -> FloatArray:
    """K (3, 3), first pixel centre at (0.5, 0.5). Raises InputError when the file does not say."""
    table = _read_intrinsics(path)
    if (frame, camera) not in table:
        raise InputError(f"{path} says nothing of frame {frame}, camera {camera}")
    fx, fy, cx, cy = table[frame, camera]
    return np.array([[fx, 0, cx + 0.5], [0, fy, cy + 0.5], [0, 0, 1]])


@functools.lru_cache(maxsize=128)
def _read_intrinsics(path: Path) -> dict[tuple[int, int], tuple[float, ...]]:
    require_file(path)
    try:
        rows = [line.split() for line in path.read_text().splitlines()[1:] if line.strip()]
        return {
            (int(row[0]), int(row[1])): (float(row[2]), float(row[3]), float(row[4]), float(row[5])) for row in rows
        }
    except (OSError, ValueError, IndexError) as error:
        raise InputError(f"{path} must hold frame, camera and four numbers per line: {error}") from None


def _source(root: Path) -> Path:
    """The data set that ``root`` is or, when it is a cache folder, names."""
    pointer = root / POINTER
    if not pointer.is_file():
        return root
    try:
        source = Path(json.loads(pointer.read_text())["source"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{pointer} does not name the data set: {error!r}") from None
    check_folder(source, f"Virtual KITTI 2, named in {pointer}")
    return source


def _split_of(scene: str) -> str:
    return "val" if scene in VALIDATION_SCENES else "train"


def _frames_on_disk(root: Path, scene: str) -> set[Frame]:
    """Frames with a photo, a depth map or a row in the table of cameras, so that none is overlooked."""
    frames = set()
    for variation in (path for path in (root / scene).iterdir() if path.is_dir()):
        for camera in _CAMERAS:
            folders = [variation / "frames" / kind / camera for kind in ("rgb", "depth")]
            if any(folder.is_dir() for folder in folders):
                numbers = _numbers_in(folders) | _numbers_of_table(variation / INTRINSICS_FILE, camera)
                frames |= {Frame(f"{scene}/{variation.name}", camera, number) for number in numbers}
    return frames


def _numbers_in(folders: list[Path]) -> set[int]:
    names = (entry.name for folder in folders if folder.is_dir() for entry in folder.iterdir())
    return {int(match.group(1) or match.group(2)) for match in map(_FILE.fullmatch, names) if match}


def _numbers_of_table(path: Path, camera: str) -> set[int]:
    if not path.is_file():
        return set()
    return {frame for frame, number in _read_intrinsics(path) if number == _CAMERAS.index(camera)}
