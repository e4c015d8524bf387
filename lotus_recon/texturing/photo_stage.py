"""Stage ``texture`` of a single photo: the photo itself is the texture, and its projection the chart."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lotus_recon.geometry.camera import fit_longer_edge, project
from lotus_recon.io.images import read_rgb, resize_rgb
from lotus_recon.io.meshes import GLTF_FROM_CAM, read_mesh
from lotus_recon.io.textured_meshes import TexturedMesh, write_textured_glb, write_textured_obj
from lotus_recon.texturing.config import PhotoTextureConfig
from lotus_recon.texturing.preparing import prepared
from lotus_recon.texturing.stage import LARGEST_PAGE
from lotus_recon.types import Camera

GLB_FILE, OBJ_FILE = "textured.glb", "textured.obj"


@dataclass(frozen=True)
class Inputs:
    """The photo, its mesh in camera axes (no file where there is no depth), and the camera of its maps."""

    photo: Path
    mesh: Path
    camera: Camera


def run(inputs: Inputs, config: PhotoTextureConfig, out_dir: Path) -> None:
    """Write textured.glb and textured.obj (y up), with all the pixels of the photo; nothing without a mesh.

    Raises InputError for files that cannot be read.
    """
    if not inputs.mesh.is_file():
        return
    mesh = prepared(read_mesh(inputs.mesh), config.texture_faces)
    rgb = read_rgb(inputs.photo)
    size = fit_longer_edge(rgb.shape[1], rgb.shape[0], config.texture_size or LARGEST_PAGE)
    uv = project(mesh.vertices.astype(np.float64), inputs.camera) / np.array(inputs.camera.size)
    page = np.zeros(len(mesh.triangles), np.int32)
    assert mesh.normals is not None  # by prepared
    textured = TexturedMesh(
        mesh.vertices, mesh.normals, uv.astype(np.float32), mesh.triangles, page, (resize_rgb(rgb, *size),)
    ).turned(GLTF_FROM_CAM)
    write_textured_glb(out_dir / GLB_FILE, textured, config.texture_format, config.unlit)
    write_textured_obj(out_dir / OBJ_FILE, textured)
