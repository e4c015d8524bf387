"""Readers of the maps that other programs write."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lotus_recon.io.images import write_png
from tests.fuzz.reader import Reader

_DEPTH = np.linspace(1, 2, 18 * 24, dtype=np.float32).reshape(18, 24)


def _write_moge(folder: Path) -> None:
    from lotus_recon.exporting.map_files import write_exr

    (folder / "a").mkdir()
    write_exr(folder / "a/depth.exr", {"Y": _DEPTH})
    write_exr(folder / "a/normal.exr", {"R": 0 * _DEPTH, "G": 0 * _DEPTH, "B": 0 * _DEPTH + 1})
    (folder / "a/fov.json").write_text('{"fov_x": 60.0}')


def _read_moge(folder: Path) -> Any:
    from lotus_recon.models.precomputed import load_for_photo

    found = load_for_photo(folder, "a.png", 24, 18)
    return found.depth, found.normals


def _write_sensor(folder: Path) -> None:
    np.save(folder / "a.npy", _DEPTH)
    write_png(folder / "a_normals.png", np.full((18, 24, 3), (128, 128, 0), np.uint8))


def _read_sensor(folder: Path) -> Any:
    from lotus_recon.models.precomputed import load_for_photo
    from lotus_recon.models.stored_maps import Meaning

    found = load_for_photo(folder, "a.png", 24, 18, Meaning(depth_unit="m", normals_axes="opencv"))
    return found.depth, found.normals


def _write_results(folder: Path) -> None:
    np.savez_compressed(folder / "results.npz", depth=np.stack([_DEPTH, _DEPTH]))
    (folder / "names.txt").write_text("a.png\nb.png\n")


def _read_results(folder: Path) -> Any:
    from lotus_recon.models.precomputed import load_for_photo
    from lotus_recon.models.stored_maps import Meaning

    return load_for_photo(folder, "a.png", 24, 18, Meaning("SCALE_FREE")).depth


MAP_READERS: Mapping[str, Reader] = {
    "maps of MoGe": Reader(_write_moge, _read_moge),
    "maps of a sensor": Reader(_write_sensor, _read_sensor),
    "maps of Depth Anything 3": Reader(_write_results, _read_results),
}
