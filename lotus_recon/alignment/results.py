"""What the alignment stage leaves behind: a depth map per view, and alignment.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from lotus_recon.errors import InputError
from lotus_recon.workspace import write_json

REPORT = "alignment.json"


@dataclass(frozen=True)
class ViewAlignment:
    """How one view was aligned. Errors are |depth of the map / depth of the point - 1| at held-out sparse points."""

    name: str
    status: str  # points | scale_only | overlap | passed_through | rejected | no_prediction
    scale: float | None = None  # of the predicted values, in the model's own space
    shift: float | None = None
    points: int = 0  # sparse points where the map is valid
    inliers: int = 0  # those that agree with the map after the global fit
    held_out: int = 0  # held-out points that were scored
    held_out_inliers: int = 0  # those that agree with the map after the local correction
    median_before: float | None = None  # after the global fit, before the local correction
    p90_before: float | None = None
    median_after: float | None = None  # after the local correction
    p90_after: float | None = None
    own_p90_after: float | None = None  # what is left of it without the error that the points are known to have
    reason: str = ""  # why it was rejected

    @property
    def usable(self) -> bool:
        """Whether the view has an aligned map."""
        return self.status not in ("rejected", "no_prediction")


@dataclass(frozen=True)
class HeldOutErrors:
    """The errors of one view at held-out sparse points; the fields mean what those of ``ViewAlignment`` do."""

    held_out: int
    held_out_inliers: int
    median_before: float
    p90_before: float
    median_after: float
    p90_after: float
    own_p90_after: float


@dataclass(frozen=True)
class Medians:
    """Medians over the views of their held-out errors; None where nothing was held out."""

    median_before: float | None
    p90_before: float | None
    median_after: float | None
    p90_after: float | None

    @classmethod
    def of(cls, views: Sequence[ViewAlignment]) -> Medians:
        """Medians over the views that were scored."""
        return cls(*(_median([getattr(view, f.name) for view in views]) for f in fields(cls)))


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


@dataclass(frozen=True)
class AlignmentResult:
    """The aligned maps in ``folder`` and how each came about, in the order of the scene's views."""

    folder: Path
    views: tuple[ViewAlignment, ...]
    medians: Medians
    local_strength: (
        float  # share of the points' residuals that the local correction applies; chosen by cross-validation
    )

    def depth_file(self, name: str) -> Path:
        """Where the aligned depth of the view ``name`` is; it exists when the view is usable."""
        return self.folder / f"{PurePosixPath(name).with_suffix('')}.npz"

    @property
    def usable(self) -> tuple[str, ...]:
        """Names of the views that have an aligned map."""
        return tuple(view.name for view in self.views if view.usable)

    @property
    def own_errors(self) -> dict[str, float]:
        """Own error of the aligned depth by name of the view (90th percentile, relative), where it was measured."""
        return {view.name: view.own_p90_after for view in self.views if view.own_p90_after is not None}

    def save(self) -> None:
        """Write alignment.json."""
        report = {"local_strength": self.local_strength, "medians": self.medians, "views": self.views}
        write_json(self.folder / REPORT, report)

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Whether a folder holds alignment.json."""
        return (folder / REPORT).is_file()

    @classmethod
    def load(cls, folder: Path) -> AlignmentResult:
        """The result of an earlier run. Raises InputError when alignment.json is missing or broken."""
        path = folder / REPORT
        try:
            report: dict[str, Any] = json.loads(path.read_text())
            views = tuple(ViewAlignment(**view) for view in report["views"])
            return cls(folder, views, Medians(**report["medians"]), float(report["local_strength"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} cannot be read as an alignment report: {error}") from error
