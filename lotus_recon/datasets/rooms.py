"""Rooms that ``pipelines.make_rooms`` rendered: photos with exact z-depth, normals, cameras, poses and surface.

Layout: one folder per room (lotus_recon/synthetic/rooms/files.py has names, units and encodings); metres, OpenCV axes;
every 20th room is for validation.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from lotus_recon.datasets.posed import Frame
from lotus_recon.datasets.reading import check_split, require_file, require_valid
from lotus_recon.datasets.samples import Sample
from lotus_recon.errors import InputError
from lotus_recon.io import transforms
from lotus_recon.io.images import read_mask, read_png16, read_rgb
from lotus_recon.io.normal_maps import read_normals_png
from lotus_recon.synthetic.rooms.files import SceneFolder, decode_depth, decode_far_depth, finished_scenes, is_far
from lotus_recon.types import BoolArray, Camera, View

log = logging.getLogger(__name__)

VALIDATION_EVERY = 20  # rooms; by number, so that a room stays on its side when others are added


class RoomsSet:
    """The photos of all rooms below ``root`` that belong to ``split``: train, val or all.

    Raises InputError when there is none.
    """

    def __init__(self, root: Path, split: str = "train") -> None:
        check_split(split)
        finished = finished_scenes(root)
        _warn_of_gaps(root, [room.number for room in finished])
        rooms = [room for room in finished if split == "all" or split == split_of(room.number)]
        self._views = [(room, view) for room in rooms for view in room.view_names()]
        if not self._views:
            problem = f"has no rooms for {split!r}" if root.is_dir() else "does not exist"
            rule = f"every {VALIDATION_EVERY}th is for 'val'"
            raise InputError(f"{root} {problem}; generate rooms with python -m pipelines.make_rooms ({rule})")

    def __len__(self) -> int:
        return len(self._views)

    def name(self, index: int) -> str:
        """Room and view, such as ``scene_000012/003``."""
        room, view = self._views[index]
        return f"{room.path.name}/{view}"

    def files(self, index: int) -> tuple[Path, ...]:
        """The files that a sample is read from."""
        room, view = self._views[index]
        sky = (room.sky(view),) if room.sky(view).is_file() else ()
        return room.photo(view), room.depth(view), room.normals(view), *sky

    def load(self, index: int) -> Sample:
        """Photo, depth, sky and normals. Raises InputError naming the file that is broken or holds nothing valid."""
        for path in self.files(index):
            require_file(path)
        room, view = self._views[index]
        rgb = read_rgb(room.photo(view))
        decode = decode_far_depth if is_far(room.metadata) else decode_depth
        depth = decode(read_png16(room.depth(view)))
        normals, normals_valid = read_normals_png(room.normals(view))
        require_valid(depth.valid, room.depth(view), "depth")
        sky = _read_sky(room.sky(view), *depth.shape)
        return Sample(self.name(index), rgb, depth.values, depth.valid, sky, normals, normals_valid)


def _warn_of_gaps(root: Path, numbers: list[int]) -> None:
    """Rooms are numbered from 0; make_rooms makes again what is missing."""
    missing = sorted(set(range(max(numbers, default=0))) - set(numbers))
    if missing:
        named = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
        log.warning("%s lacks %d rooms below number %d: %s", root, len(missing), numbers[-1], named)


def split_of(number: int) -> str:
    """Whether the room ``number`` is for training (``train``) or validation (``val``)."""
    return "val" if number % VALIDATION_EVERY == 0 else "train"


def _read_sky(path: Path, height: int, width: int) -> BoolArray:
    return read_mask(path, width, height) if path.is_file() else np.zeros((height, width), bool)


def frames(scene: Path) -> list[Frame]:
    """The posed photos of one room (metres, OpenCV axes). Raises InputError when the folder is not a room."""
    return [
        Frame(frame.path, View(frame.path.name, _pinhole(frame), frame.cam_from_world))
        for frame in transforms.read_transforms(SceneFolder(scene).transforms)
    ]


def _pinhole(frame: transforms.Frame) -> Camera:
    source = frame.camera(photo_size=(0, 0))  # the file has it
    return Camera(source.width, source.height, *source.params[:4])


def mesh_file(scene: Path) -> Path:
    """The true surface of one room. Raises InputError when the room was generated without one."""
    path = SceneFolder(scene).mesh
    if not path.is_file():
        raise InputError(f"{path} does not exist: the rooms were made with --no-mesh")
    return path
