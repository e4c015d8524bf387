"""What the uncertainty stage leaves behind: ``<stem>.npz`` with ``sigma`` per view, and uncertainty.json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.uncertainty.conformal import Calibration
from lotus_recon.workspace import write_json

REPORT = "uncertainty.json"


@dataclass(frozen=True)
class ViewUncertainty:
    """Standard deviation of the depth of one view, relative to it, over its valid pixels."""

    name: str
    median_sigma: float
    p90_sigma: float

    @classmethod
    def of(cls, name: str, sigma: NDArray[np.float32]) -> ViewUncertainty:
        """Of a map (H, W), 0 where there is no depth."""
        known = sigma[sigma > 0]
        return cls(name, *(np.percentile(known, [50, 90]).tolist() if len(known) else (0.0, 0.0)))


@dataclass(frozen=True)
class UncertaintyResult:
    """The maps in ``folder``: ``sigma`` (H, W), one standard deviation relative to depth, 0 where there is no depth.

    Depth is within 1.645 of them in nine of ten pixels.
    """

    folder: Path
    calibration: Calibration
    views: tuple[ViewUncertainty, ...]

    def save(self) -> None:
        """Write uncertainty.json."""
        write_json(self.folder / REPORT, {"calibration": self.calibration, "views": self.views})

    @classmethod
    def load(cls, folder: Path) -> UncertaintyResult:
        """The result of an earlier run. Raises InputError when uncertainty.json is missing or broken."""
        path = folder / REPORT
        try:
            report = json.loads(path.read_text())
            views = tuple(ViewUncertainty(**view) for view in report["views"])
            return cls(folder, Calibration(**report["calibration"]), views)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} cannot be read as a report of uncertainty: {error}") from error
