"""python -m pipelines.completion SHELL: a script that completes the command lotus-recon and its options"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import shtab
import tyro

from lotus_recon.errors import InputError
from lotus_recon.options import Options
from pipelines.command_line import COMMAND, DONE, main, program
from pipelines.option_help import Entry
from pipelines.parsing import parse_arguments


@dataclass(frozen=True)
class Arguments(Options):
    """Print a script for a shell. bash: eval "$(lotus-recon completion bash)" in ~/.bashrc."""

    shell: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SHELL")] = tyro.MISSING
    """bash, fish, tcsh or zsh."""


def run(argv: Sequence[str]) -> int:
    """Exit status of the command line ``argv``."""
    arguments = parse_arguments(Arguments(), argv, program("completion"))
    if arguments.shell not in shtab.SUPPORTED_SHELLS:
        raise InputError(f"shell {arguments.shell!r} is unknown; allowed: {', '.join(shtab.SUPPORTED_SHELLS)}")
    print(shtab.complete(_parser(), arguments.shell))
    return DONE


def _parser() -> argparse.ArgumentParser:
    """The commands and options of lotus-recon, for shtab to read."""
    from pipelines.__main__ import COMMANDS
    from pipelines.option_docs import pipelines

    parser = argparse.ArgumentParser(COMMAND)
    commands = parser.add_subparsers()
    parsers = {module: commands.add_parser(word, help=summary) for word, (module, summary) in COMMANDS.items()}
    tasks = parsers["evaluate"].add_subparsers()
    for name, entries in pipelines():
        module, _, task = name.partition(" ")
        _add(tasks.add_parser(task) if task else parsers[module], entries)
    return parser


def _add(parser: argparse.ArgumentParser, entries: Sequence[Entry]) -> None:
    for entry in entries:
        if entry.option.is_advanced:
            continue
        help_line = entry.first_sentence.replace("%", "%%")
        if entry.option.kind is bool:
            switch = parser.add_argument(entry.name, action=argparse.BooleanOptionalAction, help=help_line)
            switch.default = argparse.SUPPRESS
            continue
        name = entry.metavar if entry.is_positional else entry.name
        taken = parser.add_argument(name, choices=entry.words or None, help=help_line)
        if entry.option.kind is Path and not entry.words:
            taken.complete = shtab.FILE  # type: ignore[attr-defined]


if __name__ == "__main__":
    main(run)
