"""The fusion stage: aligned depth maps in, one cleaned mesh in the frame of the poses out."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon.config import Runtime
from lotus_recon.errors import InputError
from lotus_recon.fusion.config import FusionConfig
from lotus_recon.fusion.memory import resident_bytes
from lotus_recon.fusion.registry import get_backend
from lotus_recon.fusion.views import FusionViews
from lotus_recon.geometry.gravity import estimate_up
from lotus_recon.io.meshes import GLTF_FROM_CAM, gltf_from_up, write_glb, write_ply
from lotus_recon.meshing.cleaning import Cleaned, clean_mesh
from lotus_recon.meshing.config import MeshConfig
from lotus_recon.meshing.normal_guided import bent, read_view_normals
from lotus_recon.types import Mesh, Scene, View
from lotus_recon.workspace import peak_memory_mb, write_json

_SNAP_DEG = 5.0
MESH_FILE, GLB_FILE, FIGURES_FILE = "mesh.ply", "mesh.glb", "fusion.json"


@dataclass(frozen=True, eq=False)
class Inputs:
    """What fusion reads. ``depth_dir`` holds ``<stem>.npz``: depth, depth_valid, meta (kind), maybe confidence."""

    scene: Scene
    depth_dir: Path
    images_dir: Path
    runtime: Runtime = field(default_factory=Runtime)
    bending: Bending | None = None  # None: the mesh stays as it was fused
    mesh: MeshConfig = field(default_factory=MeshConfig)


@dataclass(frozen=True)
class Bending:
    """What a mesh is bent to: normals of ``<stem>.npz``, for shapes up to ``reach`` times the longer side of a map."""

    prediction_dir: Path
    reach: float


@dataclass(frozen=True)
class FusionResult:
    """The mesh files and the figures of their making (lengths in units of the scene, see fusion.json)."""

    mesh_path: Path
    glb_path: Path
    figures: dict[str, Any]

    @classmethod
    def load(cls, out_dir: Path) -> FusionResult:
        """The result in a folder. Raises InputError when it is not there."""
        path = out_dir / FIGURES_FILE
        try:
            figures = json.loads(path.read_text())
        except (OSError, json.JSONDecodeError) as error:
            raise InputError(f"{path} is not a readable result of fusion: {error}") from None
        return cls(out_dir / MESH_FILE, out_dir / GLB_FILE, figures)


def run(inputs: Inputs, config: FusionConfig, out_dir: Path) -> FusionResult:
    """Fuse, clean and write mesh.ply, mesh.glb (y up) and fusion.json.

    Raises FusionError for maps that are not aligned, too little memory or an empty volume; InputError for files that
    cannot be read.
    """
    check_config(config)
    fuse = get_backend(config.fusion)
    resident_before = resident_bytes()  # with the libraries of the backend loaded
    views = FusionViews(inputs.scene, inputs.depth_dir, inputs.images_dir, config.advanced.min_fused_confidence)
    raw, figures = fuse(views, config, inputs.runtime)
    started = time.monotonic()
    cleaned = clean_mesh(raw, inputs.mesh.min_island_ratio, inputs.mesh.max_triangles)
    figures["seconds"]["cleaning"] = time.monotonic() - started
    if inputs.bending is not None:
        started = time.monotonic()
        cleaned = replace(cleaned, mesh=_bent(cleaned.mesh, inputs, inputs.bending, figures["pixel_footprint"]))
        figures["seconds"]["bending"] = time.monotonic() - started
    started = time.monotonic()
    write_ply(out_dir / MESH_FILE, cleaned.mesh)
    write_glb(out_dir / GLB_FILE, cleaned.mesh, gltf_from_views(inputs.scene.views))
    figures["seconds"]["writing"] = time.monotonic() - started
    if resident_before is not None:
        figures["measured_memory_mb"] = peak_memory_mb() - resident_before / 2**20
    write_json(out_dir / FIGURES_FILE, figures | _mesh_figures(cleaned))
    return FusionResult.load(out_dir)


def _bent(mesh: Mesh, inputs: Inputs, bending: Bending, footprint: float) -> Mesh:
    views = inputs.scene.views
    longer_side_px = float(np.median([max(view.camera.size) for view in views]))
    said = read_view_normals(views, inputs.depth_dir, bending.prediction_dir)
    return bent(mesh, said, bending.reach * longer_side_px * footprint)


def check_config(config: FusionConfig) -> None:
    """Raise InputError for an option that is out of its range; cheap, so that it can be asked before any work."""
    get_range = {
        "voxel_size": (config.voxel_size, 0, np.inf),
        "voxel_footprints": (config.voxel_footprints, 0, np.inf),
        "truncation_voxels": (config.advanced.truncation_voxels, 1, np.inf),
        "max_depth_ratio": (config.max_depth_ratio, 0, np.inf),
        "memory_gb": (config.memory_gb, 0, np.inf),
        "min_fused_confidence": (config.advanced.min_fused_confidence, -1e-9, 1),
        "min_fused_weight": (config.advanced.min_fused_weight, -1e-9, np.inf),
    }
    for name, (value, above, below) in get_range.items():
        if value is not None and not above < value < below:
            raise InputError(
                f"--{name.replace('_', '-')} is {value}; allowed: above {max(above, 0):g} and below {below:g}"
            )


def gltf_from_views(views: tuple[View, ...]) -> NDArray[np.float64]:
    """(3, 3) rotation from world axes to glTF's: up, estimated from the cameras, becomes y, the mean back of them z.

    An estimate within 5 degrees of an axis of the world means that axis: given poses, and --gravity, have z up.
    """
    up = estimate_up([view.cam_from_world for view in views])
    axis = np.sign(up) * (np.abs(up) == np.abs(up).max())
    if up @ axis > np.cos(np.radians(_SNAP_DEG)):
        up = axis
    try:
        return gltf_from_up(up, -np.mean([view.cam_from_world[2, :3] for view in views], axis=0))
    except InputError:  # cameras that look every way, or straight up or down, define no front: stand as the first
        return GLTF_FROM_CAM @ views[0].cam_from_world[:3, :3]


def _mesh_figures(cleaned: Cleaned) -> dict[str, Any]:
    vertices = cleaned.mesh.vertices
    return {
        "vertices": len(vertices),
        "triangles": len(cleaned.mesh.triangles),
        "area": cleaned.area,
        "pieces": cleaned.islands_left,
        "pieces_removed": cleaned.islands_removed,
        "bounding_box": [vertices.min(0).tolist(), vertices.max(0).tolist()],
    }
