"""Figures that ``python -m pipelines.evaluate`` makes, with the command for whoever wants to make them again."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.acceptance.command import ROOT
from tests.acceptance.rows import Row


@dataclass(frozen=True)
class Evaluated:
    """A run of the command line that is done."""

    folder: Path  # of summary.json, photos.csv
    command: str

    @property
    def summary(self) -> dict[str, Any]:
        """The whole summary.json."""
        found: dict[str, Any] = json.loads((self.folder / "summary.json").read_text())
        return found

    def score(self, name: str) -> float:
        """One score; of a reconstruction those of distances are numbers, all others have a unit beside them."""
        value = self.summary["scores"][name]
        return float(value["value"] if isinstance(value, dict) else value)

    def tolerance(self, threshold: float) -> dict[str, float]:
        """precision, recall and F-score of a reconstruction at a threshold."""
        rows: list[dict[str, float]] = self.summary["tolerances"]
        return next(row for row in rows if row["threshold"] == threshold)

    def photo_scores(self, name: str) -> dict[str, float]:
        """One score of every photo."""
        with open(self.folder / "photos.csv", newline="", encoding="utf-8") as file:
            return {row["photo"]: float(row[name]) for row in csv.DictReader(file)}

    def row(self, run: str, figure: str, measured: str, asked: str = "", ok: bool | None = None) -> Row:
        """A row of the table that this command makes."""
        return Row(run, figure, measured, asked, ok, None, self.command)


def evaluate(task: str, out: Path, *options: str, kind: str = "") -> Evaluated:
    """Run ``pipelines.evaluate`` into ``out``/scores; ``kind`` is the set whose figures are wanted (depth, normals).

    Raises CalledProcessError when it fails.
    """
    out = out / "scores"  # beside what else lies in the folder of the run
    words = ["-m", "pipelines.evaluate", task, *options, "--out", str(out)]
    subprocess.run([sys.executable, *words, "--quiet"], cwd=ROOT, check=True)
    quoted = (f"'{word}'" if " " in word else word for word in words)
    return Evaluated(out / task / kind, f"python {' '.join(quoted)}")
