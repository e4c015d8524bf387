"""One scene to reconstruct, as all its stages see it: photos or a video, masks, and the options of the pipeline."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lotus_recon.frames.config import FRAMES_FOLDER, VIDEO_SUFFIXES
from lotus_recon.io.images import MASKS_FOLDER, Photo, list_photos
from lotus_recon.io.photo_checks import mask_files
from lotus_recon.io.photo_choice import choice
from lotus_recon.workspace import files_fingerprint

if TYPE_CHECKING:
    from lotus_recon.io.video import VideoInfo


def is_video(path: Path) -> bool:
    """Whether a path is a file with the suffix of a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()


@dataclass(frozen=True)
class SceneJob:
    """A folder of photos, or a video whose frames the first stage writes to ``out``/frames; and the options."""

    source: Path
    out: Path  # the output folder
    config: Any  # MultiViewConfig, or an extension of it; see ``stages.options_of``
    masks_folder: Path | None = None  # None: masks/ in the folder of photos, if it is there
    poses: Path | None = None  # given ones, which may name masks
    include: str | None = None  # patterns of the names of photos, see io/photo_choice.py
    exclude: str | None = None

    @property
    def label(self) -> str:
        """Empty: a run has one scene."""
        return ""

    @property
    def is_video(self) -> bool:
        """Whether the photos are frames of a video."""
        return is_video(self.source)

    @functools.cached_property
    def video_info(self) -> VideoInfo:
        """What the video has: it is read through once. Raises InputError when it cannot be used."""
        from lotus_recon.io.video import check_video  # the library is for videos only

        return check_video(self.source)

    @functools.cached_property
    def video_rate(self) -> Fraction:
        """Frames per second of the video: every frame is decoded once. Raises as ``check_every_frame`` does."""
        from lotus_recon.io.video import check_every_frame

        return check_every_frame(self.source, self.video_info.frames)

    @property
    def root(self) -> Path:
        """The folder of the photos."""
        return self.out / FRAMES_FOLDER if self.is_video else self.source

    @property
    def has_photos(self) -> bool:
        """Whether the photos are there already; frames of a video are once they were extracted."""
        return not self.is_video or self.root.is_dir()

    @functools.cached_property
    def photos(self) -> tuple[Photo, ...]:
        """The photos to use, sorted by name. Raises InputError when there are none, or two differ only in suffix."""
        folder = self._masks_folder
        choose = choice(self.include, self.exclude)
        return tuple(list_photos(self.root, exclude=[folder] if folder else [], choose=choose))

    @functools.cached_property
    def masks(self) -> Mapping[str, Path]:
        """Mask files by name of the photo: of a folder, named with given poses, or transparent photos themselves.

        What is not black and not transparent is used. Raises InputError for those that cannot be used.
        """
        return mask_files(self.photos, self._masks_folder, self._masks_of_poses())

    def _masks_of_poses(self) -> Mapping[str, Path]:
        if self.poses is None:
            return {}
        # Imports pycolmap, which a run tries in a process of its own first.
        from lotus_recon.io.known_poses import masks_of_poses

        return masks_of_poses(self.poses, self.photos)

    @property
    def _masks_folder(self) -> Path | None:
        default = self.root / MASKS_FOLDER
        return self.masks_folder or (default if default.is_dir() else None)

    def photo_files(self) -> dict[str, str]:
        """A fingerprint of the content of all photos."""
        return {"photos": files_fingerprint({photo.name: photo.path for photo in self.photos})}

    def mask_files(self) -> dict[str, str]:
        """A fingerprint of the content of all masks."""
        return {"masks": files_fingerprint(self.masks)}
