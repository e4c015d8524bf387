"""Stage ``frames``: a video in; sharp, well spaced photos out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lotus_recon.frames.config import FRAMES_FOLDER, FramesConfig
from lotus_recon.stages import Context, Cost, Needs, StageSpec, options_of
from lotus_recon.workspace import file_fingerprint

if TYPE_CHECKING:
    from lotus_recon.scene_job import SceneJob


def _run(context: Context[SceneJob], out_dir: Path) -> Path:
    from lotus_recon.io.video import extract_frames

    options = context.options(FramesConfig)
    extract_frames(context.job.source, out_dir, options.max_frames, options.frame_motion)
    return out_dir


def _check(job: SceneJob) -> None:
    _ = job.video_info  # raises for one that cannot be used


FRAMES: StageSpec[SceneJob, Path] = StageSpec(
    name="frames",
    summary="of each stretch of camera motion in a video, the sharpest frame",
    run=_run,
    load=lambda folder: folder,
    options=lambda job: options_of(job.config, FramesConfig),
    wanted=lambda job: job.is_video,
    wanted_with="a video",
    inputs=lambda job: {"video": file_fingerprint(job.source)},
    check=_check,
    folder=lambda job: FRAMES_FOLDER,
    needs=Needs(memory_mb=500),
    cost=lambda job: Cost(5.0),
    libraries=("av",),
)
