"""python -m pipelines.make_worlds --out DIR --family streets,objects,creatures --count N --views M --seed S"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lotus_recon import native
from lotus_recon.synthetic.worlds.config import WorldsConfig
from pipelines.command_line import main, parse
from pipelines.rendering import RenderingArguments, render, summary_line

if TYPE_CHECKING:
    from lotus_recon.synthetic.rooms.writing import Made


@dataclass(frozen=True)
class Arguments(RenderingArguments):
    """Streets, objects close by, people and animals: photos with exact depth, normals, sky and cameras, to train on."""

    options: WorldsConfig = field(default_factory=WorldsConfig)


def run(argv: Sequence[str]) -> int:
    """Exit status of the command line ``argv``."""
    arguments = parse(lambda options: Arguments(options=options), WorldsConfig(), "make_worlds", argv)
    native.require(["open3d", "pycolmap"])
    from lotus_recon.synthetic.worlds.writing import check_config, make_worlds

    return render(arguments, arguments.options, check_config, make_worlds, summary)


def summary(out: Path, config: WorldsConfig, made: Made, seconds: float) -> str:
    """One line: how many worlds, how fast, and which are missing."""
    return summary_line(out, f"worlds made of {config.family}", config.views, made, seconds)


if __name__ == "__main__":
    main(run)
