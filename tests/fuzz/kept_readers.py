"""Readers of what earlier runs in an output folder kept for later ones, which a user or a full disk may have broken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lotus_recon.io.cameras import SourceCamera
from lotus_recon.io.maps import save_prediction
from lotus_recon.models.kept import KeptMaps, Shot
from lotus_recon.sfm.kept import MadeWith
from lotus_recon.types import Camera, DepthKind, DepthMap, Prediction
from lotus_recon.workspace import write_json

_CAMERA = Camera(8, 6, 7.0, 7.0, 4.0, 3.0)
_SHOT = Shot("photo", "no mask", SourceCamera("PINHOLE", 8, 6, (7.0, 7.0, 4.0, 3.0)), _CAMERA)


def write_kept(folder: Path) -> None:
    """What features were made with, and the maps of a photo."""
    write_json(folder / "set.json", MadeWith({1: "a", 2: "b"}, {1: "c", 2: "d"}, "e"))
    depth = DepthMap(np.full((6, 8), 0.5, np.float32), np.ones((6, 8), bool), DepthKind.AFFINE_DISPARITY)
    save_prediction(folder / "maps.npz", Prediction(depth, None))
    KeptMaps(folder, "network", exact=False).keep(_SHOT, folder / "maps.npz")


def read_kept(folder: Path) -> Any:
    """Both again; the maps for the same camera, and resampled for one that is a little longer."""
    kept = KeptMaps(folder, "network", exact=False)
    given: list[Prediction] = []
    kept.give(_SHOT, folder / "same.npz", given.append)
    longer = replace(_CAMERA, fx=7.1, fy=7.1)
    kept.give(replace(_SHOT, camera=longer), folder / "other.npz", given.append)
    return given, MadeWith.read(folder / "set.json")
