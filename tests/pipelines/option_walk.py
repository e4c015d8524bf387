"""Gives every number among the options of every pipeline wrong values; prints what became of each as JSON lines.

A process of its own, because it says whether torch was imported.
"""

from __future__ import annotations

import json
import logging
import math
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from lotus_recon.options import Option, fields_of, leaf_options, nested
from lotus_recon.recipes.table import multi_view_config
from lotus_recon.training.config import UNetSize, VaeSize
from pipelines import ablation, batch, evaluate, make_rooms, make_worlds, multi_view, prepare_data, single_view, train
from pipelines.command_line import main

Run = Callable[[Sequence[str]], int]


def _task(name: str) -> Run:
    return lambda argv: evaluate.run([name, *argv])


# Pipeline -> how it is run, its positional arguments, the dataclass of its own arguments, that of its options.
PIPELINES: dict[str, tuple[Run, tuple[str, ...], Any, Any]] = {
    "single_view": (single_view.run, ("photo.jpg",), single_view.Arguments, None),
    "multi_view": (multi_view.run, ("photos",), multi_view.Arguments, multi_view_config()),
    "batch": (batch.run, ("scenes.yaml",), batch.Arguments, None),
    "train": (train.run, (), train.Arguments, None),
    "ablation": (ablation.run, (), ablation.Arguments, None),
    "make_rooms": (make_rooms.run, ("--out", "rooms"), make_rooms.Arguments, None),
    "make_worlds": (make_worlds.run, ("--out", "worlds"), make_worlds.Arguments, None),
    "prepare_data": (prepare_data.run, ("folder", "root"), prepare_data.Arguments, None),
    **{f"evaluate {name}": (_task(name), (), kinds[0], None) for name, kinds in evaluate._TASKS.items()},
}


def numbers_of(pipeline: str) -> tuple[list[Option], list[Option]]:
    """The options of a pipeline that are numbers: on the command line, and in YAML (with paths as there)."""
    _, _, arguments, options = PIPELINES[pipeline]
    options = options or getattr(fields_of(arguments).get("options"), "kind", None)
    own = [option for name, option in fields_of(arguments).items() if option.is_number]
    in_yaml = [] if options is None else [option for option in _numbers_in_yaml(options) if option.is_number]
    typed = [o for o in in_yaml if not o.is_advanced and "[0]" not in o.path and not _is_of_size(options, o)]
    return [*own, *typed], in_yaml


def _is_of_size(options: Any, option: Option) -> bool:
    """Whether it lies in a group that is one option, in YAML, on the command line."""
    kind = options
    for name in option.path[:-1]:
        kind = fields_of(kind)[name].kind
    return kind in (UNetSize, VaeSize)


def _numbers_in_yaml(options: Any) -> Iterator[Option]:
    for option in leaf_options(options):
        if not option.is_group:
            yield option
            continue
        for inner in leaf_options(option.kind):  # a list of groups: the first of them
            yield Option(**{**vars(inner), "path": (*option.path, "[0]", *inner.path)})


def wrong_values(option: Option) -> list[float]:
    """Below, above, not a number, infinite, and half a whole one."""
    limits = option.limits
    assert limits is not None, f"{option.key or option.flag} states no limits"
    step = 1 if option.kind is int else 1e-3
    below = [limits.low if limits.low_open else limits.low - step] if math.isfinite(limits.low) else []
    above = [limits.high if limits.high_open else limits.high + step] if math.isfinite(limits.high) else []
    return [*below, *above, math.nan, math.inf, -math.inf, *([limits.low + 0.5] if option.kind is int else [])]


def as_yaml(option: Option, value: float) -> str:
    """A file that gives an option a value."""
    content: Any = [value] * max(option.count[0], 1) if option.is_list else value
    if "[0]" not in option.path:
        return yaml.safe_dump(nested([(option.path, content)]))
    middle = option.path.index("[0]")
    items = [nested([(option.path[middle + 1 :], content)])]
    return yaml.safe_dump(nested([(option.path[:middle], items)]))


def outcome(run: Run, argv: Sequence[str]) -> tuple[int, str]:
    """Exit status and message of a command line."""
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("lotus_recon")
    logger.handlers, logger.propagate = [handler], False
    sys.argv = ["pipeline", *argv]
    try:
        main(run)
    except SystemExit as error:
        return int(error.code or 0), "\n".join(messages)
    raise AssertionError("a pipeline ends with an exit status")


def walk(pipeline: str, folder: Path) -> Iterator[tuple[str, str, str, int, str]]:
    """(pipeline, option as it is called, value, status, message) of every try."""
    run, words, _, _ = PIPELINES[pipeline]
    typed, in_yaml = numbers_of(pipeline)
    for option in typed:
        for value in wrong_values(option):
            text = " ".join([str(value)] * max(option.count[0], 1))
            argv = [option.flag, *text.split()] if option.is_list else [f"{option.flag}={value}"]
            yield pipeline, option.flag, text, *outcome(run, [*words, *argv])
    file = folder / "options.yaml"
    for option in in_yaml:
        for value in wrong_values(option):
            file.write_text(as_yaml(option, value))
            key = option.key.replace(".[0]", "[0]")
            text = " ".join([str(value)] * max(option.count[0], 1))
            yield pipeline, key, text, *outcome(run, [*words, "--config", str(file)])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        for pipeline in sys.argv[1:] or list(PIPELINES):
            for line in walk(pipeline, Path(name)):
                sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.write(json.dumps("torch" in sys.modules) + "\n")
