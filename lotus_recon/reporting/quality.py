"""How good a reconstruction is, in sentences and in one row per photo, from the figures of its stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lotus_recon.geometry.points import P90_SIGMAS
from lotus_recon.uncertainty.conformal import HELD_OUT, ROOMS

# Median error of depth at points that took no part, relative to the distance, up to which it is called so.
GRADES = ((0.002, "very good"), (0.01, "good"), (0.03, "fair"))
_WORST = "poor"
_IN_WORDS = {
    "matched": "photos agree on its depth",
    "aligned": "depth as the network predicts it",
    "no_sources": "no other photo checks it",
    "excluded": "left out: its position is wrong",
    "points": "fitted to its points",
    "scale_only": "fitted to few points (scale only)",
    "overlap": "fitted to what other photos show",
    "passed_through": "depth as given",
    "rejected": "its predicted depth does not fit",
    "no_prediction": "no predicted depth",
}


def grade(error: float) -> str:
    """A relative error of depth in one word or two."""
    return next((word for limit, word in GRADES if error <= limit), _WORST)


def grades_in_words() -> str:
    """What the words stand for."""
    return "; ".join([*(f"{word}: up to {limit:.1%}" for limit, word in GRADES), f"{_WORST}: above"])


def view_rows(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row for each photo: how its depth came about, its median error, and what of it the photos decide.

    Errors are those of stereo where there was any, else of the alignment.
    """
    stereo = {row["name"]: row for row in _rows(figures, "stereo of each view")}
    checks = {row["name"]: row for row in _rows(figures, "consistency of each view")}
    bars = {row["name"]: row for row in _rows(figures.get("uncertainty", {}), "views")}
    rows = []
    for aligned in _rows(figures, "alignment of each view"):
        last = stereo.get(aligned["name"], aligned)
        error = last.get("median_after")
        rows.append(
            {
                "photo": aligned["name"],
                "depth": _IN_WORDS.get(last["status"], last["status"]),
                "error": error,
                "grade": "not measured" if error is None else grade(error),
                "error bar": _bar(bars.get(aligned["name"])),
                "photos decide": last.get("matched"),
                "contradicted": checks.get(aligned["name"], {}).get("contradicted"),
            }
        )
    return rows


def _bar(row: Mapping[str, Any] | None) -> float | None:
    """What nine errors of ten are within in half of the pixels of a photo, relative to depth."""
    return None if row is None else P90_SIGMAS * row["median_sigma_percent"] / 100


def sentences(report: Mapping[str, Any]) -> list[str]:
    """How good the result is. ``report`` is the content of report.json."""
    figures, photos = report["figures"], report["photos"]
    told = [_registration(len(photos["registered"]), photos["given"])]
    errors = [row["error"] for row in view_rows(figures) if row["error"] is not None]
    if errors:
        told.append(_depth(float(np.median(errors)), len(errors), figures))
    uncertainty = figures.get("uncertainty", {})
    if "median_sigma_percent" in uncertainty:
        told.append(_error_bars(uncertainty))
    pixels = figures.get("cameras", {}).get("mean_reprojection_error_px")
    if pixels is not None:
        told.append(f"Points lie {pixels:.2f} pixels from where the photos show them, on average.")
    mesh = figures.get("mesh", {})
    if "seen_ratio" in mesh:
        told.append(f"Photos show {mesh['seen_ratio']:.0%} of the surface of the mesh; the rest was filled in.")
    return told


def _registration(registered: int, given: int) -> str:
    if registered == given:
        return f"All {given} photos were registered: the positions of their cameras are known."
    return f"{registered} of {given} photos were registered: the positions of the other cameras are not known."


def _depth(median: float, count: int, figures: Mapping[str, Any]) -> str:
    metric = bool(figures.get("cameras", {}).get("metric"))
    example = f", {1000 * 3 * median:.1f} mm at a distance of 3 m" if metric else ""
    return (
        f"Depth is {grade(median)}: in the median of {count} photos, half of the checked points are off by less than "
        f"{median:.2%} of their distance{example}."
    )


def _error_bars(uncertainty: Mapping[str, Any]) -> str:
    calibration = uncertainty["calibration"]
    source = {
        HELD_OUT: f"calibrated on {calibration['errors']:,} errors at {HELD_OUT}",
        ROOMS: f"calibrated on {ROOMS}, not on this scene",
    }[calibration["source"]]
    half, most = (P90_SIGMAS * uncertainty[f"{name}_sigma_percent"] for name in ("median", "p90"))
    return (
        f"Error bars, which nine errors of ten are within, are at most {half:.2g}% of depth in half of the pixels and "
        f"{most:.2g}% in nine of ten ({source})."
    )


def _rows(figures: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    rows = figures.get(name, ())
    return [row for row in rows if isinstance(row, Mapping) and "name" in row]
