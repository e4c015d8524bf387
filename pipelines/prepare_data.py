"""python -m pipelines.prepare_data KIND ROOT [--check-all]"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from annotated_types import Interval

from lotus_recon.limits import Workers
from lotus_recon.options import Options
from pipelines.command_line import DONE, FAILED, main, on_screen, program, show_table, status_of
from pipelines.parsing import parse_arguments

if TYPE_CHECKING:
    from lotus_recon.datasets.samples import TrainingSet
    from lotus_recon.datasets.verification import Problem


@dataclass(frozen=True)
class Arguments(Options):
    """Prepare a data set for training and say, by name, what of it is missing, half extracted or broken."""

    kind: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="KIND")] = tyro.MISSING
    """hypersim, hypersim_all_cameras, vkitti2, rooms or folder."""
    root: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="ROOT")] = tyro.MISSING
    """Folder of the data set (docs/data.md has the layouts)."""
    split: Literal["train", "val", "all"] = "all"
    """Part of the data set."""
    check_all: bool = False
    """Open every file and check what is in it; otherwise only that the files are there and complete."""
    cache: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """vkitti2: write the normals here, not into ROOT; DIR is then what a training config names as root."""
    prepare: bool = True
    """Compute what is computed once (normals of vkitti2); --no-prepare only looks."""
    workers: Workers = os.cpu_count() or 1
    """Samples that are worked on at a time."""
    show: Annotated[int, Interval(ge=0, le=1_000_000)] = 3
    """Problems named per scene or folder; the rest is counted. 0 names all."""
    quiet: bool = False
    """Show problems and errors only."""
    verbose: bool = False
    """Show what every step does."""


def run(argv: Sequence[str]) -> int:
    """Exit status of the command line ``argv``: 0 all is well, 1 something is missing or broken, 2 refused."""
    arguments = parse_arguments(Arguments(), argv, program("prepare_data"))
    with on_screen(arguments.quiet, arguments.verbose):
        training_set = _open(arguments)
        return status_of(lambda: _work(arguments, training_set))


def _open(arguments: Arguments) -> TrainingSet:
    """The data set that the options name. Raises InputError when they cannot be used."""
    from lotus_recon.datasets.training_sets import open_training_set
    from lotus_recon.datasets.vkitti2 import make_cache
    from lotus_recon.errors import InputError

    if arguments.cache is None:
        return open_training_set(arguments.kind, arguments.root, arguments.split)
    if arguments.kind != "vkitti2":
        raise InputError(f"--cache is for vkitti2: nothing is computed for {arguments.kind}")
    open_training_set(arguments.kind, arguments.root, arguments.split)  # refused before the cache folder is made
    make_cache(arguments.cache, arguments.root)
    return open_training_set(arguments.kind, arguments.cache, arguments.split)


def _work(arguments: Arguments, training_set: TrainingSet) -> int:
    from lotus_recon.datasets import verification

    problems = verification.check_files(training_set, arguments.workers)
    prepared = 0
    if arguments.prepare:
        unusable = frozenset(problem.sample for problem in problems)
        prepared, failed = verification.prepare(training_set, unusable, arguments.workers)
        problems += failed
    if arguments.check_all:
        unreadable = verification.check_samples(training_set, arguments.workers)
        problems = list({problem.sample: problem for problem in [*problems, *unreadable]}.values())
    _report(arguments, training_set, prepared, problems)
    return FAILED if problems else DONE


def _report(arguments: Arguments, training_set: TrainingSet, prepared: int, problems: list[Problem]) -> None:
    from lotus_recon.datasets.verification import by_group

    groups = by_group(problems)
    for group, members in groups.items():
        shown = members[: arguments.show or len(members)]
        for problem in shown:
            print(f"{problem.sample}: {problem.reason}")
        if len(members) > len(shown):
            print(f"{group}: and {len(members) - len(shown)} more")
    if groups:
        rows = [(group, str(len(members))) for group, members in groups.items()]
        show_table(("scene or folder", "unusable samples"), rows, arguments.quiet)
    if arguments.quiet:
        return
    for note in getattr(training_set, "notes", ()):
        print(f"note: {note}")
    how = "opened" if arguments.check_all else "looked at"
    computed = f", {prepared} prepared" if prepared else ""
    print(f"{arguments.root}: {len(training_set)} samples {how}{computed}, {len(problems)} unusable")


if __name__ == "__main__":
    main(run)
