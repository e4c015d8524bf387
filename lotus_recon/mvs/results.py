"""What multi-view stereo leaves behind: a depth map with confidence per view, and mvs.json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from lotus_recon.errors import InputError
from lotus_recon.workspace import write_json

REPORT = "mvs.json"


@dataclass(frozen=True)
class ViewStereo:
    """What was found of one view. Errors are |depth of the map / depth of the point - 1| at sparse points.

    Shares are of the pixels that the view may have depth in.
    """

    name: str
    status: str  # matched | aligned (stereo is no better than what was predicted) | no_sources | excluded
    sources: int = 0  # photos it was compared with
    matched: float | None = None  # share whose depth the photos decide
    filled: float | None = None  # share that was completed from its surroundings and the network
    background: float | None = None  # share that is uniform background, without depth
    agreement: float | None = None  # share of what it shows that other views agree with
    points: int = 0  # sparse points that were scored
    median_before: float | None = None  # of the aligned depth
    p90_before: float | None = None
    median_after: float | None = None
    p90_after: float | None = None


@dataclass(frozen=True)
class MvsResult:
    """The maps in ``folder``: ``<stem>.npz`` with depth, depth_valid, normals, confidence and meta."""

    folder: Path
    held_out: bool  # whether the scored points were unseen by the alignment and the search (--holdout-strict)
    views: tuple[ViewStereo, ...]

    def depth_file(self, name: str) -> Path:
        """Where the depth of the view ``name`` is."""
        return self.folder / f"{PurePosixPath(name).with_suffix('')}.npz"

    def save(self) -> None:
        """Write mvs.json."""
        write_json(self.folder / REPORT, {"held_out": self.held_out, "views": self.views})

    @classmethod
    def load(cls, folder: Path) -> MvsResult:
        """The result of an earlier run. Raises InputError when mvs.json is missing or broken."""
        path = folder / REPORT
        try:
            report: dict[str, Any] = json.loads(path.read_text())
            views = tuple(ViewStereo(**view) for view in report["views"])
            return cls(folder, bool(report["held_out"]), views)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} cannot be read as a report of multi-view stereo: {error}") from error
