"""Meshes and point clouds: round trips, axes, broken files."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import open3d
import pytest
import trimesh
from plyfile import PlyData, PlyElement

from lotus_recon.errors import InputError
from lotus_recon.io.meshes import PointCloud, gltf_from_up, read_mesh, read_points, write_glb, write_ply
from lotus_recon.types import Mesh

RNG = np.random.default_rng(0)


def some_mesh(n: int = 50) -> Mesh:
    normals = RNG.normal(size=(n, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return Mesh(
        RNG.normal(size=(n, 3)).astype(np.float32),
        RNG.integers(0, n, (80, 3)).astype(np.int32),
        RNG.integers(0, 256, (n, 3)).astype(np.uint8),
        normals.astype(np.float32),
        RNG.random(n).astype(np.float32),
        np.where(np.arange(n) % 7, RNG.random(n), np.nan).astype(np.float32),
    )


def test_mesh_comes_back_from_ply(tmp_path: Path) -> None:
    mesh = some_mesh()
    write_ply(tmp_path / "m.ply", mesh)
    back = read_mesh(tmp_path / "m.ply")
    for name in ("vertices", "triangles", "colors", "normals", "confidence", "sigma"):
        np.testing.assert_array_equal(getattr(back, name), getattr(mesh, name))
    assert [path.name for path in tmp_path.iterdir()] == ["m.ply"]


def test_mesh_with_its_places_only_comes_back_so(tmp_path: Path) -> None:
    mesh = some_mesh()
    write_ply(tmp_path / "m.ply", Mesh(mesh.vertices, mesh.triangles))
    back = read_mesh(tmp_path / "m.ply")
    assert back.colors is None
    assert back.normals is None
    assert back.confidence is None
    assert back.sigma is None


@pytest.mark.parametrize("name", ["confidence", "sigma"])
def test_confidence_and_sigma_are_properties_that_other_programs_read(tmp_path: Path, name: str) -> None:
    mesh, path = some_mesh(), tmp_path / "m.ply"
    values = getattr(mesh, name)
    write_ply(path, replace(Mesh(mesh.vertices, mesh.triangles), **{name: values}))
    np.testing.assert_array_equal(PlyData.read(str(path))["vertex"][name], values)
    other: Any = trimesh.load(path, process=False)
    np.testing.assert_array_equal(other.metadata["_ply_raw"]["vertex"]["data"][name], values)
    of_open3d = open3d.t.io.read_point_cloud(path)  # its reader of meshes leaves out what it does not know
    np.testing.assert_array_equal(of_open3d.point[name].numpy().ravel(), values)
    assert len(open3d.t.io.read_triangle_mesh(str(path)).triangle.indices) == len(mesh.triangles)
    np.testing.assert_array_equal(getattr(read_mesh(path), name), values)


def test_another_library_reads_the_ply_alike(tmp_path: Path) -> None:
    mesh = some_mesh()
    write_ply(tmp_path / "m.ply", mesh)
    other: Any = trimesh.load(tmp_path / "m.ply", process=False)
    np.testing.assert_array_equal(other.vertices, mesh.vertices)
    np.testing.assert_array_equal(other.faces, mesh.triangles)
    np.testing.assert_array_equal(other.visual.vertex_colors[:, :3], mesh.colors)


@pytest.mark.parametrize("whole", [True, False])
def test_points_come_back_from_ply(tmp_path: Path, whole: bool) -> None:
    mesh = some_mesh()
    cloud = PointCloud(mesh.vertices, mesh.colors, mesh.normals) if whole else PointCloud(mesh.vertices)
    write_ply(tmp_path / "p.ply", cloud)
    back = read_points(tmp_path / "p.ply")
    np.testing.assert_array_equal(back.points, cloud.points)
    for name in ("colors", "normals"):
        if whole:
            np.testing.assert_array_equal(getattr(back, name), getattr(cloud, name))
        else:
            assert getattr(back, name) is None


def test_the_same_mesh_gives_the_same_bytes(tmp_path: Path) -> None:
    mesh = some_mesh()
    for suffix, write in ((".ply", write_ply), (".glb", write_glb)):
        for name in ("a", "b"):
            write(tmp_path / (name + suffix), mesh)
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_text_ply_is_read(tmp_path: Path) -> None:
    header = "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
    faces = "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    (tmp_path / "m.ply").write_text(header + faces + "0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n")
    expected = [[0, 0, 0], [1, 0, 0], [0, 1, 0]]
    np.testing.assert_array_equal(read_mesh(tmp_path / "m.ply").vertices, expected)
    np.testing.assert_array_equal(read_points(tmp_path / "m.ply").points, expected)


@pytest.mark.parametrize("faces", [[[0, 1, 2]], [[0, 1, 2, 3]], [[0, 1, 2], [0, 1, 2, 3]]])
@pytest.mark.parametrize("kind", ["f4", "i4", "u1"])
def test_points_of_any_mesh_are_read(tmp_path: Path, faces: list[list[int]], kind: str) -> None:
    """Written by another library: polygons, and colours as floats from 0 to 1 or as integers."""
    colors = np.array([[255, 0, 51]] * 4)
    vertices = np.zeros(4, [(n, "f8") for n in "xyz"] + [(n, kind) for n in ("red", "green", "blue")])
    vertices["x"] = [1, 2, 3, 4]
    for i, name in enumerate(("red", "green", "blue")):
        vertices[name] = colors[:, i] / (255 if kind == "f4" else 1)
    polygons = np.empty(len(faces), [("vertex_index", object)])
    polygons["vertex_index"] = [np.array(face, "i4") for face in faces]
    elements = [PlyElement.describe(vertices, "vertex"), PlyElement.describe(polygons, "face")]
    PlyData(elements).write(str(tmp_path / "p.ply"))
    back = read_points(tmp_path / "p.ply")
    np.testing.assert_array_equal(back.points, [[1, 0, 0], [2, 0, 0], [3, 0, 0], [4, 0, 0]])
    np.testing.assert_array_equal(back.colors, colors)
    assert back.normals is None


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_truncated_files_are_refused(tmp_path: Path, keep: float) -> None:
    mesh, path = some_mesh(), tmp_path / "m.ply"
    for shape, read in ((mesh, read_mesh), (PointCloud(mesh.vertices, mesh.colors), read_points)):
        write_ply(path, shape)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(keep * len(whole))])
        with pytest.raises(InputError, match=r"m\.ply"):
            read(path)


def damaged(whole: bytes, rng: np.random.Generator) -> bytes:
    """``whole`` cut, or with some bytes changed."""
    data = bytearray(whole)
    if rng.random() < 0.4:
        return bytes(data[: rng.integers(0, len(data))])
    for _ in range(rng.integers(1, 8)):
        data[rng.integers(0, len(data))] = rng.integers(0, 256)
    return bytes(data)


def test_a_damaged_ply_never_ends_the_process_and_never_gives_a_wrong_mesh(tmp_path: Path) -> None:
    """Of 300 damaged files, Open3D's reader crashed at 13."""
    mesh, path, rng = some_mesh(), tmp_path / "m.ply", np.random.default_rng(5)
    write_ply(path, mesh)
    whole = path.read_bytes()
    refused = 0
    for _ in range(300):
        path.write_bytes(damaged(whole, rng))
        try:
            read = read_mesh(path)
        except InputError:
            refused += 1
            continue
        assert np.isfinite(read.vertices).all()
        assert read.triangles.min() >= 0
        assert read.triangles.max() < len(read.vertices)
    assert refused > 100


