"""python -m pipelines.make_rooms --out DIR --scenes N --views M --size 256x192 --seed S"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lotus_recon import native
from lotus_recon.synthetic.rooms.config import RoomsConfig
from pipelines.command_line import main, parse
from pipelines.rendering import RenderingArguments, render, summary_line

if TYPE_CHECKING:
    from lotus_recon.synthetic.rooms.writing import Made


@dataclass(frozen=True)
class Arguments(RenderingArguments):
    """Furnished rooms with photos, exact depth, normals, cameras and surface, to train on."""

    options: RoomsConfig = field(default_factory=RoomsConfig)


def run(argv: Sequence[str]) -> int:
    """Exit status of the command line ``argv``."""
    arguments = parse(lambda options: Arguments(options=options), RoomsConfig(), "make_rooms", argv)
    native.require(["open3d", "pycolmap"])
    from lotus_recon.synthetic.rooms.writing import check_config, make_rooms

    return render(arguments, arguments.options, check_config, make_rooms, summary)


def summary(out: Path, config: RoomsConfig, made: Made, seconds: float) -> str:
    """One line: how many rooms, how fast, and which are missing."""
    return summary_line(out, f"rooms made with {config.renderer} and {config.catalog}", config.views, made, seconds)


if __name__ == "__main__":
    main(run)
