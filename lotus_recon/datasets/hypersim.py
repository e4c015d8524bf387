"""Hypersim (Roberts et al., ICCV 2021): 74,619 path-traced photos of 461 furnished rooms. CC BY-SA 3.0.

Facts, from the README and issues 9, 26 and 79 of apple/ml-hypersim and its folder contrib/mikeroberts3000:

- ``ai_VVV_NNN/images/scene_cam_XX_final_preview/frame.IIII.tonemap.jpg`` is the photo; without it, the linear
  ``..._final_hdf5/frame.IIII.color.hdf5`` is tone mapped here as the previews are.
- ``..._geometry_hdf5/frame.IIII.depth_meters.hdf5`` holds, as half floats, the DISTANCE to the camera centre in metres;
  ``normal_cam.hdf5`` normals in OpenGL axes (x right, y up, z back), as modelled: they may be zero, not unit, or look
  away from the camera; ``render_entity_id.hdf5`` is -1 where there is nothing. Every file has one array, ``dataset``.
- The camera sees 60 degrees at 1024x768 (focal length 886.81 px), but tilt-shift lenses of some scenes bend that:
  ``metadata_camera_parameters.csv`` has ``M_cam_from_uv`` per scene, from u, v in [-1, 1] (v up) to OpenGL rays.
- ``metadata_images_split_scene_v1.csv`` is the split, by scene.

Both tables belong into the root folder.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lotus_recon.datasets.reading import (
    check_folder,
    check_split,
    h5py,
    read_hdf5,
    read_table,
    require_file,
    require_shape,
    require_valid,
)
from lotus_recon.datasets.samples import Sample
from lotus_recon.errors import InputError
from lotus_recon.geometry.camera import pixel_centers
from lotus_recon.geometry.normals import angle_deg, normalized
from lotus_recon.geometry.plane_normals import plane_normals
from lotus_recon.io.images import read_rgb
from lotus_recon.types import BoolArray, FloatArray

SPLIT_TABLE = "metadata_images_split_scene_v1.csv"
CAMERA_TABLE = "metadata_camera_parameters.csv"
TANGENT = float(np.tan(np.radians(30)))  # of half the horizontal field of view
STANDARD_CAMERA = np.diag([TANGENT, 0.75 * TANGENT, -1.0])  # M_cam_from_uv of most scenes
MAX_CAMERA_DEVIATION_DEG = 1.0  # rays that are off by more make a scene's camera unusual
MAX_NORMAL_CONTRADICTION_DEG = 60.0  # low-poly models with smooth shading stay below
CHECK_STEP_PX = 4  # normals are compared with the depth on a grid; half floats need some distance between pixels

_SCENE = re.compile(r"ai_\d{3}_\d{3}")
_FOLDER = re.compile(r"scene_(cam_\d+)_(?:final_preview|final_hdf5|geometry_hdf5)")
_FILE = re.compile(r"frame\.(\d{4})\.(?:tonemap\.jpg|color\.hdf5|depth_meters\.hdf5|normal_cam\.hdf5)")
_OPENCV_FROM_OPENGL = np.array([1.0, -1.0, -1.0])


@dataclass(frozen=True, order=True)
class Frame:
    """A photo by scene, camera trajectory and number."""

    scene: str
    camera: str
    index: int

    @property
    def name(self) -> str:
        """Unique name, as in the data set's folders."""
        return f"{self.scene}/{self.camera}/frame.{self.index:04d}"


