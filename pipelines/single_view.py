"""python -m pipelines.single_view PHOTO|FOLDER|PATTERN ... --out DIR --model NAME"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import tyro

from lotus_recon.logs import log_file
from lotus_recon.recipes.config import SingleViewConfig
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


@dataclass(frozen=True)
class Arguments(PhotoArguments):
    """Depth, normals, camera, point cloud and mesh of each photo."""

    photos: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PHOTO")] = ()
    """Photos, folders of photos, or patterns in quotes."""
    options: SingleViewConfig = field(default_factory=SingleViewConfig)


def run(argv: Sequence[str]) -> int:
    """Exit status of the command line ``argv``."""
    base = preset(SingleViewConfig, "single_view", argv)
    arguments = parse(lambda options: Arguments(options=options), base, "single_view", argv)
    from lotus_recon.recipes.output_folder import claim
    from lotus_recon.recipes.single_view import check_job, run_job
    from lotus_recon.workspace import Workspace

    workspace = Workspace(arguments.out)
    with on_screen(arguments.quiet, arguments.verbose):
        job = check_job(arguments.photos, arguments.options, arguments.out)
        with workspace.locked(), log_file(arguments.out):
            owners = {photo.stem: str(photo.path.resolve()) for photo in job.photos}
            claim(workspace, arguments.options, owners, arguments.force)
            return status_of(lambda: _report(run_job(job, workspace), arguments))


def _report(outcomes: Sequence[Outcome], arguments: Arguments) -> int:
    """Say what became of the photos; the table only when something failed or there is more than one."""
    counts = Counter(outcome.status for outcome in outcomes)
    if len(outcomes) > 1 or counts["failed"]:
        rows = [(outcome.photo.name, outcome.status, outcome.detail) for outcome in outcomes]
        show_table(("photo", "status", "detail"), rows, arguments.quiet and not counts["failed"])
    if not arguments.quiet:
        print(f"{arguments.out}: " + ", ".join(f"{count} {status}" for status, count in sorted(counts.items())))
    return FAILED if counts["failed"] else DONE


if __name__ == "__main__":
    main(run)