@pytest.mark.parametrize(
    ("counts", "size"), [("element vertex 3000000000000", "vertex"), ("element face 9000000000000000000", "face")]
)
@pytest.mark.parametrize("kind", ["ascii", "binary_little_endian"])
def test_a_header_that_counts_more_than_there_is_takes_no_memory(
    tmp_path: Path, counts: str, size: str, kind: str
) -> None:
    properties = {"vertex": "property float x\nproperty float y\nproperty float z", "face": "property list uchar int v"}
    head = f"ply\nformat {kind} 1.0\n{counts}\n{properties[size]}\nend_header\n"
    (tmp_path / "m.ply").write_bytes(head.encode() + b"0 0 0\n" * 20)
    with pytest.raises(InputError, match="counts more than"):
        read_mesh(tmp_path / "m.ply")


@pytest.mark.parametrize("suffix", [".obj", ".stl", ".glb"])
def test_half_a_file_of_another_format_is_refused(tmp_path: Path, suffix: str) -> None:
    """Read in a process of its own; whole files come back as they are."""
    path, mesh = tmp_path / f"m{suffix}", some_mesh()
    trimesh.Trimesh(mesh.vertices, mesh.triangles, process=False).export(path)
    back = read_mesh(path)
    corners = np.sort(mesh.vertices[mesh.triangles].sum(1)[:, 0])
    np.testing.assert_allclose(np.sort(back.vertices[back.triangles].sum(1)[:, 0]), corners, atol=1e-4)
    whole = path.read_bytes()
    for share in (0.05, 0.5):
        path.write_bytes(whole[: int(share * len(whole))])
        if suffix == ".obj" and share == 0.5:
            continue  # whole lines of text: vertices without faces, or fewer faces
        with pytest.raises(InputError, match=rf"m\{suffix}"):
            read_mesh(path)


