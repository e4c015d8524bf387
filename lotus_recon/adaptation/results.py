"""What adaptation leaves behind: a depth map per view, what it learnt from, and adaptation.json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lotus_recon.errors import InputError
from lotus_recon.workspace import write_json

REPORT = "adaptation.json"
ALIGNED = "aligned"  # folder with the aligned depth of the adapted network
MODEL = "model"  # folder with its weights


@dataclass(frozen=True)
class ViewErrors:
    """|depth of the map / depth of the point - 1| at the held-out points of a view, of the aligned depth."""

    name: str
    points: int
    median_before: float | None
    p90_before: float | None
    median_after: float | None
    p90_after: float | None


@dataclass(frozen=True)
class AdaptationResult:
    """The maps in ``folder``: ``<stem>.npz``, by the adapted network or, where it was refused, as they were."""

    folder: Path
    adapted: bool
    reason: str  # why not; empty when it was
    photos: int = 0  # learnt from
    matched: int = 0  # pixels whose depth photos decide, at the size of the network's input
    points: int = 0  # sparse points
    frozen: str = ""  # what did not learn
    steps: int = 0
    best_step: int = 0
    # Mean relative error at depth that was kept aside, after scale and shift
    aside_before: float | None = None
    aside_after: float | None = None
    # Median relative error of aligned depth at the held-out points of all views
    held_out_before: float | None = None
    held_out_after: float | None = None
    # Mean |log ratio| of the depths of two views where photos decide nothing
    apart_before: float | None = None
    apart_after: float | None = None
    views: tuple[ViewErrors, ...] = ()

    @property
    def aligned_dir(self) -> Path:
        """The aligned depth of the adapted network, ``<stem>.npz``; there where it was adapted."""
        return self.folder / ALIGNED

    @property
    def figures(self) -> dict[str, Any]:
        """What the report says: all but the views and, where the network was adapted, a reason against it."""
        left_out = {"folder", "views", "reason" if self.adapted else ""}
        return {name: value for name, value in vars(self).items() if name not in left_out}

    def save(self) -> None:
        """Write adaptation.json."""
        content = {name: value for name, value in vars(self).items() if name != "folder"}
        write_json(self.folder / REPORT, content)

    @classmethod
    def load(cls, folder: Path) -> AdaptationResult:
        """The result of an earlier run. Raises InputError when adaptation.json is missing or broken."""
        path = folder / REPORT
        try:
            content: dict[str, Any] = json.loads(path.read_text())
            views = tuple(ViewErrors(**view) for view in content.pop("views"))
            return cls(folder, views=views, **content)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} cannot be read as a report of the adaptation: {error}") from error