class HypersimSet:
    """Frames of Hypersim as downloaded. Scenes with unusual cameras are left out unless ``unusual_cameras``.

    Raises InputError when ``root`` has no scene, or a split is asked for without its table.
    """

    def __init__(self, root: Path, split: str, unusual_cameras: bool = False) -> None:
        check_split(split)
        check_folder(root, "Hypersim")
        h5py()  # refused here rather than at every sample
        self.root = root
        scenes = sorted(path.name for path in root.iterdir() if _SCENE.fullmatch(path.name) and path.is_dir())
        if not scenes:
            raise InputError(f"{root} is not Hypersim: it holds no scene folder such as ai_001_001")
        self._cameras = read_cameras(root)
        self.left_out = [] if unusual_cameras else [s for s in scenes if is_unusual(self._cameras.get(s))]
        self._scenes = [scene for scene in scenes if scene not in set(self.left_out)]
        self._frames = _frames_of_split(root, split, self._scenes)
        if not self._frames:
            raise InputError(f"{root}: the {len(self._scenes)} scenes in the folder have no frame of split {split!r}")

    def __len__(self) -> int:
        return len(self._frames)

    def name(self, index: int) -> str:
        """``scene/camera/frame.IIII``."""
        return self._frames[index].name

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of this set."""
        notes = []
        if not self._cameras:
            notes.append(
                f"no {CAMERA_TABLE} in {self.root}: tilt-shift cameras cannot be recognised and are treated as standard"
            )
        without = sorted(set(self._scenes) - {frame.scene for frame in self._frames})
        if without:
            notes.append(f"{len(without)} scene folders have no frame of this split: {', '.join(without)}")
        if self.left_out:
            notes.append(f"{len(self.left_out)} scenes with unusual cameras are left out: {', '.join(self.left_out)}")
        return tuple(notes)

    def files(self, index: int) -> tuple[Path, ...]:
        """The files that a sample is read from."""
        frame = self._frames[index]
        return self._photo(frame), self._geometry(frame, "depth_meters"), self._geometry(frame, "normal_cam")

    def load(self, index: int) -> Sample:
        """Photo, z-depth in metres and normals. Pixels without geometry are invalid; nothing is filled in."""
        frame = self._frames[index]
        depth_file, normals_file = self._geometry(frame, "depth_meters"), self._geometry(frame, "normal_cam")
        distance = read_hdf5(depth_file).astype(np.float32)
        rendered = np.isfinite(distance) & (distance > 0) & self._has_geometry(frame, distance.shape)
        require_valid(rendered, depth_file, "depth")
        rgb = self._rgb(frame, rendered)
        require_shape(distance, rgb.shape[:2], depth_file)

        ray_from_pixel = pixel_rays(self._cameras.get(frame.scene, STANDARD_CAMERA), rgb.shape[1], rgb.shape[0])
        rays = _rays(ray_from_pixel.tobytes(), *rgb.shape[:2])
        factor = np.where(rendered, distance, 0) / np.linalg.norm(rays, axis=-1)  # the surface is at factor * ray
        raw = read_hdf5(normals_file).astype(np.float32)
        require_shape(raw, rgb.shape, normals_file)
        normals, normals_valid = camera_normals(raw, rays)
        normals_valid &= rendered & ~contradicted(normals, normals_valid & rendered, factor, ray_from_pixel)
        require_valid(normals_valid, normals_file, "normals that agree with the depth")
        return Sample(
            name=frame.name,
            rgb=rgb,
            depth=(factor * rays[..., 2]).astype(np.float32),
            depth_valid=rendered,
            sky=None,
            normals=np.where(normals_valid[..., None], normals, 0).astype(np.float32),
            normals_valid=normals_valid,
        )

    def _photo(self, frame: Frame) -> Path:
        """The file of the tone-mapped photo, or of the linear one if only that exists."""
        images = self.root / frame.scene / "images"
        preview = images / f"scene_{frame.camera}_final_preview" / f"frame.{frame.index:04d}.tonemap.jpg"
        linear = images / f"scene_{frame.camera}_final_hdf5" / f"frame.{frame.index:04d}.color.hdf5"
        return linear if not preview.is_file() and linear.is_file() else preview

    def _geometry(self, frame: Frame, what: str) -> Path:
        folder = self.root / frame.scene / "images" / f"scene_{frame.camera}_geometry_hdf5"
        return folder / f"frame.{frame.index:04d}.{what}.hdf5"

    def _has_geometry(self, frame: Frame, shape: tuple[int, ...]) -> BoolArray:
        """(H, W) mask of rendered objects; True everywhere when its file was not downloaded."""
        path = self._geometry(frame, "render_entity_id")
        if not path.is_file():
            return np.ones(shape, bool)
        entities = read_hdf5(path)
        require_shape(entities, shape, path)
        return np.asarray(entities != -1)

    def _rgb(self, frame: Frame, rendered: BoolArray) -> NDArray[np.uint8]:
        path = self._photo(frame)
        require_file(path)
        if path.suffix != ".hdf5":
            return read_rgb(path)
        radiance = read_hdf5(path).astype(np.float32)
        require_shape(radiance, (*rendered.shape, 3), path)
        return tone_mapped(radiance, rendered)


def read_cameras(root: Path) -> dict[str, NDArray[np.float64]]:
    """``M_cam_from_uv`` (3, 3) of every scene in the camera table; empty without the table."""
    path = root / CAMERA_TABLE
    if not path.is_file():
        return {}
    columns = [f"M_cam_from_uv_{row}{column}" for row in range(3) for column in range(3)]
    try:
        cameras = {
            row["scene_name"]: np.array([float(row[column]) for column in columns]).reshape(3, 3)
            for row in read_table(path, ["scene_name", *columns])
        }
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: M_cam_from_uv must be numbers: {error}") from None
    if wrong := [scene for scene, camera in cameras.items() if not np.isfinite(camera).all()]:
        raise InputError(f"{path}: M_cam_from_uv of {wrong[0]} is not finite")
    return cameras


def is_unusual(cam_from_uv: FloatArray | None) -> bool:
    """Whether the camera (3, 3) of a scene has a ray more than a degree off that of the standard camera."""
    if cam_from_uv is None:
        return False
    uv = np.array([[u, v, 1.0] for u in (-1, 0, 1) for v in (-1, 0, 1)])
    deviation = angle_deg(normalized(uv @ cam_from_uv.T), normalized(uv @ STANDARD_CAMERA.T))
    return bool(deviation.max() > MAX_CAMERA_DEVIATION_DEG)


def pixel_rays(cam_from_uv: FloatArray, width: int, height: int) -> NDArray[np.float64]:
    """(3, 3) from pixels (x, y, 1), first pixel centre at (0.5, 0.5), to rays in OpenCV axes."""
    uv_from_pixel = np.array([[2 / width, 0, -1], [0, -2 / height, 1], [0, 0, 1]])
    return _OPENCV_FROM_OPENGL[:, None] * cam_from_uv @ uv_from_pixel


@functools.lru_cache(maxsize=4)
def _rays(ray_from_pixel: bytes, height: int, width: int) -> NDArray[np.float64]:
    """(H, W, 3) rays of all pixels; nearly all frames share one camera."""
    xy = pixel_centers(height, width)
    pixels = np.concatenate([xy, np.ones((height, width, 1))], axis=-1)
    rays = pixels @ np.frombuffer(ray_from_pixel).reshape(3, 3).T
    rays.setflags(write=False)
    return rays


def camera_normals(raw: FloatArray, rays: FloatArray) -> tuple[NDArray[np.float64], BoolArray]:
    """Unit normals (H, W, 3) in OpenCV axes, facing the camera, and their validity (H, W), from ``raw`` as stored."""
    finite = np.asarray(np.isfinite(raw).all(axis=-1))
    normals = normalized(np.where(finite[..., None], raw, 0) * _OPENCV_FROM_OPENGL)
    facing = (normals * rays).sum(-1)
    return np.where(facing[..., None] > 0, -normals, normals), finite & (facing != 0)


def contradicted(
    normals: FloatArray, normals_valid: BoolArray, factor: FloatArray, ray_from_pixel: FloatArray
) -> BoolArray:
    """(H, W) mask of normals that grossly contradict planes fitted to the depth, tested on a grid of pixels.

    ``factor`` (H, W): the distance to the surface along each ray. Pixels at depth discontinuities are not tested.
    """
    step = CHECK_STEP_PX
    grid = slice(step // 2, None, step)
    # Pixel centre g + 0.5 of the grid is step * g + step // 2 + 0.5 in the photo.
    pixel_from_grid = np.array(
        [[step, 0, 0.5 - step / 2 + step // 2], [0, step, 0.5 - step / 2 + step // 2], [0, 0, 1]]
    )
    coarse_valid = normals_valid[grid, grid]
    measured, measurable = plane_normals(factor[grid, grid], coarse_valid, ray_from_pixel @ pixel_from_grid, radius=1)
    wrong = measurable & (angle_deg(measured, normals[grid, grid]) > MAX_NORMAL_CONTRADICTION_DEG)
    rows, columns = (
        np.minimum(np.arange(full) // step, max(coarse - 1, 0))
        for full, coarse in zip(normals_valid.shape, wrong.shape, strict=True)
    )
    return np.asarray(wrong[np.ix_(rows, columns)])


def tone_mapped(radiance: FloatArray, rendered: BoolArray) -> NDArray[np.uint8]:
    """8-bit photo of linear radiance (H, W, 3): the 90th percentile of luma becomes 0.8 after a gamma of 2.2.

    The rule of Hypersim's own previews (scene_generate_images_tonemap.py).
    """
    radiance = np.nan_to_num(np.asarray(radiance, np.float32), posinf=1e6)
    luma = radiance @ np.array([0.3, 0.59, 0.11], np.float32)
    bright = float(np.percentile(luma[rendered], 90)) if rendered.any() else 1.0
    exposed = np.clip(radiance * (0.8**2.2 / max(bright, 1e-4)), 0, 1)
    return np.asarray(np.round(255 * exposed ** (1 / 2.2)), np.uint8)


def _frames_of_split(root: Path, split: str, scenes: list[str]) -> list[Frame]:
    """Frames of the split in scenes that are on disk: by the table of splits if present, else all that are found."""
    table = root / SPLIT_TABLE
    if table.is_file():
        return _frames_of_table(table, split, set(scenes))
    if split != "all":
        raise InputError(f"split {split!r} of Hypersim needs {SPLIT_TABLE} in {root}; or use split 'all'")
    return sorted(frame for scene in scenes for frame in _frames_on_disk(root, scene))


def _frames_of_table(table: Path, split: str, scenes: set[str]) -> list[Frame]:
    columns = ("scene_name", "camera_name", "frame_id", "included_in_public_release", "split_partition_name")
    try:
        return sorted(
            Frame(row["scene_name"], row["camera_name"], int(row["frame_id"]))
            for row in read_table(table, columns)
            if row["scene_name"] in scenes
            and row["included_in_public_release"] == "True"
            and split in (row["split_partition_name"], "all")
        )
    except (TypeError, ValueError) as error:
        raise InputError(f"{table}: frame_id must be whole numbers: {error}") from None


def _frames_on_disk(root: Path, scene: str) -> set[Frame]:
    """Frames with at least one file, so that incompletely extracted ones are found too."""
    images = root / scene / "images"
    folders = [(path, _FOLDER.fullmatch(path.name)) for path in images.iterdir()] if images.is_dir() else []
    return {
        Frame(scene, folder.group(1), int(file.group(1)))
        for path, folder in folders
        if folder
        for file in (_FILE.fullmatch(entry.name) for entry in path.iterdir())
        if file
    }
