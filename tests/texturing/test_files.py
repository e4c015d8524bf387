"""Textured files read by other programs: trimesh, Open3D, pygltflib, usd-core."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import open3d
import pygltflib
import pygltflib.validator
import pytest
import trimesh
from PIL import Image

from lotus_recon.errors import InputError
from lotus_recon.io.textured_meshes import (
    TexturedMesh,
    read_textured_glb,
    write_textured_glb,
    write_textured_obj,
    write_usdz,
)

o3d: Any = open3d  # its types know few of its functions
UP = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], np.float64)  # z up becomes y up


def standing(pages: int = 1) -> TexturedMesh:
    """A square that stands on the floor (z up), with a picture that is red at the top left and blue at the bottom."""
    picture = np.full((64, 64, 3), (0, 0, 255), np.uint8)
    picture[:32], picture[:32, :32] = (0, 255, 0), (255, 0, 0)
    corners = np.array([[0, 0, 0], [1, 0, 0], [1, 0, 1], [0, 0, 1]], np.float32)
    uv = np.array([[0, 1], [1, 1], [1, 0], [0, 0]], np.float32)
    normals = np.tile(np.array([0, -1, 0], np.float32), (4, 1))
    triangles = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    page = np.array([0, pages - 1], np.int32)
    return TexturedMesh(corners, normals, uv, triangles, page, tuple([picture] * pages))


def color_at(mesh: Any, picture: Image.Image, point: list[float]) -> np.ndarray:
    """What a viewer shows at a point of the square."""
    corners = mesh.vertices[mesh.faces]
    bary = trimesh.triangles.points_to_barycentric(corners, np.tile(point, (len(corners), 1)))
    face = int(bary.min(1).argmax())
    u, v = bary[face] @ mesh.visual.uv[mesh.faces[face]]
    width, height = picture.size  # trimesh has the origin of coordinates at the bottom
    return np.asarray(picture.convert("RGB"))[int((1 - v) * (height - 1)), int(u * (width - 1))]


@pytest.mark.parametrize("form", ["jpeg", "png"])
def test_glb_stands_upright_with_its_colours_in_trimesh(tmp_path: Path, form: str) -> None:
    write_textured_glb(tmp_path / "a.glb", standing().turned(UP), form, unlit=False)  # type: ignore[arg-type]
    mesh: Any = trimesh.load(tmp_path / "a.glb", force="mesh", process=False)
    picture = mesh.visual.material.baseColorTexture
    np.testing.assert_allclose(mesh.bounds, [[0, 0, 0], [1, 1, 0]], atol=1e-6)
    for point, color in (([0.2, 0.8, 0], (255, 0, 0)), ([0.8, 0.8, 0], (0, 255, 0)), ([0.5, 0.2, 0], (0, 0, 255))):
        np.testing.assert_allclose(color_at(mesh, picture, point).astype(int), color, atol=2)


@pytest.mark.parametrize("unlit", [False, True])
def test_glb_follows_the_rules_of_the_format(tmp_path: Path, unlit: bool) -> None:
    write_textured_glb(tmp_path / "a.glb", standing(pages=2), "jpeg", unlit)
    gltf = pygltflib.GLTF2().load(str(tmp_path / "a.glb"))
    assert pygltflib.validator.validate(gltf) == []
    assert len(gltf.meshes[0].primitives) == len(gltf.materials) == len(gltf.images) == 2
    material = gltf.materials[0]
    assert material.pbrMetallicRoughness.metallicFactor == 0
    assert material.pbrMetallicRoughness.roughnessFactor == 1
    assert ("KHR_materials_unlit" in material.extensions) == ("KHR_materials_unlit" in gltf.extensionsUsed) == unlit
    blob = gltf.binary_blob()
    for accessor in gltf.accessors:
        view = gltf.bufferViews[accessor.bufferView]
        assert view.byteOffset % 4 == 0
        assert view.byteOffset + view.byteLength <= len(blob)
    view = gltf.bufferViews[gltf.images[0].bufferView]
    picture = Image.open(io.BytesIO(blob[view.byteOffset : view.byteOffset + view.byteLength]))
    assert (picture.format, picture.size) == ("JPEG", (64, 64))


def test_glb_is_read_as_it_was_written(tmp_path: Path) -> None:
    mesh = standing(pages=2)
    write_textured_glb(tmp_path / "a.glb", mesh, "png", unlit=False)
    read = read_textured_glb(tmp_path / "a.glb")
    for name in ("vertices", "normals", "uv", "triangles", "page"):
        np.testing.assert_array_equal(getattr(read, name), getattr(mesh, name))
    np.testing.assert_array_equal(read.pages, mesh.pages)
    for damaged in (b"", b"no mesh", (tmp_path / "a.glb").read_bytes()[:400], (tmp_path / "a.glb").read_bytes()[:-40]):
        (tmp_path / "b.glb").write_bytes(damaged)
        with pytest.raises(InputError, match=r"b.glb is not a textured mesh of this program: "):
            read_textured_glb(tmp_path / "b.glb")


def test_obj_has_its_picture_the_right_way_up_in_trimesh_and_open3d(tmp_path: Path) -> None:
    write_textured_obj(tmp_path / "a.obj", standing().turned(UP))
    mesh: Any = trimesh.load(tmp_path / "a.obj", process=False)
    picture = mesh.visual.material.image
    for point, color in (([0.2, 0.8, 0], (255, 0, 0)), ([0.8, 0.8, 0], (0, 255, 0)), ([0.5, 0.2, 0], (0, 0, 255))):
        np.testing.assert_array_equal(color_at(mesh, picture, point), color)
    model = o3d.io.read_triangle_mesh(str(tmp_path / "a.obj"), enable_post_processing=True)
    assert len(model.triangles) == 2
    np.testing.assert_array_equal(np.asarray(model.textures[-1])[-1, 0], (255, 0, 0))  # bottom row first
    uv = np.asarray(model.triangle_uvs)[:3]
    np.testing.assert_allclose(uv, [[0, 0], [1, 0], [1, 1]], atol=1e-6)


def test_glb_in_open3d(tmp_path: Path) -> None:
    write_textured_glb(tmp_path / "a.glb", standing().turned(UP), "png", unlit=False)
    model = o3d.io.read_triangle_model(str(tmp_path / "a.glb"))
    np.testing.assert_array_equal(np.asarray(model.materials[0].albedo_img)[0, 0, :3], (255, 0, 0))
    np.testing.assert_allclose(model.meshes[0].mesh.get_max_bound(), [1, 1, 0])


def test_obj_of_several_pages_names_them_all(tmp_path: Path) -> None:
    write_textured_obj(tmp_path / "a.obj", standing(pages=2))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mtl", "a.obj", "a.png", "a_2.png"]
    assert (tmp_path / "a.obj").read_text().count("usemtl") == (tmp_path / "a.mtl").read_text().count("map_Kd") == 2


def test_usdz_has_the_mesh_y_up_and_a_picture_for_each_page(tmp_path: Path) -> None:
    usd = pytest.importorskip("pxr.Usd")
    from pxr import UsdGeom

    write_usdz(tmp_path / "a.usdz", standing(pages=2).turned(UP), "png")
    stage = usd.Stage.Open(str(tmp_path / "a.usdz"))
    assert UsdGeom.GetStageUpAxis(stage) == "Y"
    shape = UsdGeom.Mesh(stage.GetPrimAtPath("/Root/Mesh"))
    np.testing.assert_allclose(shape.GetPointsAttr().Get(), standing().turned(UP).vertices)
    uv = np.array(UsdGeom.PrimvarsAPI(shape).GetPrimvar("st").Get())
    np.testing.assert_allclose(uv, [[0, 0], [1, 0], [1, 1], [0, 1]])
    pictures = [p.GetAttribute("inputs:file").Get() for p in stage.Traverse() if p.GetName() == "Picture"]
    assert [Path(asset.path).name for asset in pictures] == ["page0.png", "page1.png"]
    assert len(UsdGeom.Subset.GetAllGeomSubsets(shape)) == 2


def test_a_mesh_that_makes_no_sense_is_refused() -> None:
    good = standing()
    with pytest.raises(InputError, match="needs triangles and a page"):
        TexturedMesh(good.vertices, good.normals, good.uv, good.triangles, good.page, ())
    with pytest.raises(InputError, match=r"uv have shape \(3, 2\); allowed: \(4, 2\)"):
        TexturedMesh(good.vertices, good.normals, good.uv[:3], good.triangles, good.page, good.pages)
    with pytest.raises(InputError, match="a page that does not exist"):
        TexturedMesh(good.vertices, good.normals, good.uv, good.triangles, good.page + 1, good.pages)
    with pytest.raises(InputError, match="rotation of a mesh"):
        good.turned(2 * np.eye(3))
