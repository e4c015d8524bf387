"""What the error bars of all depth maps come to, in percent of depth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon.io.scene_maps import SceneMaps
from lotus_recon.types import View
from lotus_recon.uncertainty.results import UncertaintyResult
from lotus_recon.workspace import to_plain

_SAMPLES = 500_000  # pixels of all views together


def uncertainty_figures(result: UncertaintyResult, views: Sequence[View]) -> dict[str, Any]:
    """Calibration, and standard deviations of depth in percent of it, over all pixels and in each view.

    Raises InputError for maps that cannot be read.
    """
    figures: dict[str, Any] = {"calibration": to_plain(result.calibration)}
    sigma = _sample(SceneMaps(result.folder, ("sigma",)), views)
    if len(sigma):
        figures["median_sigma_percent"], figures["p90_sigma_percent"] = (100 * np.percentile(sigma, [50, 90])).tolist()
    figures["views"] = [
        {
            "name": view.name,
            "median_sigma_percent": 100 * view.median_sigma,
            "p90_sigma_percent": 100 * view.p90_sigma,
        }
        for view in result.views
    ]
    return figures


def _sample(maps: SceneMaps, views: Sequence[View]) -> NDArray[np.float32]:
    """(N,) every so manieth value of all maps, where there is depth."""
    known = [view for view in views if maps.has(view)]
    step = max(1, sum(view.camera.width * view.camera.height for view in known) // _SAMPLES)
    parts = [one.sigma.ravel()[::step] for one in maps.stream(known) if one.sigma is not None]
    sigma = np.concatenate([np.zeros(0, np.float32), *parts])
    return sigma[sigma > 0]
