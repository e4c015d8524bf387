"""python -m pipelines.ablation --rooms DIR --out DIR"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from lotus_recon.logs import log_file
from lotus_recon.training.ablation.config import AblationConfig
from lotus_recon.training.config import UNetSize, VaeSize
from pipelines.command_line import DONE, CommonArguments, main, on_screen, parse, status_of


@dataclass(frozen=True)
class Arguments(CommonArguments):
    """The argument of the Lotus paper in small: noise, v or x0, many steps or one, with and without detail preserver.

    Trains a VAE and, for every variant and seed, a latent network on rendered rooms, and writes table.md and steps.png.
    An interrupted run resumes when the same command is given again.
    """

    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("out/ablation")
    """Folder of the networks, the table and the picture."""
    options: AblationConfig = field(default_factory=AblationConfig)


def run(argv: Sequence[str]) -> int:
    """Exit status of the command line ``argv``."""
    in_yaml = (UNetSize, VaeSize)
    arguments = parse(lambda options: Arguments(options=options), AblationConfig(), "ablation", argv, in_yaml)
    with on_screen(arguments.quiet, arguments.verbose):
        from lotus_recon.training.ablation.running import check_job, run_job
        from lotus_recon.workspace import Workspace

        check_job(arguments.options, arguments.out)
        with Workspace(arguments.out).locked(), log_file(arguments.out):

            def work() -> int:
                print(run_job(arguments.options, arguments.out))
                return DONE

            return status_of(work)


if __name__ == "__main__":
    main(run)
