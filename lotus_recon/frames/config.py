"""Options of the photos that are taken from a video."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval

from lotus_recon.limits import Share
from lotus_recon.options import Options

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".m4v", ".mkv", ".avi", ".webm", ".mpg", ".mpeg", ".ts", ".mts"})
FRAMES_FOLDER = "frames"  # in the output folder: the photos taken from a video


@dataclass(frozen=True)
class FramesConfig(Options):
    """Which frames of a video become photos: of each stretch of camera motion, the sharpest."""

    # Most photos that are taken from one video.
    max_frames: Annotated[int, Interval(ge=2, le=100_000)] = 80
    # How far the image moves from one photo to the next, as a share of its longer edge.
    frame_motion: Share = 0.05
