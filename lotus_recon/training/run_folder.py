"""The output folder of a training run: its layout, and whether a run may resume in it.

config.yaml                 every option
checkpoints/step_00000500/  all that is needed to resume
model/                      the trained network, as load_model takes it
metrics.jsonl               losses and validation scores, one JSON object per line
images/step_00000500.png    validation samples
tensorboard/, log.txt
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lotus_recon.config import load_config, save_config
from lotus_recon.errors import InputError
from lotus_recon.foreign_files import refuse_foreign
from lotus_recon.training.checkpoints import list_checkpoints
from lotus_recon.training.config import TrainConfig
from lotus_recon.workspace import OWNERS_FILE, to_plain, write_atomically

# Options that may change when a run resumes, because the weights after a given step do not depend on them.
_FREE = (
    "loop.steps",
    "loop.checkpoint_every",
    "loop.checkpoint_limit",
    "loop.validate_every",
    "loop.log_every",
    "loop.tracker",
    "data.workers",
    "data.validation",
    "data.validation_samples",
)
_ABSENT = "nothing"


class RunFolder:
    """Names every path of a run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "config.yaml"
        self.checkpoints = root / "checkpoints"
        self.model = root / "model"
        self.metrics = root / "metrics.jsonl"
        self.images = root / "images"

    def check(self, config: TrainConfig) -> None:
        """Raise InputError when the folder was not written by this program, or by a run with other options."""
        if (self.root / OWNERS_FILE).is_file():
            raise InputError(f"{self.root} holds a reconstruction; choose another --out")
        refuse_foreign(self.root, lambda path: path == self.config)
        if list_checkpoints(self.checkpoints):
            changes = differing_options(load_config(TrainConfig, self.config), config)
            if changes:
                raise InputError(
                    f"the run in {self.root} has other options: {'; '.join(changes)}. "
                    f"Use its own options ({self.config}), or choose another --out"
                )

    def claim(self, config: TrainConfig) -> None:
        """Write down what the run is."""
        self.check(config)
        save_config(config, self.config)

    def add_metrics(self, step: int, kind: str, values: Mapping[str, float]) -> None:
        """Append a line to metrics.jsonl."""
        with open(self.metrics, "a") as handle:
            handle.write(json.dumps({"step": step, "kind": kind, **values}) + "\n")

    def sizes(self) -> dict[str, int]:
        """Size in bytes of the pictures and the metrics, by their path in the folder."""
        return {
            path.relative_to(self.root).as_posix(): path.stat().st_size
            for path in (*sorted(self.images.glob("*")), self.metrics)
            if path.is_file()
        }

    def forget_metrics_after(self, step: int) -> None:
        """Remove the lines of later steps, which are about to be computed again, and half a line of a killed run."""
        if self.metrics.is_file():
            text = self.metrics.read_text(encoding="utf-8", errors="replace")  # a disk may have lost a block of it
            lines = [line for line in text.splitlines() if _step_of(line) <= step]
            write_atomically(self.metrics, lambda part: part.write_text("".join(f"{line}\n" for line in lines)))


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return float("inf")


def differing_options(before: TrainConfig, now: TrainConfig) -> list[str]:
    """``option: before -> now`` of every option that changed and must not when a run resumes."""
    old, new = dict(_flat(to_plain(before))), dict(_flat(to_plain(now)))
    names = [name for name in {**old, **new} if old.get(name, _ABSENT) != new.get(name, _ABSENT)]
    return [f"{n}: {old.get(n, _ABSENT)} -> {new.get(n, _ABSENT)}" for n in names if not _is_free(n, now)]


def _is_free(name: str, config: TrainConfig) -> bool:
    if name == "loop.steps" and config.optimizer.schedule != "constant":
        return False  # the learning rate of every step depends on it
    return any(name == free or name.startswith(f"{free}[") for free in _FREE)


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, value) of all leaves; lists of mappings are opened, as ``data.sets[0].kind``."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}" if name else key)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for index, item in enumerate(value):
            yield from _flat(item, f"{name}[{index}]")
    elif value != []:
        yield name, value
