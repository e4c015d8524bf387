"""Options of the photos that are taken from a video. Imports no library."""

from __future__ import annotations

from dataclasses import dataclass

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".m4v", ".mkv", ".avi", ".webm", ".mpg", ".mpeg", ".ts", ".mts"})
FRAMES_FOLDER = "frames"  # in the output folder: the photos taken from a video


@dataclass(frozen=True)
class FramesConfig:
    """Which frames of a video become photos: of each stretch of camera motion, the sharpest."""

    # Photos taken from one video, at most.
    max_frames: int = 80
    # How far the picture moves from one photo to the next, in shares of the picture's longer edge.
    frame_motion: float = 0.08
