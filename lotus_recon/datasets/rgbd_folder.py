"""A folder of photos with depth, normals or both.

- ``rgb/NAME.jpg`` (any photo format, also in sub-folders);
- ``depth/NAME.png`` (16 bit) or ``.npy`` or ``.npz`` (array ``depth``): z-depth; 0, negative and NaN are invalid;
- ``normals/NAME.png`` (8 or 16 bit, as in ``io/normal_maps``) or ``.npy`` or ``.npz`` (array ``normals``), optional;
- ``mask/NAME.png``, optional: black pixels are not used;
- ``train.txt`` and ``val.txt``, optional: a NAME per line. Without them everything is for training;
- ``dataset.yaml``: ``FolderSpec``; needed where there is depth.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Interval, Unit
from numpy.typing import NDArray

from lotus_recon.config import load_config
from lotus_recon.datasets.reading import check_folder, check_split, require_file, require_shape, require_valid
from lotus_recon.datasets.samples import Sample
from lotus_recon.errors import InputError
from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.geometry.normals import normalized
from lotus_recon.geometry.plane_normals import plane_normals
from lotus_recon.io.images import Photo, list_photos, read_mask, read_png16, read_rgb
from lotus_recon.io.maps import load_arrays
from lotus_recon.io.normal_maps import read_normals_png
from lotus_recon.io.npz import read_npy
from lotus_recon.limits import FocalPx, Positive
from lotus_recon.options import Options
from lotus_recon.types import BoolArray, Camera, FloatArray

SPEC_FILE = "dataset.yaml"
# OpenCV axes from those of the file; lotus: x left, y up, z to the camera, as the released checkpoints give them.
AXES = {"opencv": (1.0, 1.0, 1.0), "opengl": (1.0, -1.0, -1.0), "lotus": (-1.0, -1.0, -1.0)}
_MAP_SUFFIXES = (".png", ".npy", ".npz")


@dataclass(frozen=True)
class FolderSpec(Options):
    """What ``dataset.yaml`` says."""

    # Metres per count of the depth files, such as 0.001 for millimetres; must be given where there is depth.
    depth_unit_m: Positive | None = None
    # Depth from which on a pixel is sky, in metres; none: there is no sky.
    sky_from_m: Positive | None = None
    # Camera axes of the normals: opencv (x right, y down, z forward), opengl (x right, y up, z back), lotus.
    normal_convention: Literal["opencv", "opengl", "lotus"] = "opencv"
    # Compute normals from depth where there is no file for them; needs the camera.
    normals_from_depth: bool = False
    # Camera of all photos in pixels, first pixel centre at (0.5, 0.5); the principal point is the middle by default.
    fx: FocalPx | None = None
    fy: FocalPx | None = None
    cx: Annotated[float, Interval(), Unit("pixels")] | None = None
    cy: Annotated[float, Interval(), Unit("pixels")] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.normals_from_depth and self.fx is None:
            raise InputError("normals_from_depth needs the camera: fx (and fy, cx, cy where they are not the usual)")

    def camera(self, width: int, height: int) -> Camera:
        """The camera of a photo."""
        assert self.fx is not None  # by __post_init__, where this is used
        fy = self.fx if self.fy is None else self.fy
        cx, cy = (width / 2 if self.cx is None else self.cx), (height / 2 if self.cy is None else self.cy)
        return Camera(width, height, self.fx, fy, cx, cy)


class FolderSet:
    """Photos below ``root``/rgb. Raises InputError when the folder, its spec or its split cannot be used."""

    def __init__(self, root: Path, split: str) -> None:
        check_split(split)
        check_folder(root, "data set")
        self.root = root
        if not any((root / kind).is_dir() for kind in ("depth", "normals")):
            raise InputError(
                f"{root} has no truth: a folder depth or normals (NAME.png, .npy or .npz) is needed beside rgb"
            )
        self.spec = read_spec(root)
        if self._has_depth and self.spec.depth_unit_m is None:
            raise InputError(
                f"{root / SPEC_FILE} must specify the unit of depth, such as 'depth_unit_m: 0.001' for millimetres"
            )
        self._photos = _split(root, list_photos(root / "rgb"), split)

    def __len__(self) -> int:
        return len(self._photos)

    def name(self, index: int) -> str:
        """The photo's path below rgb, without suffix."""
        return self._photos[index].stem

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of this set."""
        if not (self.root / "normals").is_dir():
            return ()
        without = sum(self._map("normals", photo) is None for photo in self._photos)
        return (f"{without} of {len(self)} photos have no file in normals",) if without else ()

    def files(self, index: int) -> tuple[Path, ...]:
        """The files that a sample is read from."""
        photo = self._photos[index]
        optional = (self._map("normals", photo), self._map("mask", photo))
        depth = (self._map("depth", photo) or self.root / "depth" / f"{photo.stem}.png",) if self._has_depth else ()
        return photo.path, *depth, *(path for path in optional if path is not None)

    def load(self, index: int) -> Sample:
        """Photo, z-depth in metres, sky and normals in OpenCV axes."""
        photo = self._photos[index]
        rgb = read_rgb(photo.path)
        height, width = rgb.shape[:2]
        used = self._mask(photo, width, height)
        depth, finite = self._depth(photo, rgb.shape[:2])
        sky = None if depth is None or self.spec.sky_from_m is None else finite & (depth >= self.spec.sky_from_m)
        valid = None if depth is None else finite & used & (True if sky is None else ~sky)
        normals, normals_valid = self._normals(photo, rgb.shape, depth, valid)
        normals_valid = None if normals_valid is None else normals_valid & used
        for mask, what in ((valid, "depth"), (normals_valid, "normals")):
            if mask is not None:
                require_valid(mask, photo.path, what)
        return Sample(photo.stem, rgb, depth, valid, None if sky is None else sky & used, normals, normals_valid)

    @property
    def _has_depth(self) -> bool:
        return (self.root / "depth").is_dir()

    def _map(self, kind: str, photo: Photo) -> Path | None:
        """The file of a photo in the folder ``kind``, or None."""
        paths = (self.root / kind / f"{photo.stem}{suffix}" for suffix in _MAP_SUFFIXES)
        return next((path for path in paths if path.is_file()), None)

    def _mask(self, photo: Photo, width: int, height: int) -> BoolArray:
        path = self._map("mask", photo)
        return np.ones((height, width), bool) if path is None else read_mask(path, width, height)

    def _depth(self, photo: Photo, shape: tuple[int, ...]) -> tuple[NDArray[np.float32] | None, BoolArray]:
        """Depth in metres and where it is positive and finite."""
        if not self._has_depth:
            return None, np.zeros(shape, bool)
        path = self._map("depth", photo)
        if path is None:
            raise InputError(f"{self.root / 'depth' / photo.stem}.png is missing (also as .npy or .npz)")
        counts = read_png16(path) if path.suffix == ".png" else read_array(path, "depth")
        require_shape(counts, shape, path)
        assert self.spec.depth_unit_m is not None  # by __init__
        depth = counts.astype(np.float32) * np.float32(self.spec.depth_unit_m)
        valid = np.isfinite(depth) & (depth > 0)
        require_valid(valid, path, "depth")
        return np.where(valid, depth, 0).astype(np.float32), valid

    def _normals(
        self, photo: Photo, shape: tuple[int, ...], depth: FloatArray | None, valid: BoolArray | None
    ) -> tuple[NDArray[np.float32] | None, BoolArray | None]:
        path = self._map("normals", photo)
        if path is not None:
            return read_normals(path, shape, self.spec)
        if not self.spec.normals_from_depth or depth is None or valid is None:
            return None, None
        return plane_normals(depth, valid, np.linalg.inv(self.spec.camera(shape[1], shape[0]).K))


def read_spec(root: Path) -> FolderSpec:
    """The spec in ``dataset.yaml``, or the defaults without one. Raises InputError when it is invalid."""
    path = root / SPEC_FILE
    if not path.is_file():
        return FolderSpec()
    try:
        return load_config(FolderSpec, path)
    except InputError as error:
        raise error if str(path) in str(error) else InputError(f"{path}: {error}") from None


def read_normals(path: Path, shape: tuple[int, ...], spec: FolderSpec) -> tuple[NDArray[np.float32], BoolArray]:
    """Unit normals (H, W, 3) in OpenCV axes, facing the camera if its intrinsics are given, and their validity.

    Raises InputError naming the file when it is broken, of another size than ``shape``, or all of it is invalid.
    """
    if path.suffix == ".png":
        raw, valid = read_normals_png(path)
    else:
        raw = read_array(path, "normals").astype(np.float32)
        require_shape(raw, shape, path)
        length = np.linalg.norm(raw, axis=-1)
        valid = np.isfinite(length) & (length > 0.5)
    require_shape(raw, shape, path)
    require_valid(valid, path, "normals")
    normals = normalized(np.where(valid[..., None], raw, 0) * AXES[spec.normal_convention])
    if spec.fx is not None:
        rays = rays_in_cam(spec.camera(shape[1], shape[0]))
        normals = np.where((normals * rays).sum(-1, keepdims=True) > 0, -normals, normals)
    return normals.astype(np.float32), valid


def read_array(path: Path, name: str) -> NDArray[Any]:
    """The array (any shape) of an npy file, or the array ``name`` of an npz file. Raises InputError without one."""
    require_file(path)
    if path.suffix == ".npz":
        arrays = load_arrays(path)
        if name not in arrays:
            raise InputError(f"{path} has no array {name!r}; it has {', '.join(sorted(arrays))}")
        return arrays[name]
    with open(path, "rb") as file:
        return read_npy(file, str(path))


def _split(root: Path, photos: list[Photo], split: str) -> list[Photo]:
    """The photos that the split's list names; without lists, all are for training."""
    path = root / f"{split}.txt"
    if split == "all" or (split == "train" and not path.is_file()):
        return photos
    if not path.is_file():
        raise InputError(f"split {split!r} of {root} needs {path}: the name of a photo, without suffix, per line")
    by_stem = {photo.stem: photo for photo in photos}
    try:
        stems = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except ValueError as error:
        raise InputError(f"{path} is no list of photos: {error}") from None
    unknown = [stem for stem in stems if stem not in by_stem]
    if unknown or not stems:
        raise InputError(f"{path} names {unknown[0]!r}, which is not in rgb" if unknown else f"{path} is empty")
    return [by_stem[stem] for stem in stems]
