"""python -m pipelines.evaluate TASK [--config configs/eval/NAME.yaml] --out DIR"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from lotus_recon.errors import InputError
from lotus_recon.evaluation.config import (
    AlignmentEvalConfig,
    MapsConfig,
    PosesConfig,
    RaysConfig,
    SurfaceConfig,
    UncertaintyConfig,
)
from lotus_recon.recipes.table import DEPTH_STAGES
from pipelines.command_line import DONE, REFUSED, CommonArguments, main, on_screen, parse, status_of

if TYPE_CHECKING:
    from lotus_recon.evaluation.score import Task

RECIPES = "eval"
_HELP = """usage: python -m pipelines.evaluate TASK [OPTIONS]

Score against ground truth. Tasks:

  depth           depth maps of a model, or stored ones, by the papers' protocols
  normals         normal maps, the same way
  reconstruction  a mesh or cloud against a mesh, a cloud, or depth maps with poses
  poses           camera poses against given ones
  alignment       the aligned depth of a reconstruction against held-out points or a sensor
  rays            a mesh against what cameras saw: met, blocked, behind, none
  uncertainty     the error bars of a reconstruction against true depth

python -m pipelines.evaluate TASK --help shows the options of a task; docs/evaluation.md says what the numbers mean.
"""


@dataclass(frozen=True)
class MapsArguments(CommonArguments):
    """Predict maps of the photos of benchmark sets, score them, and write CSV, JSON, a table and pictures."""

    COMMON: ClassVar[tuple[str, ...]] = (
        "out", "config", "sets", "data", "lists", "model", "task", "depth-space", "predictions", "label", "device",
        "seed", "only", "shard", "protocol", "align", "holes", "worst", "dry-run", "quiet", "verbose",
    )  # fmt: skip

    dry_run: bool = False
    """Print what would be predicted and scored; do nothing."""
    options: MapsConfig = field(default_factory=MapsConfig)


@dataclass(frozen=True)
class SurfaceArguments(CommonArguments):
    """Score a surface against a reference: accuracy, completeness, precision, recall, F-score, chamfer distance."""

    options: SurfaceConfig = field(default_factory=SurfaceConfig)


@dataclass(frozen=True)
class PosesArguments(CommonArguments):
    """Score camera poses: positions after a similarity, rotations, AUC of relative poses, registered share."""

    options: PosesConfig = field(default_factory=PosesConfig)


@dataclass(frozen=True)
class AlignmentArguments(CommonArguments):
    """Score the aligned depth of a multi_view output folder: at held-out sparse points, or against a sensor."""

    WORDS: ClassVar[dict[str, tuple[str, ...]]] = {"stage": DEPTH_STAGES}

    options: AlignmentEvalConfig = field(default_factory=AlignmentEvalConfig)


@dataclass(frozen=True)
class RaysArguments(CommonArguments):
    """Score a mesh along rays from cameras to points that they see: met, blocked, behind, none, also by texture."""

    options: RaysConfig = field(default_factory=RaysConfig)


@dataclass(frozen=True)
class UncertaintyArguments(CommonArguments):
    """Score error bars of depth: do they rank the errors (AUSE, AURG), and hold as many as they say."""

    options: UncertaintyConfig = field(default_factory=UncertaintyConfig)


def run(argv: Sequence[str]) -> int:
    """Exit status of the command line ``argv``."""
    if not argv or argv[0] in ("-h", "--help", "--help-all"):
        print(_HELP)
        return DONE if argv else REFUSED
    if argv[0] not in _TASKS:
        raise InputError(f"task {argv[0]!r} is unknown; allowed: {', '.join(_TASKS)}")
    arguments_type, config_type, work = _TASKS[argv[0]]
    arguments = parse(
        lambda options: arguments_type(options=options),
        config_type(),
        f"evaluate {argv[0]}",
        argv[1:],
        recipes=RECIPES,
    )
    with on_screen(arguments.quiet, arguments.verbose):
        from lotus_recon.foreign_files import refuse_foreign
        from lotus_recon.workspace import output_folder

        ready = work(argv[0], arguments)
        refuse_foreign(arguments.out, lambda path: path.name in ("prediction", *_TASKS))
        if getattr(arguments, "dry_run", False):
            return ready()
        with output_folder(arguments.out):
            return status_of(ready)


def _maps(task: Task, arguments: MapsArguments) -> Callable[[], int]:
    from lotus_recon.evaluation.maps_job import check_job, lines_of_plan, run_job

    job = check_job(task, arguments.options, arguments.out)
    if arguments.dry_run:
        print("\n".join(lines_of_plan(job)))
        return lambda: DONE

    def work() -> int:
        if run_job(job):
            _show(arguments, arguments.out / task / "table.md")
        return DONE

    return work


def _surface(task: str, arguments: SurfaceArguments) -> Callable[[], int]:
    from lotus_recon.evaluation.surface_job import check_job, run_job

    job = check_job(arguments.options)
    return _shown(task, arguments, partial(run_job, job))


def _poses(task: str, arguments: PosesArguments) -> Callable[[], int]:
    from lotus_recon.evaluation.poses import check_job, run_job

    job = check_job(arguments.options)
    return _shown(task, arguments, partial(run_job, job))


def _alignment(task: str, arguments: AlignmentArguments) -> Callable[[], int]:
    from lotus_recon.evaluation.alignment_job import check_job, run_job

    job = check_job(arguments.options, _held_out)
    return _shown(task, arguments, partial(run_job, job))


def _rays(task: str, arguments: RaysArguments) -> Callable[[], int]:
    from lotus_recon.evaluation.rays_job import check_job, run_job

    job = check_job(arguments.options, _held_out)
    return _shown(task, arguments, partial(run_job, job))


def _uncertainty(task: str, arguments: UncertaintyArguments) -> Callable[[], int]:
    from lotus_recon.evaluation.uncertainty_job import check_job, run_job

    job = check_job(arguments.options)
    return _shown(task, arguments, partial(run_job, job))


def _shown(task: str, arguments: CommonArguments, run_in: Callable[[Path], object]) -> Callable[[], int]:
    """Work that fills the folder of the task, and shows its table. Raises InputError where a reconstruction lives."""
    from lotus_recon.stage_file import STAGE_FILE

    folder = arguments.out / task
    if (folder / STAGE_FILE).is_file():
        raise InputError(
            f"{folder} is a stage of a reconstruction, which would replace the scores: --out another folder"
        )

    def work() -> int:
        run_in(folder)
        _show(arguments, folder / "table.md")
        return DONE

    return work


def _held_out(scene: Any, share: float, seed: int) -> Any:
    """The points that alignment kept apart: its own rule, which evaluation may not import."""
    from lotus_recon.alignment.control_points import held_out_points

    return held_out_points(scene, share, seed)


def _show(arguments: CommonArguments, table: Path) -> None:
    if not arguments.quiet:
        sys.stdout.write(table.read_text(encoding="utf-8"))
        print(f"written to {table.parent}")


_TASKS: Mapping[str, tuple[Any, Any, Callable[[Any, Any], Callable[[], int]]]] = {
    "depth": (MapsArguments, MapsConfig, _maps),
    "normals": (MapsArguments, MapsConfig, _maps),
    "reconstruction": (SurfaceArguments, SurfaceConfig, _surface),
    "poses": (PosesArguments, PosesConfig, _poses),
    "alignment": (AlignmentArguments, AlignmentEvalConfig, _alignment),
    "rays": (RaysArguments, RaysConfig, _rays),
    "uncertainty": (UncertaintyArguments, UncertaintyConfig, _uncertainty),
}


if __name__ == "__main__":
    main(run)
