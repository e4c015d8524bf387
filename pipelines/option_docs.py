"""python -m pipelines.option_docs: write docs/options.md from the dataclasses of the options."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lotus_recon.recipes.table import multi_view_config
from lotus_recon.renamed import RENAMED, RENAMED_VALUES
from lotus_recon.training.config import UNetSize, VaeSize
from pipelines import (
    ablation,
    app,
    batch,
    evaluate,
    export,
    make_rooms,
    make_worlds,
    multi_view,
    prepare_data,
    single_view,
    train,
    view,
)
from pipelines.option_help import Entry, entries_of, markdown_tables

PAGE = Path(__file__).resolve().parent.parent / "docs/options.md"
_HEAD = """# Options

Written by `python -m pipelines.option_docs` from the dataclasses of the options; do not edit it.

- An option stands on the command line (`--fov-deg 60`) or, in its group, in a YAML file that `--config` names
  (`sfm: {fov_deg: 60}`). The command line wins over the file, and the file over the preset.
- Options with `advanced` in their name stand in YAML only: `alignment: {advanced: {ransac_iterations: 1000}}`. In a
  batch, `--set alignment.advanced.ransac_iterations=1000` works too.
- `--help` shows the common options of a pipeline, `--help-all` all of them.
- A value that is not allowed ends the run before any work, with exit status 2 and one line: the option, the value and
  what is allowed. NaN and infinity are never allowed; an option that may be left open takes `none` (YAML: `null`).
"""
_OLD = """
## Old names

They work for one release, with a warning. So do the flags and the places in YAML of options that moved to `advanced`.

| old | new |
|---|---|
"""


def pipelines() -> Iterator[tuple[str, list[Entry]]]:
    """Every pipeline, an evaluation with its task, and its options."""
    yield "multi_view", entries_of(multi_view.Arguments(options=multi_view_config()()))
    yield "single_view", entries_of(single_view.Arguments())
    yield "batch", entries_of(batch.Arguments())
    yield "export", entries_of(export.Arguments())
    yield "train", entries_of(train.Arguments(), (UNetSize, VaeSize))
    for task, (arguments, _, _) in evaluate._TASKS.items():
        yield f"evaluate {task}", entries_of(arguments())
    yield "make_rooms", entries_of(make_rooms.Arguments())
    yield "make_worlds", entries_of(make_worlds.Arguments())
    yield "ablation", entries_of(ablation.Arguments(), (UNetSize, VaeSize))
    yield "prepare_data", entries_of(prepare_data.Arguments(workers=1))
    yield "view", entries_of(view.Arguments())
    yield "app", entries_of(app.Arguments())


def page() -> str:
    """The text of docs/options.md."""
    lines = [_HEAD]
    for name, entries in pipelines():
        lines += [f"## {name}", *markdown_tables(entries), ""]
    old = [f"| `{before}` | `{now}` |" for before, now in RENAMED.items()]
    words = [f"| `{o}: {w}` | `{o}: {now}` |" for o, pairs in RENAMED_VALUES.items() for w, now in pairs.items()]
    return "\n".join(lines).rstrip() + "\n" + _OLD + "\n".join([*old, *words]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
