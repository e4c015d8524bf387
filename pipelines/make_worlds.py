"""python -m pipelines.make_worlds --out DIR --family streets,objects,creatures --count N --views M --seed S"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from annotated_types import Interval

from lotus_recon import native
from lotus_recon.logs import log_file
from lotus_recon.synthetic.worlds.config import WorldsConfig
from pipelines.command_line import DONE, FAILED, CommonArguments, main, on_screen, parse, status_of
from pipelines.make_rooms import check_sheet

if TYPE_CHECKING:
    from lotus_recon.synthetic.rooms.writing import Made


@dataclass(frozen=True)
class Arguments(CommonArguments):
    """Streets, objects close by, people and animals: photos with exact depth, normals, sky and cameras, to train on."""

    # Required: worlds take hours, and a default would be the folder of reconstructions.
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = tyro.MISSING
    """Folder of the data set, new or with worlds of the same settings; an interrupted run resumes in it."""
    sheet: Annotated[Path | None, tyro.conf.arg(metavar="FILE.png")] = None
    """Write a picture of random views: photo, depth, normals."""
    sheet_views: Annotated[int, Interval(ge=1, le=10_000)] = 24
    """Views in that picture."""
    options: WorldsConfig = field(default_factory=WorldsConfig)


def run(argv: Sequence[str]) -> int:
    """Exit status of the command line ``argv``."""
    arguments = parse(lambda options: Arguments(options=options), WorldsConfig(), "make_worlds", argv)
    native.require(["open3d", "pycolmap"])
    from lotus_recon.synthetic.rooms.writing import check_folder, claim
    from lotus_recon.synthetic.worlds.writing import check_config
    from lotus_recon.workspace import Workspace

    with on_screen(arguments.quiet, arguments.verbose):
        config = check_config(arguments.options)
        check_sheet(arguments.sheet)
        check_folder(arguments.out)
        with Workspace(arguments.out).locked(), log_file(arguments.out):
            claim(arguments.out, config)
            return status_of(lambda: _work(arguments, config))


def _work(arguments: Arguments, config: WorldsConfig) -> int:
    from lotus_recon.recipes.rooms_sheet import write_sheet
    from lotus_recon.synthetic.worlds.writing import make_worlds

    start = time.monotonic()
    made = make_worlds(arguments.out, config)
    if not arguments.quiet:
        print(summary(arguments.out, config, made, time.monotonic() - start))
    if arguments.sheet is not None:
        write_sheet(arguments.out, arguments.sheet, arguments.sheet_views, config.seed)
    return FAILED if made.failed or not (made.made or made.existing) else DONE


def summary(out: Path, config: WorldsConfig, made: Made, seconds: float) -> str:
    """One line: how many worlds, how fast, and which are missing."""
    from lotus_recon.synthetic.rooms.files import SceneFolder

    parts = [f"{len(made.made)} worlds made of {config.family}", f"{made.existing} existed"]
    if made.made:
        parts.append(f"{seconds / (len(made.made) * config.views):.2f} s a view")
    for what, numbers in (("left out", made.refused), ("failed", made.failed)):
        if numbers:
            parts.append(f"{what}: " + ", ".join(SceneFolder.of_number(out, number).path.name for number in numbers))
    return f"{out}: " + ", ".join(parts)


if __name__ == "__main__":
    main(run)
