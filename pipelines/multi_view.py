"""python -m pipelines.multi_view FOLDER --out DIR --model NAME"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import tyro

from lotus_recon.exporting.spec import EXPORT
from lotus_recon.fusion.backends import BACKENDS
from lotus_recon.fusion.cloud_spec import CLOUD
from lotus_recon.logs import log_file
from lotus_recon.meshing.spec import MESH
from lotus_recon.recipes.config import MultiViewConfig
from lotus_recon.recipes.table import MULTI_VIEW, multi_view_config
from lotus_recon.reporting.spec import REPORT
from lotus_recon.sfm.spec import FRAME, SFM
from lotus_recon.texturing.spec import TEXTURE
from pipelines.command_line import DONE, PhotoArguments, main, on_screen, parse, preset, status_of

if TYPE_CHECKING:
    from lotus_recon.scene_job import SceneJob
    from lotus_recon.stages import Context, StageSpec
    from lotus_recon.workspace import Workspace


_STAGES = ", ".join(stage.name for stage in MULTI_VIEW)


@dataclass(frozen=True)
class Arguments(PhotoArguments):
    """Camera poses, aligned depth of every photo, and one mesh."""

    COMMON: ClassVar[tuple[str, ...]] = (
        "out", "model", "predictions", "preset", "device", "max-size", "fov-deg", "masks", "exclude", "poses",
        "scale-from", "mvs", "adapt", "fusion", "texture", "export", "only", "from", "force",
        "dry-run", "seed", "config", "quiet", "verbose",
    )  # fmt: skip

    WORDS: ClassVar[dict[str, tuple[str, ...]]] = {"fusion.fusion": tuple(backend.name for backend in BACKENDS)}

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER|VIDEO")] = tyro.MISSING
    """Folder of photos of one scene, searched with its sub-folders; or a video, whose sharp frames are the photos."""
    only: Annotated[str | None, tyro.conf.arg(metavar="STAGE", help=f"Run this stage alone: {_STAGES}.")] = None
    from_stage: Annotated[str | None, tyro.conf.arg(name="from", metavar="STAGE")] = None
    """Run this stage and those after it again, even if nothing changed."""
    dry_run: bool = False
    """Print the stages that would run and what they take here; do nothing."""
    options: MultiViewConfig = field(default_factory=MultiViewConfig)


def run(argv: Sequence[str]) -> int:
    """Exit status of the command line ``argv``."""
    base = preset(multi_view_config(), "multi_view", argv)
    arguments = parse(lambda options: Arguments(options=options), base, "multi_view", argv)
    from lotus_recon.recipes.engine import check_only, check_stage_names, check_wanted
    from lotus_recon.recipes.multi_view import check_job, is_same, owners_of
    from lotus_recon.recipes.output_folder import check_owners, claim
    from lotus_recon.workspace import Workspace

    check_stage_names(MULTI_VIEW, arguments.only, arguments.from_stage)
    workspace = Workspace(arguments.out)
    with on_screen(arguments.quiet, arguments.verbose):
        job = check_job(arguments.source, arguments.options, arguments.out, arguments.only)
        check_wanted(MULTI_VIEW, job, arguments.only, arguments.from_stage)
        owners = owners_of(job)
        check_owners(workspace, owners, arguments.force, is_same(job, workspace))
        check_only(workspace, MULTI_VIEW, job, arguments.only)
        if arguments.dry_run:
            from lotus_recon.recipes.estimates import lines_of_estimates
            from lotus_recon.recipes.multi_view import estimates_of

            print("\n".join(lines_of_estimates(estimates_of(job, workspace, arguments.only), arguments.out)))
            return DONE
        with workspace.locked(), log_file(arguments.out):
            claim(workspace, arguments.options, owners, arguments.force, is_same(job, workspace))
            return status_of(lambda: _work(job, workspace, arguments))


def _work(job: SceneJob, workspace: Workspace, arguments: Arguments) -> int:
    from lotus_recon.recipes.multi_view import run_job

    context = run_job(job, workspace, arguments.only, arguments.from_stage)
    if not arguments.quiet:
        _say_where(context, arguments.only)
    return DONE


def _say_where(context: Context[SceneJob], only: str | None) -> None:
    """Name the files a user wants next, of the stages that this run was about."""
    exported = context[EXPORT].report["targets"] if context.has(EXPORT) and only in (None, EXPORT.name) else ()
    for doubt in context[SFM].report.get("doubts", ()) if context.has(SFM) and only in (None, SFM.name) else ():
        print(f"{'warning:':<10}{doubt}")
    wanted: list[tuple[str, StageSpec[SceneJob, Any], str]] = [
        ("texture", TEXTURE, "mesh.glb"),
        ("texture", TEXTURE, "mesh.obj"),
        ("poses", FRAME, "sparse"),
        ("mesh", MESH, "mesh.ply"),
        ("mesh", MESH, "mesh.glb"),
        ("points", CLOUD, "dense.ply"),
        *(("export", EXPORT, target) for target in exported),
        ("images", REPORT, "images"),
        ("report", REPORT, "index.html"),
        ("view", REPORT, "view.html"),
    ]
    for what, stage, file in wanted:
        if not context.has(stage):
            continue
        path = context.folder(stage) / file
        if only in (None, stage.name) and path.exists():
            print(f"{what + ':':<10}{path}")


if __name__ == "__main__":
    main(run)
