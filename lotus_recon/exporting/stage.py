"""The stage ``export``: the scene in the formats of other tools, all of them in one pass over the maps."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lotus_recon.errors import InputError
from lotus_recon.exporting.scene import ExportScene
from lotus_recon.exporting.targets import load_target
from lotus_recon.exporting.targets.base import Target
from lotus_recon.progress import track
from lotus_recon.workspace import write_json

log = logging.getLogger(__name__)

REPORT = "export.json"


@dataclass(frozen=True)
class ExportResult:
    """The folder with one sub-folder per target, and what export.json says."""

    folder: Path
    report: dict[str, Any]

    @classmethod
    def load(cls, folder: Path) -> ExportResult:
        """The result of an earlier run. Raises InputError when export.json is missing or broken."""
        path = folder / REPORT
        try:
            return cls(folder, json.loads(path.read_text()))
        except (OSError, json.JSONDecodeError) as error:
            raise InputError(f"{path} is not a readable result of the export: {error}") from None


def run(scene: ExportScene, names: Sequence[str], out_dir: Path) -> ExportResult:
    """Write ``<target>/`` for each name of a target, with a README.json on what its numbers mean, and export.json.

    Raises InputError for files that cannot be read.
    """
    targets = {name: load_target(name) for name in names}
    for name in names:
        (out_dir / name).mkdir()
    writers = {name: target.begin(scene, out_dir / name) for name, target in targets.items()}
    photos: dict[str, dict[str, str]] = {name: {} for name in names}  # of each target, original name -> path
    written = scene.each_view(lambda view: {name: writer.add(view) for name, writer in writers.items()})
    for original, paths in zip(scene.names, track(written, "export views", len(scene.names)), strict=True):
        for name, path in paths.items():
            photos[name][original] = path
    for name, target in targets.items():
        writers[name].finish()
        write_json(out_dir / name / "README.json", _sidecar(target, scene, photos[name]))
    if scene.without_depth:
        log.warning("%d views have no depth, and are exported without: %s", *_some(scene.without_depth))
    report = {"targets": names, "unit": scene.unit, "views": scene.names, "views_without_depth": scene.without_depth}
    write_json(out_dir / REPORT, report)
    return ExportResult.load(out_dir)


def _sidecar(target: Target, scene: ExportScene, photos: Mapping[str, str]) -> dict[str, Any]:
    return {"for": target.tool, "unit_of_poses": scene.unit, "depth": target.kind, "photos": photos}


def _some(names: Sequence[str]) -> tuple[int, str]:
    return len(names), ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
