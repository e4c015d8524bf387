"""The frames of a video, or of a folder of photos that are one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.io.images import read_info, read_rgb
from lotus_recon.io.video import read_frames
from lotus_recon.progress import track
from lotus_recon.scene_job import SceneJob

FOLDER_RATE = Fraction(30)  # frames per second of a folder, which does not tell


@dataclass(frozen=True)
class Footage:
    """What is known of a video before its frames are worked on."""

    names: tuple[str, ...]  # of the frames; where they go
    width: int
    height: int
    rate: Fraction  # frames per second


def footage_of(job: SceneJob) -> Footage:
    """Without a look at every frame of a folder. Raises InputError for a video that cannot be used."""
    if job.is_video:
        info = job.video_info
        names = tuple(f"frame_{number:06d}" for number in range(info.frames))
        return Footage(names, info.width, info.height, job.video_rate)
    return Footage(tuple(photo.stem for photo in job.photos), *read_info(job.photos[0].path).size, FOLDER_RATE)


def check_frames(job: SceneJob) -> None:
    """Look at every frame. Raises InputError for one that is damaged or of another size, a variable rate, one frame."""
    if job.is_video:
        _ = job.video_rate
        return
    sizes = [read_info(photo.path).size for photo in job.photos]
    if len(sizes) < 2:
        raise InputError(f"{job.source} has one photo; depth over time needs 2 or more")
    for photo, size in zip(track(job.photos, "checking frames", len(sizes)), sizes, strict=True):
        if size != sizes[0]:
            raise InputError(
                f"{photo.path} is {size[0]}x{size[1]} pixels and {job.photos[0].path} {sizes[0][0]}x{sizes[0][1]}: "
                "frames of one video have one size"
            )
        read_rgb(photo.path)


def frames_in(job: SceneJob) -> Iterator[NDArray[np.uint8]]:
    """(H, W, 3) RGB of every frame."""
    yield from read_frames(job.source) if job.is_video else (read_rgb(photo.path) for photo in job.photos)
