"""Acceptance of the integration of normals: depth of real objects from their normals alone."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from lotus_recon.datasets.diligent import ObjectNormals, read_object
from lotus_recon.integration import IntegrationResult, integrate_normals
from tests.acceptance.rows import Row

# Mean absolute depth error in mm: asked here, and of the published code of bilateral normal integration (BiNI).
ASKED_MM = {"bear": (0.334, 0.334), "cat": (0.074, 0.074), "pot1": (0.60, 0.635), "reading": (0.257, 0.257)}


def objects(data: Path) -> list[Row]:
    """The four objects whose depth was measured."""
    rows = []
    for name, (asked, published) in ASKED_MM.items():
        one = read_object(data / name)
        started = time.monotonic()
        found = integrate_normals(one.normals, one.mask, one.K)
        seconds = time.monotonic() - started
        error = mean_depth_error(found, one)
        figure = f"{name}, mean absolute depth error (BiNI {published} mm)"
        rows.append(Row("normals", figure, f"{error:.3f} mm", f"<= {asked} mm", error <= asked, seconds))
    return rows


def mean_depth_error(found: IntegrationResult, one: ObjectNormals) -> float:
    """Mean absolute error in millimetres after one scale, the median of truth / ours (MADE of BiNI)."""
    assert one.depth is not None
    known = one.mask & np.isfinite(one.depth)
    depth, truth = found.depth[known].astype(np.float64), one.depth[known]
    return float(np.abs(depth * np.median(truth / depth) - truth).mean())
