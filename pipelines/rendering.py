"""What the pipelines that render data sets (make_rooms, make_worlds) have in common."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import tyro
from annotated_types import Interval

from lotus_recon.logs import log_file
from lotus_recon.synthetic.rooms.config import RenderingConfig
from pipelines.command_line import DONE, FAILED, CommonArguments, on_screen, status_of

if TYPE_CHECKING:
    from lotus_recon.synthetic.rooms.writing import Made

Config = TypeVar("Config", bound=RenderingConfig)


@dataclass(frozen=True)
class RenderingArguments(CommonArguments):
    """Options of the pipelines that render data sets."""

    # Required: a data set takes hours, and a default would be the folder of reconstructions.
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = tyro.MISSING
    """Folder of the data set, new or with scenes of the same settings; an interrupted run resumes in it."""
    sheet: Annotated[Path | None, tyro.conf.arg(metavar="FILE.png")] = None
    """Write a picture of random views: photo, depth, normals."""
    sheet_views: Annotated[int, Interval(ge=1, le=10_000)] = 24
    """Views in that picture."""


def render(
    arguments: RenderingArguments,
    options: Config,
    check: Callable[[Config], Config],
    make: Callable[[Path, Config], Made],
    summary: Callable[[Path, Config, Made, float], str],
) -> int:
    """Exit status of a run with ``options``: checked by ``check``, made by ``make``, told of by ``summary``."""
    from lotus_recon.synthetic.rooms.writing import check_folder, claim
    from lotus_recon.workspace import Workspace

    def work() -> int:
        start = time.monotonic()
        made = make(arguments.out, config)
        if not arguments.quiet:
            print(summary(arguments.out, config, made, time.monotonic() - start))
        _write_sheet(arguments, config.seed)
        return FAILED if made.failed or not (made.made or made.existing) else DONE

    with on_screen(arguments.quiet, arguments.verbose):
        config = check(options)
        _check_sheet(arguments.sheet)
        check_folder(arguments.out)
        with Workspace(arguments.out).locked(), log_file(arguments.out):
            claim(arguments.out, config)
            return status_of(work)


def _check_sheet(sheet: Path | None) -> None:
    """Raise InputError when the picture could not be written."""
    from lotus_recon.errors import InputError
    from lotus_recon.workspace import make_folder

    if sheet is None:
        return
    if sheet.suffix.lower() != ".png":
        raise InputError(f"--sheet {sheet}: must end in .png")
    make_folder(sheet.parent)


def _write_sheet(arguments: RenderingArguments, seed: int) -> None:
    from lotus_recon.recipes.rooms_sheet import write_sheet

    if arguments.sheet is not None:
        write_sheet(arguments.out, arguments.sheet, arguments.sheet_views, seed)


def summary_line(out: Path, what: str, views: int, made: Made, seconds: float) -> str:
    """One line: how many scenes of so many views were made, ``what`` they are, how fast, and which are missing."""
    from lotus_recon.synthetic.rooms.files import SceneFolder

    parts = [f"{len(made.made)} {what}", f"{made.existing} existed"]
    if made.made:
        parts.append(f"{seconds / (len(made.made) * views):.2f} s a view")
    for fate, numbers in (("left out", made.refused), ("failed", made.failed)):
        if numbers:
            parts.append(f"{fate}: " + ", ".join(SceneFolder.of_number(out, number).path.name for number in numbers))
    return f"{out}: " + ", ".join(parts)
