"""python -m pipelines.batch MANIFEST|FOLDER|- --out DIR"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import tyro

from lotus_recon.errors import InputError
from lotus_recon.logs import log_file
from lotus_recon.options import nested
from lotus_recon.runners.config import BatchConfig
from pipelines.command_line import CONFIG_FOLDER, CommonArguments, main, on_screen, parse

if TYPE_CHECKING:
    from lotus_recon.runners.batch import BatchResult
    from lotus_recon.runners.building import Defaults
    from lotus_recon.runners.jobs import SceneJob


@dataclass(frozen=True)
class Arguments(CommonArguments):
    """Many scenes in one resumable run, on this machine or on a Ray cluster.

    The same command again does only what is missing. docs/batch.md describes manifests, faults and clusters. --config
    takes a YAML file with the options of the batch itself; those of the scenes stand in the manifest, or in --set.
    """

    COMMON: ClassVar[tuple[str, ...]] = (
        "out", "kind", "preset", "model", "set", "dry-run", "runner", "workers", "address", "memory-limit", "timeout",
        "retries", "shard", "failed", "only", "force", "config", "quiet", "verbose",
    )  # fmt: skip

    source: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MANIFEST|FOLDER|-")] = tyro.MISSING
    """YAML manifest, CSV table, folder whose sub-folders are scenes, or - for standard input."""
    kind: Annotated[str | None, tyro.conf.arg(metavar="{single_view,multi_view}")] = None
    """What every scene is. Otherwise the manifest says, and a folder of two or more photos is multi_view."""
    preset: Annotated[str | None, tyro.conf.arg(metavar="{fast,default,fine}")] = None
    """Speed against detail, of every scene."""
    model: str | None = None
    """Which model predicts depth and normals, for every scene."""
    set: Annotated[tuple[str, ...], tyro.conf.arg(metavar="GROUP.OPTION=VALUE")] = ()
    """Options of the scenes, which win over the manifest: tsdf.voxel_size=0.01 runtime.device=cuda."""
    deterministic: bool = False
    """Repeat a run bit for bit, at the price of speed."""
    dry_run: bool = False
    """Print which stages would run, for how long, and the disk they need; do nothing."""
    options: BatchConfig = field(default_factory=BatchConfig)


def run(argv: Sequence[str]) -> int:
    """Exit status of the command line ``argv``."""
    arguments = parse(lambda options: Arguments(options=options), BatchConfig(), "batch", argv)
    with on_screen(arguments.quiet, arguments.verbose, bars=False) as console:
        jobs = _jobs(arguments)
        if arguments.dry_run:
            from lotus_recon.runners.plan import lines_of_plan

            print("\n".join(lines_of_plan(jobs, arguments.out, arguments.options.selection)))
            return 0
        return _work(jobs, arguments, console)


def _jobs(arguments: Arguments) -> list[SceneJob]:
    from lotus_recon.runners.manifest import read_jobs

    text = sys.stdin.read() if arguments.source == "-" else None
    return read_jobs(arguments.source, _defaults(arguments), text)


def _defaults(arguments: Arguments) -> Defaults:
    from lotus_recon.bounded_yaml import load_bounded
    from lotus_recon.runners.building import Defaults

    leaves: dict[tuple[str, ...], Any] = {}
    for one in arguments.set:
        name, separator, text = one.partition("=")
        path = tuple(name.split("."))
        if not (separator and len(path) > 1 and all(path)):
            raise InputError(f"--set {one}: must be GROUP.OPTION=VALUE, such as tsdf.voxel_size=0.01")
        if path in leaves:
            raise InputError(f"--set {one}: {name} is set twice")
        leaves[path] = load_bounded(text, f"--set {one}")
    if arguments.deterministic:
        leaves["runtime", "deterministic"] = True
    options = nested(leaves.items())
    said = {"kind": arguments.kind, "preset": arguments.preset, "model": arguments.model, "options": options or None}
    return Defaults(CONFIG_FOLDER).with_final({key: value for key, value in said.items() if value is not None})


def _work(jobs: list[SceneJob], arguments: Arguments, console: Any) -> int:
    from lotus_recon.runners.run import run_jobs
    from lotus_recon.workspace import output_folder
    from pipelines.batch_display import watching

    with output_folder(arguments.out), log_file(arguments.out), watching(console, arguments.quiet) as watch:
        result = run_jobs(jobs, arguments.out, arguments.options, watch)
    if not arguments.quiet:
        _say_where(result)
    return result.exit_status


def _say_where(result: BatchResult) -> None:
    shown = [f"{count} {what}" for what, count in result.counts.items() if what != "refused"]
    print(f"scenes:   {', '.join(shown)}")
    print(f"report:   {result.report}")


if __name__ == "__main__":
    main(run)
