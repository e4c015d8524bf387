"""python -m pipelines.multi_view FOLDER --out DIR --model NAME"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from lotus_recon.logs import log_file
from lotus_recon.recipes.config import MultiViewConfig
from pipelines.command_line import DONE, PhotoArguments, main, on_screen, parse, preset, status_of

if TYPE_CHECKING:
    from lotus_recon.recipes.engine import Results, Stage
    from lotus_recon.workspace import Workspace


@dataclass(frozen=True)
class Arguments(PhotoArguments):
    """Camera poses, aligned depth of every photo, and one mesh."""

    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")] = tyro.MISSING
    """Folder of photos of one scene; sub-folders are searched too."""
    only: Annotated[str | None, tyro.conf.arg(metavar="STAGE")] = None
    """Run this alone: sfm, images, prediction, alignment, refinement, integration, consistency, fusion or report."""
    from_stage: Annotated[str | None, tyro.conf.arg(name="from", metavar="STAGE")] = None
    """Run this stage and those after it again, even if nothing changed."""
    options: MultiViewConfig = field(default_factory=MultiViewConfig)


def run(argv: Sequence[str]) -> int:
    """Exit status of the command line ``argv``."""
    base = preset(MultiViewConfig, "multi_view", argv)
    arguments = parse(lambda options: Arguments(options=options), base, "multi_view", argv)
    from lotus_recon.recipes.engine import check_only, check_stage_names
    from lotus_recon.recipes.multi_view import STAGES, check_job, stages
    from lotus_recon.recipes.output_folder import claim
    from lotus_recon.workspace import Workspace

    check_stage_names(STAGES, arguments.only, arguments.from_stage)
    workspace = Workspace(arguments.out)
    with on_screen(arguments.quiet, arguments.verbose):
        job = check_job(arguments.folder, arguments.options, arguments.out, arguments.only)
        with workspace.locked(), log_file(arguments.out):
            claim(workspace, arguments.options, {"scene": str(arguments.folder.resolve())}, arguments.force)
            recipe = stages(job)
            check_only(workspace, recipe, arguments.only)
            return status_of(lambda: _work(workspace, recipe, arguments))


def _work(workspace: Workspace, stages: Sequence[Stage], arguments: Arguments) -> int:
    from lotus_recon.recipes.engine import run_stages

    results = run_stages(workspace, stages, arguments.only, arguments.from_stage)
    if not arguments.quiet:
        _say_where(results, arguments.only)
    return DONE


def _say_where(results: Results, only: str | None) -> None:
    """Name the files a user wants next, of the stages that this run was about."""
    for what, stage, file in (
        ("poses", "sfm", "sparse"),
        ("mesh", "fusion", "mesh.ply"),
        ("mesh", "fusion", "mesh.glb"),
        ("pictures", "report", "pictures"),
        ("report", "report", "index.html"),
    ):
        path = results.folder(stage) / file
        if only in (None, stage) and path.exists():
            print(f"{what + ':':<10}{path}")


if __name__ == "__main__":
    main(run)
