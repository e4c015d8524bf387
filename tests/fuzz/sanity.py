"""What a reader may give for a broken file: only values that the rest of the program can work with."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from lotus_recon.io.meshes import PointCloud
from lotus_recon.types import Camera, DepthMap, Mesh, NormalMap, check_rigid


def check_sane(value: Any) -> None:
    """Raise AssertionError for values that nobody can work with, at any depth of what a reader gave."""
    if isinstance(value, float):
        assert math.isfinite(value), f"{value} was taken for a number"
    elif isinstance(value, DepthMap):
        seen = value.values[value.valid]
        assert value.values.shape == value.valid.shape
        assert np.isfinite(seen).all(), "valid depth that is not finite"
    elif isinstance(value, NormalMap):
        length = np.linalg.norm(value.values[value.valid], axis=-1)
        assert (np.abs(length - 1) < 1e-2).all(), "valid normals that are no unit vectors"
    elif isinstance(value, Mesh):
        assert np.isfinite(value.vertices).all()
        assert value.triangles.size == 0 or 0 <= value.triangles.min() <= value.triangles.max() < len(value.vertices)
    elif isinstance(value, PointCloud):
        assert np.isfinite(value.points).all()
    elif isinstance(value, Camera):
        numbers = (value.fx, value.fy, value.cx, value.cy)
        assert all(map(math.isfinite, numbers)), "a camera that is not finite"
        assert value.fx > 0
        assert value.fy > 0
    else:
        _check_parts(value)


def _check_parts(value: Any) -> None:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            part = getattr(value, field.name)
            if field.name == "cam_from_world" and isinstance(part, np.ndarray):
                check_rigid(part, "pose")
            check_sane(part)
    elif isinstance(value, Mapping):
        for part in value.values():
            check_sane(part)
    elif isinstance(value, list | tuple):
        for part in value:
            check_sane(part)