@pytest.mark.parametrize("wrong", [[0, 1, 3], [-1, 0, 1]])
def test_triangles_of_vertices_that_do_not_exist_are_refused(tmp_path: Path, wrong: list[int]) -> None:
    header = "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
    faces = "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    path = tmp_path / "m.ply"
    path.write_text(header + faces + f"0 0 0\n1 0 0\n0 1 0\n3 {' '.join(map(str, wrong))}\n")
    with pytest.raises(InputError, match=r"m\.ply.*does not exist"):
        read_mesh(path)
    path.write_text(header + faces + "0 0 0\nnan 0 0\n0 1 0\n3 0 1 2\n")
    for read in (read_mesh, read_points):
        with pytest.raises(InputError, match=r"m\.ply.*not finite"):
            read(path)


def test_polygons_become_fans_in_their_order(tmp_path: Path) -> None:
    header = "ply\nformat ascii 1.0\nelement vertex 5\nproperty float x\nproperty float y\nproperty float z\n"
    faces = "element face 3\nproperty list uchar int vertex_indices\nend_header\n"
    rows = "0 0 0\n1 0 0\n1 1 0\n0 1 0\n0 2 0\n4 0 1 2 3\n3 2 3 4\n5 0 1 2 4 3\n"
    (tmp_path / "m.ply").write_text(header + faces + rows)
    expected = [[0, 1, 2], [0, 2, 3], [2, 3, 4], [0, 1, 2], [0, 2, 4], [0, 4, 3]]
    assert read_mesh(tmp_path / "m.ply").triangles.tolist() == expected


def test_what_is_no_mesh_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.ply").write_text("hello")
    write_ply(tmp_path / "points.ply", PointCloud(some_mesh().vertices))
    for read in (read_mesh, read_points):
        with pytest.raises(InputError, match="not a whole"):
            read(tmp_path / "text.ply")
        with pytest.raises(InputError, match="does not exist"):
            read(tmp_path / "missing.ply")
        with pytest.raises(InputError, match="is not a file"):
            read(tmp_path)
    with pytest.raises(InputError, match="no triangles"):
        read_mesh(tmp_path / "points.ply")


def test_nothing_is_not_written(tmp_path: Path) -> None:
    nothing = Mesh(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32))
    for path, write in ((tmp_path / "m.ply", write_ply), (tmp_path / "m.glb", write_glb)):
        with pytest.raises(InputError, match="is not written"):
            write(path, nothing)
        assert not path.exists()


