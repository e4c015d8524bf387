"""python -m pipelines.train --config NAME|FILE.yaml --out DIR"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from lotus_recon.logs import log_file
from lotus_recon.training.config import TrainConfig, UNetSize, VaeSize
from pipelines.command_line import DONE, CommonArguments, main, on_screen, parse, status_of

if TYPE_CHECKING:
    from lotus_recon.training.loop import Run


@dataclass(frozen=True)
class Arguments(CommonArguments):
    """Train a network to predict depth, normals or both in one step.

    --config names a recipe of configs/train or a file. The trained model is the folder "model" in the output folder. An
    interrupted run resumes when the same command is given again. Several GPUs: accelerate launch -m pipelines.train ...
    """

    COMMON: ClassVar[tuple[str, ...]] = (
        "config", "out", "family", "checkpoint", "mode", "tasks", "sets", "validation", "learning-rate", "schedule",
        "warmup-steps", "steps", "total-batch", "accumulation", "precision", "gradient-checkpointing",
        "ema-decay", "checkpoint-every", "validate-every", "tracker", "seed", "dry-run", "quiet", "verbose",
    )  # fmt: skip

    dry_run: bool = False
    """Try a few steps and print what the run will take here; write nothing."""
    options: TrainConfig = field(default_factory=TrainConfig)


def run(argv: Sequence[str]) -> int:
    """Exit status of the command line ``argv``."""
    # A U-Net and a VAE have options of the same names.
    in_yaml = (UNetSize, VaeSize)
    arguments = parse(lambda options: Arguments(options=options), TrainConfig(), "train", argv, in_yaml)
    is_main = int(os.environ.get("RANK", "0")) == 0  # as launchers number the processes
    with on_screen(arguments.quiet or not is_main, arguments.verbose):
        from lotus_recon.training.loop import configured_parts, prepare

        training = prepare(arguments.options, arguments.out, configured_parts())
        if arguments.dry_run:
            return _foretell(training, arguments.out)
        with _held(arguments.out) if is_main else nullcontext():
            return status_of(lambda: _go(training))


def _foretell(training: Run, out: Path) -> int:
    from lotus_recon.progress import duration
    from lotus_recon.recipes.estimates import free_disk_gb

    trial = training.try_out()
    if trial is None:
        print("everything is up to date")
        return DONE
    total = duration(trial.steps * trial.seconds_per_step)
    print(
        f"{trial.steps} steps of {trial.seconds_per_step:.2f} s: about {total} on this machine, without validation; "
        f"{trial.memory_mb / 1000:.1f} GB of memory, {trial.disk_mb / 1000:.2f} GB of disk for checkpoints "
        f"({free_disk_gb(out):.1f} GB free)"
    )
    return DONE


def _go(training: Run) -> int:
    training.go()
    return DONE


@contextmanager
def _held(out: Path) -> Iterator[None]:
    """The output folder belongs to this run, which writes its log there."""
    from lotus_recon.workspace import Workspace, remove_unfinished

    with Workspace(out).locked(), log_file(out):
        remove_unfinished(out)
        yield


if __name__ == "__main__":
    main(run)
