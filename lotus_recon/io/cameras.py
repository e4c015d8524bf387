"""Cameras, poses and sparse points on disk: COLMAP models and our list of cameras before undistortion."""

from __future__ import annotations

import codecs
import functools
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon.colmap import pycolmap
from lotus_recon.errors import InputError
from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.io.colmap_files import check_whole, name_photos_by_line
from lotus_recon.outside import matrix, member, read_json, text, whole
from lotus_recon.types import MAX_SIDE_PX, Camera, FloatArray, Scene, SparsePoints, View, check_camera, check_rigid
from lotus_recon.workspace import write_json

_MAX_DISTORTION = 1e6  # of a single term; terms of high order are large where the field of view is small
_MODEL_FILES = ("cameras", "images", "points3D")

# Models with one focal length, and the model with two that holds them exactly: name, positions of the distortion
# parameters of the first among those of the second, number of distortion parameters of the second.
_TWO_FOCALS: dict[str, tuple[str, tuple[int, ...], int]] = {
    "SIMPLE_PINHOLE": ("PINHOLE", (), 0),
    "SIMPLE_RADIAL": ("OPENCV", (0,), 4),
    "RADIAL": ("OPENCV", (0, 1), 4),
    "SIMPLE_RADIAL_FISHEYE": ("OPENCV_FISHEYE", (0,), 4),
    "RADIAL_FISHEYE": ("OPENCV_FISHEYE", (0, 1), 4),
    "SIMPLE_DIVISION": ("DIVISION", (0,), 1),
    "SIMPLE_FISHEYE": ("FISHEYE", (), 0),
}


@dataclass(frozen=True)
class SourceCamera:
    """The camera of a photo as given (upright, not undistorted): a COLMAP camera model and its parameters in pixels.

    Raises InputError when the model is unknown or has no focal length, or has another number of parameters.
    """

    model: str
    width: int
    height: int
    params: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.model not in pycolmap.CameraModelId.__members__ or self.model in ("INVALID", "EQUIRECTANGULAR"):
            raise InputError(
                f"camera model {self.model!r} is not supported; allowed: PINHOLE, OPENCV, OPENCV_FISHEYE, ..."
            )
        names = _parameter_names(self.model)
        if len(names) != len(self.params):
            raise InputError(
                f"camera model {self.model} takes {', '.join(names)}; {len(self.params)} numbers are given"
            )
        check_camera(self.width, self.height, self.focal_px, tuple(self.params[names.index(c)] for c in ("cx", "cy")))
        terms = [value for name, value in zip(names, self.params, strict=True) if name[0] not in "fc"]
        if not np.isfinite(terms).all() or np.abs(terms).max(initial=0) > _MAX_DISTORTION:
            raise InputError(f"camera {self.model}: distortion {terms}; at most {_MAX_DISTORTION:g} is allowed")

    @classmethod
    def of_pinhole(cls, camera: Camera) -> SourceCamera:
        """The same camera as a source camera without distortion."""
        return cls("PINHOLE", camera.width, camera.height, (camera.fx, camera.fy, camera.cx, camera.cy))

    @classmethod
    def of_colmap(cls, camera: pycolmap.Camera) -> SourceCamera:
        """The same camera as pycolmap holds it."""
        return cls(camera.model_name, camera.width, camera.height, tuple(float(p) for p in camera.params))

    def to_colmap(self, camera_id: int = 0) -> pycolmap.Camera:
        """The same camera for pycolmap."""
        size = {"width": self.width, "height": self.height}
        return pycolmap.Camera(camera_id=camera_id, model=self.model, **size, params=list(self.params))

    @property
    def focal_px(self) -> tuple[float, float]:
        """Horizontal and vertical focal length in pixels."""
        return self.params[0], self.params[0 if _parameter_names(self.model)[0] == "f" else 1]

    @property
    def is_pinhole(self) -> bool:
        """True when there is no distortion at all."""
        flat = self.model in ("SIMPLE_PINHOLE", "PINHOLE")
        radial = self.model in ("SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV")
        return flat or (radial and not any(self.with_two_focals().params[4:]))

    def with_two_focals(self) -> SourceCamera:
        """The same camera, exactly, in a model that has fx and fy apart."""
        if self.model not in _TWO_FOCALS:
            return self
        model, slots, count = _TWO_FOCALS[self.model]
        focal, cx, cy, *distortion = self.params
        extra = [0.0] * count
        for slot, value in zip(slots, distortion, strict=True):
            extra[slot] = value
        return SourceCamera(model, self.width, self.height, (focal, focal, cx, cy, *extra))

    def resized(self, width: int, height: int) -> SourceCamera:
        """The camera of the photo resized to (width, height). Distortion acts on rays: its parameters stay."""
        if (width, height) == (self.width, self.height):
            return self
        camera = self.with_two_focals()
        sx, sy = width / self.width, height / self.height
        fx, fy, cx, cy, *extra = camera.params
        return SourceCamera(camera.model, width, height, (fx * sx, fy * sy, cx * sx, cy * sy, *extra))

    def xy_of(self, camera: Camera) -> NDArray[np.float32]:
        """(H, W, 2) where in this photo each pixel centre of the undistorted ``camera`` lies."""
        rays = rays_in_cam(camera).reshape(-1, 3)
        xy = np.asarray(self.to_colmap().img_from_cam(rays), np.float32)
        return xy.reshape(camera.height, camera.width, 2)

    def pixels_of(self, tangents: FloatArray) -> NDArray[np.float64]:
        """(N, 2) pixels of this photo that see the rays with x/z and y/z ``tangents`` (N, 2). NaN where none does."""
        rays = np.column_stack([tangents, np.ones(len(tangents))])
        return np.asarray(self.to_colmap().img_from_cam(rays), np.float64)

    def rays_of(self, xy: FloatArray) -> NDArray[np.float64]:
        """(N, 3) viewing rays, scaled to z = 1, of pixels (N, 2) of this photo. NaN where the model has none."""
        plane = np.asarray(self.to_colmap().cam_from_img(np.asarray(xy, np.float64)), np.float64)
        return np.column_stack([plane, np.ones(len(plane))])

    def ray_of(self, xy: tuple[float, float]) -> NDArray[np.float64]:
        """(3,) unit viewing ray of one pixel of this photo."""
        ray = self.rays_of(np.array([xy]))[0]
        return np.asarray(ray / np.linalg.norm(ray))


