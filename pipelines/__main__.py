"""lotus-recon COMMAND ...; python -m pipelines COMMAND ... is the same"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from lotus_recon.config import nearest
from lotus_recon.errors import InputError
from pipelines.command_line import COMMAND, DONE, REFUSED, main

# Each word is a pipeline: the module of that name in this package, and what it does.
COMMANDS = {
    "single": ("single_view", "depth, normals, camera, point cloud and mesh of single photos"),
    "multi": ("multi_view", "one mesh of a folder of photos, or of a video"),
    "batch": ("batch", "many scenes, on one machine or on a Ray cluster"),
    "export": ("export", "a finished scene in the formats of other tools"),
    "view": ("view", "a result in 3D in the browser, also while it is being made"),
    "app": ("app", "an app in the browser: drop photos, see and download results"),
    "evaluate": ("evaluate", "scores against ground truth"),
    "train": ("train", "train or fine-tune a network"),
    "ablation": ("ablation", "what is predicted, in how many steps: the argument of the paper in small"),
    "data": ("prepare_data", "prepare and check a data set for training"),
    "rooms": ("make_rooms", "render rooms with exact depth and normals to train on"),
    "worlds": ("make_worlds", "render streets, objects, people and animals with exact depth and normals"),
    "doctor": ("doctor", "what is installed here, what is missing, and how to install it"),
    "completion": ("completion", "a script that completes commands and options in bash, fish, tcsh or zsh"),
}


def _usage() -> str:
    lines = [f"  {word:<12}{summary}" for word, (_, summary) in COMMANDS.items()]
    return "\n".join(
        [f"usage: {COMMAND} COMMAND [OPTIONS]", "", *lines, "", f"{COMMAND} COMMAND --help shows its options."]
    )


def run(argv: Sequence[str]) -> int:
    """Exit status of the command line ``argv`` without a command. Raises InputError for one that is none."""
    if argv and argv[0] not in ("-h", "--help"):
        raise InputError(f"unknown command {argv[0]!r}{nearest(argv[0], list(COMMANDS))}")
    print(_usage(), file=sys.stdout if argv else sys.stderr)
    return DONE if argv else REFUSED


def command() -> None:
    """Run the command that the command line names, and exit."""
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    if word not in COMMANDS:
        main(run)
    sys.argv = [f"{COMMAND} {word}", *sys.argv[2:]]
    main(importlib.import_module(f"pipelines.{COMMANDS[word][0]}").run)


if __name__ == "__main__":
    command()