def gltf_tree(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    tree: dict[str, Any] = json.loads(data[20 : 20 + struct.unpack("<I", data[12:16])[0]])
    return tree


def attribute(path: Path, name: str, kind: type[np.generic], columns: int) -> tuple[np.ndarray, dict[str, Any]]:
    """(V, columns) the stored values of a vertex attribute, and its accessor."""
    data, tree = path.read_bytes(), gltf_tree(path)
    accessor = tree["accessors"][tree["meshes"][0]["primitives"][0]["attributes"][name]]
    start = len(data) - tree["buffers"][0]["byteLength"] + tree["bufferViews"][accessor["bufferView"]]["byteOffset"]
    return np.frombuffer(data, kind, columns * accessor["count"], start).reshape(-1, columns), accessor


def test_glb_of_camera_axes_stands_upright(tmp_path: Path) -> None:
    """Up in the photo is -y of the camera and +y of glTF; what is far is +z of the camera and -z of glTF."""
    below_near, above_far = [0, 1, 2], [0, -1, 5]
    vertices = np.array([below_near, above_far, [1, 0, 3]], np.float32)
    normals = np.array([[0, 0, -1]] * 3, np.float32)
    write_glb(tmp_path / "m.glb", Mesh(vertices, np.array([[0, 1, 2]], np.int32), None, normals))
    back: Any = next(iter(trimesh.load_scene(tmp_path / "m.glb", process=False).geometry.values()))
    np.testing.assert_allclose(back.vertices, [[0, -1, -2], [0, 1, -5], [1, 0, -3]])
    np.testing.assert_allclose(back.vertex_normals, [[0, 0, 1]] * 3)


def test_glb_colors_are_linear_and_unlit(tmp_path: Path) -> None:
    """Half of the light is sRGB 188 (IEC 61966-2-1)."""
    mesh = some_mesh()
    colors = np.tile(np.array([255, 188, 0], np.uint8), (len(mesh.vertices), 1))
    write_glb(tmp_path / "m.glb", Mesh(mesh.vertices, mesh.triangles, colors, mesh.normals))
    stored, accessor = attribute(tmp_path / "m.glb", "COLOR_0", np.uint16, 4)
    assert accessor["normalized"]
    np.testing.assert_allclose(stored / 65535, [[1, 0.5, 0, 1]] * len(colors), atol=0.004)
    tree = gltf_tree(tmp_path / "m.glb")
    material = tree["meshes"][0]["primitives"][0]["material"]
    assert "KHR_materials_unlit" in tree["materials"][material]["extensions"]


def test_glb_carries_confidence(tmp_path: Path) -> None:
    mesh = some_mesh()
    assert mesh.confidence is not None
    write_glb(tmp_path / "m.glb", mesh)
    stored, accessor = attribute(tmp_path / "m.glb", "_CONFIDENCE", np.float32, 1)
    np.testing.assert_array_equal(stored[:, 0], mesh.confidence)
    assert (accessor["type"], accessor["componentType"]) == ("SCALAR", 5126)
    write_glb(tmp_path / "plain.glb", Mesh(mesh.vertices, mesh.triangles))
    assert "_CONFIDENCE" not in gltf_tree(tmp_path / "plain.glb")["meshes"][0]["primitives"][0]["attributes"]


def test_up_becomes_y(tmp_path: Path) -> None:
    up, back = np.array([0.2, -0.3, 1.0]), np.array([1.0, 0.5, 0.1])
    R = gltf_from_up(up, back)
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(R) == pytest.approx(1)
    np.testing.assert_allclose(R @ up / np.linalg.norm(up), [0, 1, 0], atol=1e-12)
    turned = R @ back
    assert turned[2] > 0
    assert turned[0] == pytest.approx(0)
    for bad in (up, 0 * up):
        with pytest.raises(InputError, match="parallel or zero"):
            gltf_from_up(up, bad)


def test_glb_needs_a_rotation(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gltf_from_mesh: the 3x3 part is not a rotation"):
        write_glb(tmp_path / "m.glb", some_mesh(), np.diag([1.0, 1.0, -1.0]))