@functools.lru_cache(maxsize=1)
def _parameter_counts() -> dict[int, int]:
    """Number of parameters of each camera model, by the number that binary files give it."""
    models = {name: int(number) for name, number in pycolmap.CameraModelId.__members__.items() if name != "INVALID"}
    return {number: len(_parameter_names(name)) for name, number in models.items()}


def _parameter_names(model: str) -> list[str]:
    camera = pycolmap.Camera.create_from_model_name(1, model, 1.0, 1, 1)
    return [name.strip() for name in camera.params_info.split(",")]


@dataclass(frozen=True, eq=False)
class PosedPhotos:
    """Photos as given (not undistorted) with cameras and poses, sorted by name, and the points they share."""

    cameras: Mapping[str, SourceCamera]  # by name of the photo
    cam_from_world: Mapping[str, NDArray[np.float64]]  # (4, 4), by name of the photo
    points: SparsePoints  # obs_view counts in the order of ``cam_from_world``, obs_xy in pixels of the photo as given

    def __post_init__(self) -> None:
        names = list(self.cam_from_world)
        if names != sorted(names) or set(names) != set(self.cameras):
            raise InputError("posed photos need one camera and one pose each, sorted by name")
        for name, pose in self.cam_from_world.items():
            check_rigid(pose, f"pose of {name!r}")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the photos, sorted."""
        return tuple(self.cam_from_world)

    def renamed(self, names: Mapping[str, str]) -> PosedPhotos:
        """The same photos under new names: ``names[old]``, different for each. Raises KeyError when one is missing."""
        order = sorted(self.names, key=lambda old: names[old])
        new_index = np.argsort([self.names.index(old) for old in order])
        points = replace(self.points, obs_view=new_index[self.points.obs_view])
        cameras = {names[old]: self.cameras[old] for old in order}
        return PosedPhotos(cameras, {names[old]: self.cam_from_world[old] for old in order}, points)

    def select(self, names: Sequence[str]) -> PosedPhotos:
        """Only the photos ``names`` and the observations in them."""
        kept = [name for name in self.names if name in set(names)]
        new_index = np.full(len(self.names), -1)
        new_index[[self.names.index(name) for name in kept]] = np.arange(len(kept))
        old = self.points
        visible = new_index[old.obs_view] >= 0
        points = replace(
            old,
            obs_point=old.obs_point[visible],
            obs_view=new_index[old.obs_view[visible]],
            obs_xy=old.obs_xy[visible],
        )
        return PosedPhotos({n: self.cameras[n] for n in kept}, {n: self.cam_from_world[n] for n in kept}, points)


def is_colmap_model(folder: Path) -> bool:
    """Whether ``folder`` holds the files of a COLMAP model (bin or txt)."""
    return any(all((folder / f"{name}{suffix}").is_file() for name in _MODEL_FILES[:2]) for suffix in (".bin", ".txt"))


def read_colmap_model(folder: Path) -> PosedPhotos:
    """All registered photos of a COLMAP model (bin or txt, any camera model, with or without points).

    Raises InputError when the folder holds no readable model.
    """
    if not is_colmap_model(folder):
        raise InputError(f"{folder} holds no COLMAP model; needed: cameras, images and points3D, all .bin or all .txt")
    if (folder / "cameras.bin").is_file():
        check_whole(folder, _parameter_counts())
    try:
        with _readable_model(folder) as (readable, names):
            posed = posed_photos(pycolmap.Reconstruction(str(readable)))
    except InputError as error:
        raise InputError(f"COLMAP model {folder}: {error}") from None
    except (ValueError, RuntimeError, LookupError, MemoryError, TypeError) as error:  # UnicodeDecodeError: a ValueError
        reason = (str(error) or repr(error)).splitlines()[0]
        raise InputError(f"COLMAP model {folder} cannot be read: {reason}") from None
    if not posed.names:
        raise InputError(f"COLMAP model {folder} has no posed photo")
    return posed.renamed(names) if names else posed


@contextmanager
def _readable_model(folder: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """The folder itself, or a copy as pycolmap can read it, and the names of its photos where the copy has others.

    A model without points gets an empty file of points. The reader of text takes a byte order mark for a number, and
    ends a name at its first space, though COLMAP and others write names with spaces: the copy has no marks, and the
    numbers of the lines instead.
    """
    suffix = ".bin" if (folder / "cameras.bin").is_file() and (folder / "images.bin").is_file() else ".txt"
    names, text = name_photos_by_line((folder / "images.txt").read_text("utf-8-sig")) if suffix == ".txt" else ({}, "")
    marked = [path for path in folder.glob("*.txt") if suffix == ".txt" and _has_mark(path)]
    is_readable = not marked and not any(" " in name for name in names.values())
    if (folder / f"points3D{suffix}").is_file() and is_readable:
        yield folder, {}
        return
    with tempfile.TemporaryDirectory() as temporary:
        for path in folder.glob(f"*{suffix}"):
            shutil.copy(path, temporary)
        for path in marked:
            Path(temporary, path.name).write_bytes(path.read_bytes().removeprefix(codecs.BOM_UTF8))
        points = Path(temporary, f"points3D{suffix}")
        if not points.is_file():
            points.write_bytes(bytes(8) if suffix == ".bin" else b"")
        if names:
            Path(temporary, "images.txt").write_text(text)
        yield Path(temporary), names


def _has_mark(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8


def posed_photos(reconstruction: pycolmap.Reconstruction) -> PosedPhotos:
    """The registered images of a reconstruction, sorted by name, and its points, sorted by id."""
    images = sorted((reconstruction.image(i) for i in reconstruction.reg_image_ids()), key=lambda image: image.name)
    cameras = {image.name: SourceCamera.of_colmap(reconstruction.camera(image.camera_id)) for image in images}
    poses = {image.name: np.vstack([image.cam_from_world().matrix(), [0, 0, 0, 1]]) for image in images}
    return PosedPhotos(cameras, poses, _points_of(reconstruction, images))


def _points_of(reconstruction: pycolmap.Reconstruction, images: Sequence[pycolmap.Image]) -> SparsePoints:
    points = sorted(reconstruction.points3D.items())
    if not points:
        return SparsePoints.empty()
    index_of = {point_id: index for index, (point_id, _) in enumerate(points)}
    named = {feature.point3D_id for image in images for feature in image.get_observation_points2D()}
    if unknown := named - set(index_of):
        raise InputError(f"an image sees point {min(unknown)}, which does not exist")
    rows = [
        (index_of[feature.point3D_id], view, *feature.xy)
        for view, image in enumerate(images)
        for feature in image.get_observation_points2D()
    ]
    observations = np.array(rows, np.float64).reshape(-1, 4)
    # A track may hold two features of one image; one row per point and view is kept, the first.
    _, first = np.unique(observations[:, :2], axis=0, return_index=True)
    observations = observations[first]
    return SparsePoints(
        xyz=np.array([point.xyz for _, point in points], np.float64),
        rgb=np.array([point.color for _, point in points], np.uint8),
        error_px=np.array([point.error for _, point in points], np.float64),
        obs_point=observations[:, 0].astype(np.int64),
        obs_view=observations[:, 1].astype(np.int64),
        obs_xy=observations[:, 2:],
    )


def read_colmap_scene(folder: Path, metric: bool = False) -> Scene:
    """A COLMAP model (bin or txt) of undistorted photos; ``metric`` says that its unit is the metre.

    Views are sorted by name, points by id. Raises InputError when it is missing, or has a camera with distortion.
    """
    photos = read_colmap_model(folder)
    views = []
    for name, pose in photos.cam_from_world.items():
        source = photos.cameras[name].with_two_focals()
        if not source.is_pinhole:
            raise InputError(f"{folder}: the camera of {name!r} is {source.model}; allowed: PINHOLE (undistorted)")
        views.append(View(name, Camera(source.width, source.height, *source.params[:4]), pose))
    return Scene(tuple(views), photos.points, metric)


def write_colmap_scene(scene: Scene, folder: Path) -> None:
    """Write a scene as COLMAP binary model into ``folder`` (made if needed); equal cameras are stored once."""
    reconstruction = pycolmap.Reconstruction()
    cameras = {camera: index for index, camera in enumerate(dict.fromkeys(view.camera for view in scene.views), 1)}
    for camera, camera_id in cameras.items():
        reconstruction.add_camera_with_trivial_rig(SourceCamera.of_pinhole(camera).to_colmap(camera_id))
    points = scene.points
    slot = np.zeros(len(points.obs_view), np.int64)  # index of each observation among those of its image
    for index, view in enumerate(scene.views):
        own = np.flatnonzero(points.obs_view == index)
        slot[own] = np.arange(len(own))
        image = pycolmap.Image(image_id=index + 1, camera_id=cameras[view.camera], name=view.name)
        image.points2D = pycolmap.Point2DList([pycolmap.Point2D(xy) for xy in points.obs_xy[own]])
        reconstruction.add_image_with_trivial_frame(image, rigid3d(view.cam_from_world))
    _add_points(reconstruction, points, slot)
    folder.mkdir(parents=True, exist_ok=True)
    reconstruction.write_binary(str(folder))


def _add_points(reconstruction: pycolmap.Reconstruction, points: SparsePoints, slot: NDArray[np.int64]) -> None:
    order = np.argsort(points.obs_point, kind="stable")
    bounds = np.searchsorted(points.obs_point[order], np.arange(len(points.xyz) + 1))
    for index in range(len(points.xyz)):
        track = pycolmap.Track()
        for row in order[bounds[index] : bounds[index + 1]]:
            track.add_element(int(points.obs_view[row]) + 1, int(slot[row]))
        point_id = reconstruction.add_point3D(points.xyz[index], track, points.rgb[index])
        reconstruction.point3D(point_id).error = float(points.error_px[index])


def rigid3d(cam_from_world: FloatArray) -> pycolmap.Rigid3d:
    """A (4, 4) pose for pycolmap."""
    return pycolmap.Rigid3d(pycolmap.Rotation3d(cam_from_world[:3, :3]), cam_from_world[:3, 3])


def write_source_cameras(cameras: Mapping[str, SourceCamera], path: Path) -> None:
    """Write the cameras of the photos as given, by name, as JSON."""
    write_json(path, {"pixel_convention": "first pixel centre at (0.5, 0.5)", "cameras": dict(sorted(cameras.items()))})


def read_source_cameras(path: Path) -> dict[str, SourceCamera]:
    """The cameras that ``write_source_cameras`` wrote. Raises InputError when the file is missing or broken."""
    cameras = member(read_json(path, "list of cameras"), "cameras", str(path))
    if not isinstance(cameras, dict):
        raise InputError(f"{path} is not a list of cameras: 'cameras' must be an object")
    return {name: source_camera_from_json(values, f"{path}, camera of {name}") for name, values in cameras.items()}


def source_camera_from_json(values: Any, where: str) -> SourceCamera:
    """A camera from its four fields. Raises InputError when one is missing or wrong."""
    width, height = (
        whole(member(values, key, where), f"{where}: {key}", 1, MAX_SIDE_PX) for key in ("width", "height")
    )
    params = member(values, "params", where)
    given = matrix(params, (len(params) if isinstance(params, list) else 1,), f"{where}: params")
    try:
        return SourceCamera(
            text(member(values, "model", where), f"{where}: model"), width, height, tuple(given.tolist())
        )
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
