"""Given poses, matched to the photos of a job. They are never changed."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from lotus_recon.errors import InputError
from lotus_recon.io.cameras import PosedPhotos, SourceCamera, is_colmap_model, read_colmap_model
from lotus_recon.io.images import Photo, read_info
from lotus_recon.io.transforms import read_transforms
from lotus_recon.types import SparsePoints

log = logging.getLogger(__name__)

_SHOWN = 5


def read_known_poses(path: Path, photos: Sequence[Photo]) -> PosedPhotos:
    """Cameras and poses of ``photos`` from a COLMAP model (folder, bin or txt) or a nerfstudio transforms.json.

    COLMAP names are relative to the image root; the paths of transforms.json are relative to that file, their suffix
    may be missing. A camera of another size than its photo is scaled when the ratio of the sides is exactly the same.
    Photos without a pose are left out with a warning. Raises InputError for anything else that does not fit: poses of
    photos that do not exist, missing keys, matrices that are not rigid, other sizes.
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


def _from_colmap(path: Path, photos: Iterable[Photo]) -> PosedPhotos:
    folder = next((f for f in (path, path / "sparse" / "0", path / "sparse") if is_colmap_model(f)), path)
    given = read_colmap_model(folder)
    known = {photo.name for photo in photos}
    _refuse_unknown([name for name in given.names if name not in known], len(given.names), folder)
    return given


def _from_transforms(path: Path, photos: Sequence[Photo]) -> PosedPhotos:
    if not path.exists():
        raise InputError(f"poses {path} do not exist; allowed: a folder with a COLMAP model, or a transforms.json")
    by_path = {photo.path.resolve(): photo for photo in photos}
    by_stem = {resolved.with_suffix(""): photo for resolved, photo in by_path.items()}
    frames = read_transforms(path)
    missing, found = [], {}
    for frame in frames:
        photo = by_path.get(frame.path) or by_stem.get(frame.path)
        if photo is None:
            missing.append(str(PurePosixPath(frame.path)))
        elif photo.name in found:
            raise InputError(f"{frame.label}: a second pose of photo {photo.name}")
        else:
            found[photo.name] = (frame, photo)
    _refuse_unknown(missing, len(frames), path)
    cameras, poses = {}, {}
    for name, (frame, photo) in sorted(found.items()):
        info = read_info(photo.path)
        cameras[name] = frame.camera((info.width, info.height))
        poses[name] = frame.cam_from_world
    return PosedPhotos(cameras, poses, SparsePoints.empty())


def _scaled(given: PosedPhotos, photos: Mapping[str, Photo], path: Path) -> PosedPhotos:
    """Cameras and observations in pixels of the photos as they are."""
    cameras, factors = {}, []
    for name, camera in given.cameras.items():
        info = read_info(photos[name].path)
        cameras[name] = _fitted(camera, info.width, info.height, f"{path}: camera of {name!r}")
        factors.append((info.width / camera.width, info.height / camera.height))
    by_view = np.array(factors).reshape(-1, 2)
    scaled = replace(given.points, obs_xy=given.points.obs_xy * by_view[given.points.obs_view])
    return PosedPhotos(cameras, given.cam_from_world, scaled)


def _fitted(camera: SourceCamera, width: int, height: int, what: str) -> SourceCamera:
    if camera.width * height == camera.height * width:
        return camera.resized(width, height)
    sizes = f"{what} is for {camera.width}x{camera.height} pixels, the photo has {width}x{height}"
    if (camera.width, camera.height) == (height, width):
        raise InputError(f"{sizes}: the photo is rotated by EXIF, which the camera ignores; store the photos upright")
    raise InputError(f"{sizes}: the ratio of the sides must agree exactly")
