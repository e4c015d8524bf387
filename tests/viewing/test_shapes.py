"""The files inside a page: what they hold is the mesh and the cloud, at a size that a page can bear."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pygltflib
import pytest
from PIL import Image

from lotus_recon.io.meshes import PointCloud, write_ply
from lotus_recon.io.textured_meshes import TexturedMesh, write_textured_glb
from lotus_recon.types import Camera, DepthKind, DepthMap, FloatArray, Mesh
from lotus_recon.viewing.config import ViewConfig
from lotus_recon.viewing.content import content_of
from lotus_recon.viewing.glb import cloud_glb, mesh_glb, textured_glb
from lotus_recon.viewing.pictures import AtlasGrid, atlas, width_for
from lotus_recon.viewing.scene import shown_scene
from lotus_recon.viewing.shapes import Frame, mesh_part
from tests.viewing.scenes import surface, write_scene

ORIGIN = np.array([10.0, -20.0, 5.0])


def array(glb: bytes, name: str) -> FloatArray:
    """(N, C) values of an attribute, as glTF 2.0 with KHR_mesh_quantization defines them, in the axes of the scene."""
    file = pygltflib.GLTF2.load_from_bytes(glb)
    accessor = file.accessors[getattr(file.meshes[0].primitives[0].attributes, name)]
    view = file.bufferViews[accessor.bufferView]
    kind: Any = {5120: np.int8, 5121: np.uint8, 5123: np.uint16, 5126: np.float32}[accessor.componentType]
    columns = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}[accessor.type]
    data: Any = np.frombuffer(file.binary_blob(), np.uint8)[view.byteOffset : view.byteOffset + view.byteLength]
    records: Any = data.reshape(accessor.count, view.byteStride)[:, accessor.byteOffset :]
    values = np.ascontiguousarray(records[:, : columns * kind().itemsize]).view(kind)
    values = values / np.iinfo(kind).max if accessor.normalized else values
    if name != "POSITION":
        return np.asarray(values)
    node = file.nodes[0]
    return np.asarray(values * np.array(node.scale) + np.array(node.translation) + ORIGIN)


def test_a_mesh_is_where_it_was_to_16_bits() -> None:
    mesh = surface(30)
    glb = mesh_glb(mesh, ORIGIN)
    side = float(np.ptp(mesh.vertices, axis=0).max())
    assert np.abs(array(glb, "POSITION") - mesh.vertices).max() <= 0.51 * side / 65535 + 1e-6
    assert mesh.normals is not None
    assert np.abs(array(glb, "NORMAL") - mesh.normals).max() < 1 / 127
    both = array(glb, "_SRGB_CONFIDENCE")
    assert mesh.colors is not None
    assert np.array_equal(np.round(255 * both[:, :3]), mesh.colors)
    assert both[:, 3] == pytest.approx(mesh.confidence, abs=1 / 255)
    assert mesh.sigma is not None
    assert array(glb, "_SIGMA")[:, 0] == pytest.approx(np.nan_to_num(mesh.sigma), rel=1 / 256), "0 is unknown"
    assert len(glb) < 24 * len(mesh.vertices) + 12 * len(mesh.triangles) + 2000


def test_points_are_points() -> None:
    mesh = surface(10)
    file = pygltflib.GLTF2.load_from_bytes(cloud_glb(PointCloud(mesh.vertices, mesh.colors), ORIGIN))
    assert file.meshes[0].primitives[0].mode == 0
    assert file.meshes[0].primitives[0].indices is None


def textured() -> TexturedMesh:
    """Two pages of noise on two squares."""
    rng = np.random.default_rng(3)
    corners = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
    vertices = np.concatenate([corners, corners + np.array([0, 0, 2], np.float32)])
    normals = np.tile(np.array([0, 0, 1], np.float32), (8, 1))
    triangles = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]], np.int32)
    pages = tuple(rng.integers(0, 255, (256, 512, 3), np.uint8) for _ in range(2))
    return TexturedMesh(vertices, normals, np.tile(corners[:, :2], (2, 1)), triangles, np.array([0, 0, 1, 1]), pages)


def test_textures_fit_into_their_budget() -> None:
    mesh = textured()

    def pages(budget: int) -> list[Any]:
        file = pygltflib.GLTF2.load_from_bytes(textured_glb(mesh, None, ORIGIN, budget))
        views = [file.bufferViews[image.bufferView] for image in file.images]
        blob = file.binary_blob()
        return [Image.open(io.BytesIO(blob[v.byteOffset : v.byteOffset + v.byteLength])) for v in views]

    assert [page.size for page in pages(10**7)] == [(512, 256)] * 2
    small = pages(50_000)
    assert all(page.width == pytest.approx(2 * page.height, abs=2) for page in small)
    assert small[0].width < 300


def test_a_textured_mesh_has_confidence_and_sigma_of_the_nearest_vertex(tmp_path: Path) -> None:
    """As the stage texture leaves it: other vertices than those of mesh.ply, beside them."""
    rng = np.random.default_rng(0)
    page = textured()
    mesh = Mesh(
        page.vertices[::-1] + rng.normal(0, 0.05, (8, 3)).astype(np.float32),
        np.array([[0, 1, 2], [3, 4, 5], [5, 6, 7]], np.int32),
        confidence=np.linspace(1, 0, 8).astype(np.float32),
        sigma=np.array([0.8, 0.7, np.nan, 0.5, 0.4, 0.3, 0.2, 0.1], np.float32),
    )
    write_ply(tmp_path / "mesh.ply", mesh)
    write_textured_glb(tmp_path / "mesh.glb", page, "png", unlit=False)
    glb = mesh_part(tmp_path / "mesh.ply", tmp_path / "mesh.glb", Frame(ORIGIN, np.eye(3)), 100)
    nearest = [int(np.abs(mesh.vertices - place).sum(1).argmin()) for place in array(glb, "POSITION")]
    assert sorted(nearest) == list(range(8))
    assert mesh.confidence is not None
    assert mesh.sigma is not None
    assert array(glb, "_SRGB_CONFIDENCE")[:, 3] == pytest.approx(mesh.confidence[nearest], abs=1 / 255)
    assert array(glb, "_SIGMA")[:, 0] == pytest.approx(np.nan_to_num(mesh.sigma)[nearest], rel=1 / 256)


def test_many_photos_get_smaller_images_and_one_atlas(tmp_path: Path) -> None:
    view = write_scene(tmp_path).scene.views[0]
    assert width_for([view] * 4) > width_for([view] * 100) > width_for([view] * 1000) >= 120
    grid = AtlasGrid.of(1000)
    assert grid.columns * grid.rows >= 1000
    assert max(grid.columns * grid.tile[0], grid.rows * grid.tile[1]) <= 2048
    colors = [np.full((90, 120, 3), level, np.uint8) for level in (30, 120, 220)]
    three = AtlasGrid.of(3)
    sheet = np.asarray(Image.open(io.BytesIO(atlas([lambda c=c: c for c in colors], three))))  # type: ignore[misc]
    for number, color in enumerate(colors):
        x = (number % three.columns + 0.5) * three.tile[0]
        y = (number // three.columns + 0.5) * three.tile[1]
        assert sheet[int(y), int(x)] == pytest.approx(color[0, 0], abs=4)


def test_the_mesh_is_simplified_to_the_size_of_the_page(tmp_path: Path) -> None:
    files = write_scene(tmp_path)
    content = content_of(shown_scene(type(files)(**{**files.__dict__, "size": 3000})))
    mesh = pygltflib.GLTF2.load_from_bytes(content.parts["mesh"].make())
    assert 1000 < mesh.accessors[mesh.meshes[0].primitives[0].indices].count / 3 <= 3000
    cloud = pygltflib.GLTF2.load_from_bytes(content.parts["cloud"].make())
    assert cloud.accessors[0].count == 3000
    assert ViewConfig().view_size == 200_000


def test_a_photo_is_shown_at_a_coarser_grid_without_moving(tmp_path: Path) -> None:
    """A plane that is tilted: every vertex of the coarse grid lies on it, and at its place in the photo."""
    from lotus_recon.meshing.config import SurfaceConfig
    from lotus_recon.meshing.depth_surface import surface_from_depth
    from lotus_recon.viewing.photo import PhotoFiles, shown_photo

    camera = Camera(160, 120, 150.0, 140.0, 70.0, 66.0)
    rays = np.stack(np.meshgrid((np.arange(160) + 0.5 - 70) / 150, (np.arange(120) + 0.5 - 66) / 140), -1)
    depth = DepthMap((2 / (1 + 0.3 * rays[..., 0])).astype(np.float32), np.ones((120, 160), bool), DepthKind.METRIC)
    rgb = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    Image.fromarray(rgb).save(tmp_path / "photo.png")
    points, mesh = surface_from_depth(depth, rgb, camera, None, SurfaceConfig())
    write_ply(tmp_path / "mesh.ply", mesh)
    write_ply(tmp_path / "points.ply", points)
    files = PhotoFiles(
        "photo.png", tmp_path / "photo.png", tmp_path, camera, depth, None, "test", SurfaceConfig(), size=5000
    )
    assert "guessed" not in str(shown_photo(files).facts)
    for doubt, is_angle in {"shape guessed (depth range)": False, "focal length guessed": True}.items():
        angles = shown_photo(replace(files, doubt=doubt)).facts["photo.png"]["field of view"]
        assert angles == f"{camera.fov_deg[0]:.1f} x {camera.fov_deg[1]:.1f} degrees{', guessed' * is_angle}"
    glb = shown_photo(files).shapes["mesh"]()
    vertices = array(glb, "POSITION") - ORIGIN
    assert 1000 < len(vertices) < 4000
    assert np.abs(vertices[:, 2] + 0.3 * vertices[:, 0] - 2).max() < 1e-3
    pixel = vertices[:, :2] / vertices[:, 2:] * [150, 140] + [70, 66]
    assert np.abs(array(glb, "TEXCOORD_0") * [160, 120] - pixel).max() < 0.05
