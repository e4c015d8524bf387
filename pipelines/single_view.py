"""python -m pipelines.single_view PHOTO|FOLDER|PATTERN|VIDEO ... --out DIR --model NAME [--video]"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, ClassVar

import tyro

from lotus_recon.errors import InputError
from lotus_recon.logs import log_file
from lotus_recon.recipes.config import SingleViewConfig
from lotus_recon.recipes.table import SINGLE_VIEW, VIDEO
from pipelines.command_line import (
    DONE,
    FAILED,
    PhotoArguments,
    main,
    on_screen,
    parse,
    preset,
    show_table,
    status_of,
)

if TYPE_CHECKING:
    from lotus_recon.recipes.single_view import Outcome
    from lotus_recon.workspace import Workspace


_STAGES = ", ".join(stage.name for stage in SINGLE_VIEW)


@dataclass(frozen=True)
class Arguments(PhotoArguments):
    """Depth, normals, camera, point cloud and mesh of each photo; or depth of a video, steady over time."""

    COMMON: ClassVar[tuple[str, ...]] = (
        "out", "model", "predictions", "preset", "device", "max-size", "fov-deg", "focal-px", "intrinsics",
        "estimate-camera", "depth-range-ratio", "surface", "edge-jump", "texture", "processing-res",
        "video", "only", "from", "force", "dry-run", "seed", "config", "quiet", "verbose",
    )  # fmt: skip

    photos: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PHOTO")] = ()
    """Photos, folders of photos, or patterns in quotes; or one video."""
    video: bool = False
    """The photos of the folder are the frames of a video."""
    frames_as_photos: bool = False
    """Take the sharp, well spaced frames of a video (--max-frames, --frame-motion) as photos, each by itself."""
    only: Annotated[str | None, tyro.conf.arg(metavar="STAGE", help=f"Run this stage alone: {_STAGES}.")] = None
    from_stage: Annotated[str | None, tyro.conf.arg(name="from", metavar="STAGE")] = None
    """Run this stage and those after it again, even if nothing changed."""
    dry_run: bool = False
    """Print the stages that would run and what they take here; do nothing."""
    options: SingleViewConfig = field(default_factory=SingleViewConfig)


def run(argv: Sequence[str]) -> int:
    """Exit status of the command line ``argv``."""
    base = preset(SingleViewConfig, "single_view", argv)
    arguments = parse(lambda options: Arguments(options=options), base, "single_view", argv)
    from lotus_recon.recipes.engine import check_stage_names
    from lotus_recon.recipes.estimates import lines_of_estimates
    from lotus_recon.recipes.single_view import check_video, estimates_of_video
    from lotus_recon.recipes.videos import frames_of, video_among
    from lotus_recon.workspace import Workspace

    workspace = Workspace(arguments.out)
    with on_screen(arguments.quiet, arguments.verbose):
        video = video_among(arguments.photos)
        if arguments.video or (video is not None and not arguments.frames_as_photos):
            return _video(arguments, workspace)
        check_stage_names(SINGLE_VIEW, arguments.only, arguments.from_stage)
        if video is None:
            return _photos(arguments, workspace, arguments.photos)
        frames = check_video(video, arguments.options, arguments.out)
        if arguments.dry_run:
            if found := estimates_of_video(frames, workspace):
                print("\n".join(lines_of_estimates(found, arguments.out)))
                return DONE
        else:
            with workspace.locked(), log_file(arguments.out):
                frames_of(frames, workspace, arguments.force)
        return _photos(arguments, workspace, (str(frames.root),))


def _video(arguments: Arguments, workspace: Workspace) -> int:
    """Take all frames of a video, or of a folder of frames, through the stages of a video."""
    from lotus_recon.recipes.depth_video import check_job, claim_video, estimates_of, run_job
    from lotus_recon.recipes.engine import check_stage_names
    from lotus_recon.recipes.estimates import lines_of_estimates

    if arguments.video and arguments.frames_as_photos:
        raise InputError("--video and --frames-as-photos exclude each other")
    check_stage_names(VIDEO, arguments.only, arguments.from_stage)
    job = check_job(arguments.photos, arguments.options, arguments.out)
    if arguments.dry_run:
        print("\n".join(lines_of_estimates(estimates_of(job, workspace), arguments.out)))
        return DONE

    def work() -> int:
        done = run_job(job, workspace, arguments.only, arguments.from_stage)
        if done is not None and not arguments.quiet:
            print(f"{done.folder}/depth.mp4: {done.frames} frames, {done.scenes} scene{'s' * (done.scenes > 1)}")
        return DONE

    with workspace.locked(), log_file(arguments.out):
        claim_video(job, workspace, arguments.force)
        return status_of(work)


def _photos(arguments: Arguments, workspace: Workspace, given: Sequence[str]) -> int:
    """Take photos, named as on a command line, through their stages."""
    from lotus_recon.recipes.estimates import lines_of_estimates
    from lotus_recon.recipes.single_view import (
        PhotoSelection,
        check_job,
        check_only_photos,
        claim_photos,
        estimates_of,
        run_job,
    )

    selection = PhotoSelection(arguments.only, arguments.from_stage)
    job = check_job(given, arguments.options, arguments.out)
    check_only_photos(job, workspace, arguments.only)
    if arguments.dry_run:
        print("\n".join(lines_of_estimates(estimates_of(job, workspace, selection), arguments.out)))
        return DONE
    with workspace.locked(), log_file(arguments.out):
        claim_photos(job, workspace, arguments.force)
        return status_of(lambda: _report(run_job(job, workspace, selection), arguments))


def _report(outcomes: Sequence[Outcome], arguments: Arguments) -> int:
    """Say what became of the photos, and where; the table only when something failed or there is more than one."""
    counts = Counter(outcome.status for outcome in outcomes)
    if len(outcomes) > 1 or counts["failed"]:
        rows = [(outcome.photo.name, outcome.status, outcome.detail) for outcome in outcomes]
        show_table(("photo", "status", "detail"), rows, arguments.quiet and not counts["failed"])
    if not arguments.quiet and counts["failed"] < len(outcomes):
        folder = arguments.out / (outcomes[0].photo.stem if len(outcomes) == 1 else "<photo>")
        print(f"{folder}/: " + ", ".join(f"{count} {status}" for status, count in sorted(counts.items())))
        if doubted := [outcome for outcome in outcomes if outcome.doubt.startswith("shape")]:
            print(
                f"{doubted[0].doubt} of {len(doubted)} of {len(outcomes)} photos: the maps do not tell it. Measure in "
                "them with care; --depth-range-ratio and --fov-deg set what you know"
            )
        if (arguments.out / outcomes[0].photo.stem / "view.html").is_file():
            print(f"open in a browser: {folder}/view.html")
    return FAILED if counts["failed"] else DONE


if __name__ == "__main__":
    main(run)
