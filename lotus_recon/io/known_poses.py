"""Given poses, matched to the photos of a job. They are never changed."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from glob import escape
from pathlib import Path, PurePosixPath

import numpy as np

from lotus_recon.errors import InputError
from lotus_recon.geometry.camera import is_resized
from lotus_recon.io.cameras import PosedPhotos, SourceCamera, is_colmap_model, read_colmap_model
from lotus_recon.io.images import Photo, PhotoInfo, read_info
from lotus_recon.io.transforms import Frame, read_transforms
from lotus_recon.types import SparsePoints

log = logging.getLogger(__name__)

_SHOWN = 5


def read_known_poses(path: Path, photos: Sequence[Photo]) -> PosedPhotos:
    """Cameras and poses of ``photos`` from a COLMAP model (folder, bin or txt), a nerfstudio transforms.json or a
    cameras.json.

    COLMAP names are relative to the image root; the paths of the others are relative to that file, their suffix
    may be missing. Upper and lower case of suffixes need not agree, nor forms of Unicode. A camera of another size than
    its photo is scaled when the ratio of the sides agrees to a pixel. Photos without a pose are left out with a
    warning, poses of photos that lie beside ``photos`` and are not among them (--exclude) without one.

    Raises InputError for anything else that does not fit: poses of photos that do not exist, missing keys, matrices
    that are not rigid, other sizes, photos that EXIF turns where the pose may be of the pixels before that.
    """
    given = _from_colmap(path, photos) if path.is_dir() else _from_transforms(path, photos)
    without = [photo.name for photo in photos if photo.name not in given.cam_from_world]
    if without:
        log.warning(
            "%d of %d photos have no pose in %s: left out (%s)", len(without), len(photos), path, _some(without)
        )
    return _scaled(given, {photo.name: photo for photo in photos}, path)


def _some(names: Sequence[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _refuse_unknown(missing: Sequence[str], total: int, path: Path) -> None:
    if missing:
        raise InputError(
            f"{len(missing)} of {total} poses in {path} name photos that do not exist: {_some(missing)}; "
            "add the photos or take their poses out"
        )


class _Beside:
    """The files in the folder of photos, used or not."""

    def __init__(self, photos: Sequence[Photo]) -> None:
        self.root = photos[0].root.resolve()

    def holds(self, path: Path) -> bool:
        """Whether a file with or without its suffix is there."""
        path = path.resolve()
        return path.is_relative_to(self.root) and (path.is_file() or any(path.parent.glob(f"{escape(path.name)}.*")))


def _from_colmap(path: Path, photos: Sequence[Photo]) -> PosedPhotos:
    folder = next((f for f in (path, path / "sparse" / "0", path / "sparse") if is_colmap_model(f)), path)
    given = read_colmap_model(folder)
    of_name = _lookup((photo.name, photo) for photo in photos)
    found = {name: photo.name for name in given.names if (photo := of_name(name)) is not None}
    beside = _Beside(photos)
    unknown = [name for name in given.names if name not in found and not beside.holds(beside.root / name)]
    _refuse_unknown(unknown, len(given.names), folder)
    return given.select([name for name in given.names if name in found]).renamed(found)


def _lookup(photos: Iterable[tuple[str, Photo]]) -> Callable[[str], Photo | None]:
    """Finds a photo by a name or path, exactly or as ``_spelling`` has it."""
    exact = dict(photos)
    spelt = {_spelling(name): photo for name, photo in exact.items()}
    return lambda name: exact.get(name) or spelt.get(_spelling(name))


def _spelling(name: str) -> str:
    """The same for a.JPG and a.jpg, and for both forms in which Unicode has a letter such as ü (macOS: u and dots)."""
    stem, dot, suffix = unicodedata.normalize("NFC", name).rpartition(".")
    return stem + dot + suffix.lower()


def _from_transforms(path: Path, photos: Sequence[Photo]) -> PosedPhotos:
    cameras, poses = {}, {}
    for photo, frame in sorted(_matched_frames(path, photos), key=lambda pair: pair[0].name):
        # Where no size is given it is that of the photo as tools that ignore EXIF see it.
        cameras[photo.name] = frame.camera(read_info(photo.path).stored_size)
        poses[photo.name] = frame.cam_from_world
    return PosedPhotos(cameras, poses, SparsePoints.empty())


def masks_of_poses(path: Path, photos: Sequence[Photo]) -> dict[str, Path]:
    """The masks that a transforms.json names for ``photos`` (black is not used), by name; none of a COLMAP model.

    Raises InputError as ``read_known_poses`` does, and for a mask that does not exist.
    """
    masks = {}
    for photo, frame in [] if path.is_dir() else _matched_frames(path, photos):
        if frame.mask is not None:
            if not frame.mask.is_file():
                raise InputError(f"{frame.label}: mask_path {frame.mask} does not exist")
            masks[photo.name] = frame.mask
    return masks


def _matched_frames(path: Path, photos: Sequence[Photo]) -> list[tuple[Photo, Frame]]:
    if not path.exists():
        raise InputError(
            f"poses {path} do not exist; allowed: a folder with a COLMAP model, a transforms.json or a cameras.json"
        )
    of_stem = _lookup((str(photo.path.resolve().with_suffix("")) + ".", photo) for photo in photos)
    of_path = _lookup((str(photo.path.resolve()), photo) for photo in photos)
    frames, beside = read_transforms(path), _Beside(photos)
    missing, found = [], {}
    for frame in frames:
        photo = of_path(str(frame.path)) or of_stem(f"{frame.path}.")
        if photo is None:
            if not beside.holds(frame.path):
                missing.append(str(PurePosixPath(frame.path)))
        elif photo.name in found:
            raise InputError(f"{frame.label}: a second pose of photo {photo.name}")
        else:
            found[photo.name] = (photo, frame)
    _refuse_unknown(missing, len(frames), path)
    return list(found.values())


def _scaled(given: PosedPhotos, photos: Mapping[str, Photo], path: Path) -> PosedPhotos:
    """Cameras and observations in pixels of the photos as they are."""
    cameras, factors = {}, []
    for name, camera in given.cameras.items():
        info = read_info(photos[name].path)
        cameras[name] = _fitted(camera, info, f"{path}: camera of {name!r}")
        factors.append((info.width / camera.width, info.height / camera.height))
    by_view = np.array(factors).reshape(-1, 2)
    scaled = replace(given.points, obs_xy=given.points.obs_xy * by_view[given.points.obs_view])
    return PosedPhotos(cameras, given.cam_from_world, scaled)


def _fitted(camera: SourceCamera, info: PhotoInfo, what: str) -> SourceCamera:
    """The camera at the size of the photo, which must be the one it was made for: as wide, as high, and as turned."""
    size = camera.width, camera.height
    says_upright = size == info.size != info.stored_size
    if info.orientation != 1 and is_resized(size, info.stored_size) and not says_upright:
        raise InputError(
            f"{what}: EXIF turns or mirrors the photo (orientation {info.orientation}), and camera and pose may be of "
            "the pixels before or after that: take the tag away if they are of the pixels as stored, as COLMAP makes "
            "them (exiftool -Orientation= PHOTO), or else store the photo upright (mogrify -auto-orient PHOTO)"
        )
    if is_resized(size, info.size):
        return camera.resized(*info.size)
    sizes = f"{what} is for {camera.width}x{camera.height} pixels, the photo has {info.width}x{info.height}"
    if size == info.size[::-1]:
        raise InputError(f"{sizes}: width and height are exchanged; give photos that are turned as the cameras are")
    raise InputError(f"{sizes}: the ratio of the sides must agree, to a pixel")
