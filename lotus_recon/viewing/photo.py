"""What a page shows of one photo: its surface with the photo on it, its points, maps and camera."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lotus_recon.calibration.stage import FOCAL_LENGTH
from lotus_recon.geometry.camera import fit_longer_edge, pixel_index, project
from lotus_recon.io import visualization
from lotus_recon.io.images import read_rgb, resize_rgb
from lotus_recon.io.meshes import GLTF_FROM_CAM, read_mesh
from lotus_recon.io.textured_meshes import TexturedMesh
from lotus_recon.meshing.config import SurfaceConfig
from lotus_recon.meshing.depth_surface import surface_from_depth
from lotus_recon.types import Camera, DepthKind, DepthMap, Mesh, NormalMap, Scene, SparsePoints, View
from lotus_recon.viewing import shapes
from lotus_recon.viewing.content import Shown
from lotus_recon.viewing.glb import textured_glb
from lotus_recon.viewing.pictures import ViewImages
from lotus_recon.viewing.scene import NORMALS_LEGEND, depth_legend
from lotus_recon.viewing.shapes import Frame

_TEXTURE_SIDE = 2048
_TEXTURE_BYTES = 1_500_000
_COARSEST_JUMP = 0.5


@dataclass(frozen=True, eq=False)
class PhotoFiles:
    """The photo, what its stages made of it, and the folder with points.ply and mesh.ply, if there was depth."""

    name: str
    photo: Path
    folder: Path
    camera: Camera
    depth: DepthMap | None
    normals: NormalMap | None
    source: str  # where the focal length came from
    surface: SurfaceConfig
    size: int
    doubt: str = ""  # what of camera and shape was guessed


def shown_photo(files: PhotoFiles) -> Shown:
    """What a page shows. Raises InputError for files that cannot be read."""
    view = View(files.name, files.camera, np.eye(4))
    frame = Frame(np.zeros(3), GLTF_FROM_CAM)
    unit = "m" if files.depth is not None and files.depth.kind is DepthKind.METRIC else "units"
    made: dict[str, Callable[[], bytes]] = {}
    if (files.folder / "mesh.ply").is_file():
        made["mesh"] = partial(_surface_part, files, frame)
        made["cloud"] = partial(shapes.cloud_part, files.folder / "points.ply", frame, files.size)
    horizontal, vertical = files.camera.fov_deg
    guessed = ", guessed" if FOCAL_LENGTH in files.doubt else ""
    angles = f"{horizontal:.1f} x {vertical:.1f} degrees{guessed}"
    facts = {"field of view": angles, "focal length from": files.source}
    if files.doubt:
        facts["uncertain"] = files.doubt
    return Shown(
        title=files.name,
        scene=Scene((view,), SparsePoints.empty(), metric=unit == "m"),
        frame=frame,
        photos={files.name: files.photo},
        images={files.name: ViewImages(view, _maps(files, unit))},
        facts={files.name: facts},
        shapes=made,
        unit=unit,
        scale_hint="" if unit == "m" else "a single photo has no scale of its own; this holds on this page only",
    )


def _maps(files: PhotoFiles, unit: str) -> dict[str, Any]:
    maps: dict[str, Any] = {}
    if files.depth is not None:
        limits = visualization.depth_limits([files.depth])
        maps["depth"] = (partial(visualization.colorize_depth, files.depth, limits), depth_legend(limits, unit))
    if files.normals is not None:
        maps["normals"] = (partial(visualization.colorize_normals, files.normals), NORMALS_LEGEND)
    return maps


def _surface_part(files: PhotoFiles, frame: Frame) -> bytes:
    """GLB of the surface, from every so manieth pixel of the mesh, with the photo on it."""
    mesh = _coarse(read_mesh(files.folder / "mesh.ply"), files)
    rgb = read_rgb(files.photo)
    page = resize_rgb(rgb, *fit_longer_edge(rgb.shape[1], rgb.shape[0], _TEXTURE_SIDE))
    uv = project(mesh.vertices.astype(np.float64), files.camera) / np.array(files.camera.size)
    assert mesh.normals is not None  # by surface_from_depth
    one_page = np.zeros(len(mesh.triangles), np.int32)
    textured = TexturedMesh(mesh.vertices, mesh.normals, uv.astype(np.float32), mesh.triangles, one_page, (page,))
    return textured_glb(textured, None, frame.origin, _TEXTURE_BYTES)


def _coarse(mesh: Mesh, files: PhotoFiles) -> Mesh:
    """The grid of pixels that the mesh is made of, at a step that leaves as many triangles as the page may have."""
    camera, step = files.camera, 1
    while 2 * (camera.width // step) * (camera.height // step) > files.size:
        step += 1
    if step == 1:
        return mesh
    row, col = pixel_index(project(mesh.vertices.astype(np.float64), camera), camera.height, camera.width)
    depth = np.zeros((camera.height, camera.width), np.float32)
    depth[row, col] = mesh.vertices[:, 2]
    coarse = depth[step // 2 :: step, step // 2 :: step]
    height, width = coarse.shape
    centers = [(c - step // 2 - 0.5) / step + 0.5 for c in (camera.cx, camera.cy)]
    small = Camera(width, height, camera.fx / step, camera.fy / step, *centers)
    jump = min(step * files.surface.edge_jump, _COARSEST_JUMP)
    grey = np.full((height, width, 3), 128, np.uint8)
    config = replace(files.surface, edge_jump=jump)
    return surface_from_depth(DepthMap(coarse, coarse > 0, DepthKind.SCALE_FREE), grey, small, None, config)[1]
