"""The fusion stage: aligned depth maps in, one mesh in the frame of the poses out."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lotus_recon.config import Runtime
from lotus_recon.errors import InputError
from lotus_recon.fusion.backends import get_backend
from lotus_recon.fusion.config import FusionConfig
from lotus_recon.fusion.memory import resident_bytes
from lotus_recon.fusion.views import FusionViews
from lotus_recon.geometry.triangles import canonical, triangle_area_vectors, vertex_normals
from lotus_recon.io.meshes import write_ply
from lotus_recon.measuring import peak_memory_mb
from lotus_recon.types import Scene
from lotus_recon.workspace import write_json

MESH_FILE, FIGURES_FILE = "mesh.ply", "fusion.json"


@dataclass(frozen=True, eq=False)
class Inputs:
    """What fusion reads. ``depth_dir`` holds ``<stem>.npz``: depth, depth_valid, meta (kind), maybe confidence."""

    scene: Scene
    depth_dir: Path
    images_dir: Path
    runtime: Runtime = field(default_factory=Runtime)
    backend_options: Any = None  # of the type that the back-end names; None: its defaults
    sigma_dir: Path | None = None  # of the uncertainty stage


@dataclass(frozen=True)
class FusionResult:
    """The mesh as it was fused, and the figures of its making (lengths in units of the scene, see fusion.json)."""

    mesh_path: Path
    figures: dict[str, Any]

    @property
    def pixel_footprint(self) -> float:
        """Median width of a pixel on the surface, in units of the scene."""
        return float(self.figures["pixel_footprint"])

    @classmethod
    def load(cls, out_dir: Path) -> FusionResult:
        """The result in a folder. Raises InputError when it is not there."""
        path = out_dir / FIGURES_FILE
        try:
            figures = json.loads(path.read_text())
        except (OSError, json.JSONDecodeError) as error:
            raise InputError(f"{path} is not a readable result of fusion: {error}") from None
        return cls(out_dir / MESH_FILE, figures)


def run(inputs: Inputs, config: FusionConfig, out_dir: Path) -> FusionResult:
    """Fuse and write mesh.ply, in canonical order and with vertex normals, and fusion.json.

    Raises FusionError for maps that are not aligned, too little memory or an empty volume; InputError for files that
    cannot be read.
    """
    backend = get_backend(config.fusion)
    import open3d  # noqa: F401  so that its size does not count as memory that fusion takes

    resident_before = resident_bytes()
    least = config.advanced.min_fused_confidence
    views = FusionViews(inputs.scene, inputs.depth_dir, inputs.images_dir, least, inputs.sigma_dir)
    options = inputs.backend_options or (backend.group and backend.group[1]())
    raw, figures = backend.fuse(views, config, options, inputs.runtime)
    started = time.monotonic()
    mesh = canonical(raw)
    area_vectors = triangle_area_vectors(mesh)
    write_ply(out_dir / MESH_FILE, replace(mesh, normals=vertex_normals(mesh, area_vectors)))
    figures["seconds"]["writing"] = time.monotonic() - started
    if resident_before is not None:
        figures["measured_memory_mb"] = peak_memory_mb() - resident_before / 2**20
    counts = {"vertices": len(mesh.vertices), "triangles": len(mesh.triangles)}
    write_json(out_dir / FIGURES_FILE, figures | counts)
    return FusionResult.load(out_dir)
