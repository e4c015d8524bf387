"""The mesh stage: the fused surface in; a cleaned, simplified mesh out, which follows the predicted normals."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.geometry.gravity import estimate_up
from lotus_recon.io.meshes import GLTF_FROM_CAM, gltf_from_up, read_mesh, write_glb, write_ply
from lotus_recon.io.scene_maps import SceneMaps
from lotus_recon.meshing.cleaning import Cleaned, clean_mesh
from lotus_recon.meshing.config import MeshConfig
from lotus_recon.meshing.normal_guided import follow_normals, read_view_normals
from lotus_recon.meshing.ray_casting import blocked_ratio
from lotus_recon.meshing.vertex_sigma import vertex_sigma
from lotus_recon.types import Mesh, Scene, View
from lotus_recon.workspace import write_json

log = logging.getLogger(__name__)

_SNAP_DEG = 5.0
_BLOCKED = 0.02  # share of the rays to confident depth that the mesh blocks, from which a warning says so
MESH_FILE, GLB_FILE, FIGURES_FILE = "mesh.ply", "mesh.glb", "mesh.json"


@dataclass(frozen=True)
class NormalGuide:
    """Normals that the mesh is to follow: ``<stem>.npz`` in ``prediction_dir``, valid where ``depth_dir`` has depth.

    ``scale`` is the length up to which shapes come from the normals, in units of the scene.
    """

    prediction_dir: Path
    depth_dir: Path
    scale: float


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the stage reads. ``fused`` is the mesh file of fusion, ``depth_dir`` holds the maps that were fused."""

    scene: Scene
    fused: Path
    depth_dir: Path
    guide: NormalGuide | None = None  # None: vertices stay where fusion put them
    sigma_dir: Path | None = None  # ``sigma`` of these maps, where it is known
    truncation: float = 0.0  # how far from a map fusion may put the surface, in units of the scene


@dataclass(frozen=True)
class MeshResult:
    """The mesh files and their figures (areas and lengths in units of the scene, see mesh.json)."""

    mesh_path: Path
    glb_path: Path
    figures: dict[str, Any]

    @classmethod
    def load(cls, out_dir: Path) -> MeshResult:
        """The result in a folder. Raises InputError when it is not there."""
        path = out_dir / FIGURES_FILE
        try:
            figures = json.loads(path.read_text())
        except (OSError, json.JSONDecodeError) as error:
            raise InputError(f"{path} is not a readable result of the mesh stage: {error}") from None
        return cls(out_dir / MESH_FILE, out_dir / GLB_FILE, figures)


def run(inputs: Inputs, config: MeshConfig, out_dir: Path) -> MeshResult:
    """Write mesh.ply (in the frame of the poses), mesh.glb (y up) and mesh.json.

    Raises InputError for files that cannot be read.
    """
    started = time.monotonic()
    cleaned = clean_mesh(read_mesh(inputs.fused), config)
    seconds = {"cleaning": time.monotonic() - started}
    mesh = cleaned.mesh
    if inputs.guide is not None:
        started = time.monotonic()
        guide = inputs.guide
        normals = read_view_normals(inputs.scene.views, guide.depth_dir, guide.prediction_dir)
        mesh = follow_normals(mesh, normals, guide.scale)
        seconds["normal-guided refinement"] = time.monotonic() - started
    if inputs.sigma_dir is not None:
        started = time.monotonic()
        depths, sigmas = SceneMaps(inputs.depth_dir, ("depth",)), SceneMaps(inputs.sigma_dir, ("sigma",))
        sigma = vertex_sigma(mesh.vertices, inputs.scene.views, depths, sigmas, inputs.truncation)
        mesh = replace(mesh, sigma=sigma)
        seconds["error of vertices"] = time.monotonic() - started
    started = time.monotonic()
    write_ply(out_dir / MESH_FILE, mesh)
    write_glb(out_dir / GLB_FILE, mesh, gltf_from_views(inputs.scene.views))
    seconds["writing"] = time.monotonic() - started
    blocked = blocked_ratio(mesh, inputs.scene.views, SceneMaps(inputs.depth_dir, ("depth", "confidence")))
    if blocked > _BLOCKED:
        log.warning(
            "the mesh hides %.1f %% of what photos surely show: --min-confidence 0.5 leaves out the surface that was "
            "filled in, --background drop that of plain backgrounds",
            100 * blocked,
        )
    figures = _figures(replace(cleaned, mesh=mesh)) | {"blocked_ratio": blocked, "seconds": seconds}
    write_json(out_dir / FIGURES_FILE, figures)
    return MeshResult.load(out_dir)


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


def _figures(cleaned: Cleaned) -> dict[str, Any]:
    mesh: Mesh = cleaned.mesh
    return {
        "vertices": len(mesh.vertices),
        "triangles": len(mesh.triangles),
        "area": cleaned.area,
        "seen_ratio": cleaned.seen_ratio,
        "pieces": cleaned.islands_left,
        "pieces_removed": cleaned.islands_removed,
        "bounding_box": [mesh.vertices.min(0).tolist(), mesh.vertices.max(0).tolist()],
    }
