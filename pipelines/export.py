"""python -m pipelines.export OUT --to TARGET"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from lotus_recon.errors import InputError
from lotus_recon.logs import log_file
from lotus_recon.options import Options
from pipelines.command_line import DONE, main, on_screen, program, status_of
from pipelines.parsing import parse_arguments

if TYPE_CHECKING:
    from lotus_recon.scene_job import SceneJob
    from lotus_recon.workspace import Workspace


@dataclass(frozen=True)
class Arguments(Options):
    """Write a finished scene in the formats of other tools, into its folder export/; docs/exports.md describes them."""

    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")] = tyro.MISSING
    """Output folder of pipelines.multi_view, or of a scene of a batch."""
    to: Annotated[str, tyro.conf.arg(metavar="TARGET[,TARGET]")] = tyro.MISSING
    """Tools to write for. What was exported before is written again beside it."""
    quiet: bool = False
    """Show warnings and errors only."""
    verbose: bool = False
    """Show what every step does."""


def run(argv: Sequence[str]) -> int:
    """Exit status of the command line ``argv``."""
    arguments = parse_arguments(Arguments(), argv, program("export"))
    from lotus_recon.exporting.targets import targets_named
    from lotus_recon.recipes.finished import finished_job
    from lotus_recon.workspace import Workspace

    wanted = targets_named(arguments.to, "--to")
    with on_screen(arguments.quiet, arguments.verbose):
        job = _with_targets(finished_job(arguments.folder), wanted)
        workspace = Workspace(arguments.folder)
        _check(job, workspace)
        with workspace.locked(), log_file(arguments.folder):
            return status_of(lambda: _work(job, workspace, arguments.quiet))


def _with_targets(job: SceneJob, names: Sequence[str]) -> SceneJob:
    """The job that exports to ``names`` and to what it exported to before."""
    from lotus_recon.exporting.targets import TARGETS, targets_named

    before = targets_named(job.config.export.export)
    text = ",".join(name for name in TARGETS if name in (*before, *names))
    return replace(job, config=replace(job.config, export=replace(job.config.export, export=text)))


def _check(job: SceneJob, workspace: Workspace) -> None:
    """Raise InputError for a run that is not finished, or that was made with other options than its config.yaml."""
    from lotus_recon.exporting.spec import EXPORT
    from lotus_recon.recipes.engine import check_only, unfinished
    from lotus_recon.recipes.table import MULTI_VIEW

    missing = unfinished(workspace, MULTI_VIEW, job, EXPORT)
    if missing:
        raise InputError(
            f"{workspace.root} is not finished: run pipelines.multi_view (not yet run: {', '.join(missing)})"
        )
    if job.source.exists():  # photos that are gone cannot have changed
        check_only(workspace, MULTI_VIEW, job, EXPORT.name)


def _work(job: SceneJob, workspace: Workspace, quiet: bool) -> int:
    from lotus_recon.config import save_config
    from lotus_recon.exporting.spec import EXPORT
    from lotus_recon.recipes.multi_view import run_job

    context = run_job(job, workspace, EXPORT.name)
    save_config(job.config, workspace.config_file)
    if not quiet:
        for target in context[EXPORT].report["targets"]:
            print(f"export:   {context.folder(EXPORT) / target}")
    return DONE


if __name__ == "__main__":
    main(run)
