"""A video where photos are expected: what comes of it, and its frames in the output folder."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from lotus_recon.errors import InputError
from lotus_recon.frames.config import FRAMES_FOLDER, FramesConfig
from lotus_recon.frames.spec import FRAMES
from lotus_recon.geometry.camera import fit_longer_edge
from lotus_recon.recipes.base import Begin
from lotus_recon.recipes.engine import is_made_from, run_stages
from lotus_recon.recipes.output_folder import claim
from lotus_recon.scene_job import SceneJob, is_video
from lotus_recon.stages import Work, options_of
from lotus_recon.workspace import Workspace

log = logging.getLogger(__name__)


def video_among(arguments: Sequence[str]) -> Path | None:
    """The video of a command line, if it names one. Raises InputError when it comes with photos or other videos."""
    videos = [argument for argument in arguments if is_video(Path(argument))]
    if videos and len(arguments) > 1:
        raise InputError(f"{videos[0]} is a video, which comes alone; give {len(arguments)} commands, or use batch")
    return Path(videos[0]) if videos else None


def foretold_work(video: SceneJob, longest_px: int) -> Work:
    """What the frames of a video will be at most, with a longer edge of ``longest_px`` (0: any); says that it is."""
    found = video.video_info
    photos = min(options_of(video.config, FramesConfig).max_frames, found.frames)
    width, height = fit_longer_edge(found.width, found.height, longest_px)
    log.info("foretold for %d frames of %s; how many are taken is known afterwards", photos, video.source)
    return Work(photos, photos * width * height / 1e6)


def frames_of(video: SceneJob, workspace: Workspace, force: bool, begin: Begin = lambda step: None) -> None:
    """Take the frames of a video into ``video.root``. Raises InputError as ``claim`` does."""
    owner = {FRAMES_FOLDER: str(video.source.resolve())}
    claim(workspace, video.config, owner, force, lambda part: is_made_from(workspace, (FRAMES,), video))
    run_stages(workspace, (FRAMES,), video, begin=begin)
