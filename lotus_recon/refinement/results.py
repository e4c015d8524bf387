"""What the refinement stage leaves behind: a depth map with confidence per view, and refinement.json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from lotus_recon.errors import InputError
from lotus_recon.workspace import write_json

REPORT = "refinement.json"


@dataclass(frozen=True)
class ViewRefinement:
    """How one view was refined. Errors are |depth of the map / depth of the point - 1| at sparse points."""

    name: str
    status: str  # refined | no_sources | excluded
    sources: int = 0  # photos it was compared with
    search_range: float | None = None  # half width of the first search, relative to depth
    mean_score: float | None = None  # mean correlation with the sources that agree best, where there is depth
    confident: float | None = None  # share of the pixels with depth whose photos decide
    moved: float | None = None  # share of the pixels with depth that moved by more than a pixel in the sources
    points: int = 0  # sparse points that were scored
    median_before: float | None = None
    p90_before: float | None = None
    median_after: float | None = None
    p90_after: float | None = None
    agreement: float | None = None  # of this photo with the depth of others, among what they agree on; see excluded


@dataclass(frozen=True)
class RefinementResult:
    """The refined maps in ``folder``: ``<stem>.npz`` with depth, depth_valid, normals, confidence and meta."""

    folder: Path
    held_out: bool  # whether the scored points were unseen by the alignment (--holdout-strict)
    views: tuple[ViewRefinement, ...]

    def depth_file(self, name: str) -> Path:
        """Where the refined depth of the view ``name`` is."""
        return self.folder / f"{PurePosixPath(name).with_suffix('')}.npz"

    def save(self) -> None:
        """Write refinement.json."""
        write_json(self.folder / REPORT, {"held_out": self.held_out, "views": self.views})

    @classmethod
    def load(cls, folder: Path) -> RefinementResult:
        """The result of an earlier run. Raises InputError when refinement.json is missing or broken."""
        path = folder / REPORT
        try:
            report: dict[str, Any] = json.loads(path.read_text())
            views = tuple(ViewRefinement(**view) for view in report["views"])
            return cls(folder, bool(report["held_out"]), views)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} cannot be read as a refinement report: {error}") from error
