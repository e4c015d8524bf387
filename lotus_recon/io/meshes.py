"""Meshes and point clouds on disk: binary PLY (read and written) and GLB (written for viewers).

PLY keeps the axes and the order of the mesh, and the same mesh always gives the same bytes. GLB has axes of its own
(y up, z towards the viewer), so its writer takes the rotation to them.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.geometry.pose import invert_rigid
from lotus_recon.io.ply import columns, read_ply, triangles
from lotus_recon.io.srgb import linear_of_srgb
from lotus_recon.sandbox import arrays_in_child
from lotus_recon.types import FloatArray, Mesh, View, check_rigid
from lotus_recon.workspace import write_atomically

# glTF is right handed with y up and z towards the viewer: OpenCV camera axes (y down, z forward) turned about x.
GLTF_FROM_CAM: NDArray[np.float64] = np.diag([1.0, -1.0, -1.0])

_COLUMNS = (("x", "y", "z"), ("nx", "ny", "nz"), ("red", "green", "blue"))
_CONFIDENCE, _SIGMA = "confidence", "sigma"
_FACE = np.dtype([("count", "u1"), ("indices", "<i4", (3,))])


@dataclass(frozen=True, eq=False)
class PointCloud:
    """Points. ``points`` (N, 3) float32, optional ``colors`` (N, 3) uint8 and unit ``normals`` (N, 3) float32.

    ``confidence`` (N,) from 0 to 1: how sure the photos are of a point.
    """

    points: NDArray[np.float32]
    colors: NDArray[np.uint8] | None = None
    normals: NDArray[np.float32] | None = None
    confidence: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        for name, values in (("points", self.points), ("colors", self.colors), ("normals", self.normals)):
            if values is not None and values.shape != (len(self.points), 3):
                raise InputError(f"{name} have shape {values.shape}; allowed: ({len(self.points)}, 3)")
        if not np.isfinite(self.points).all():
            raise InputError("points are not finite")
        if self.confidence is not None and self.confidence.shape != (len(self.points),):
            raise InputError(f"confidence has shape {self.confidence.shape}; allowed: ({len(self.points)},)")


def write_ply(path: Path, shape: Mesh | PointCloud) -> None:
    """Write a mesh or a point cloud as binary PLY, by rename.

    Raises InputError when there are no points, OSError when the file cannot be written.
    """
    points = shape.vertices if isinstance(shape, Mesh) else shape.points
    if len(points) == 0:
        raise InputError(f"{path} is not written: there are no points")
    sigma = shape.sigma if isinstance(shape, Mesh) else None
    vertices = _vertex_records(points, shape.normals, shape.colors, shape.confidence, sigma)
    # Not by plyfile: it writes lists one by one, 8 s for two million triangles instead of 0.2 s.
    faces = _face_records(shape.triangles) if isinstance(shape, Mesh) else None
    write_atomically(path, lambda part: _write_records(part, _ply_header(vertices, faces), vertices, faces))


def _face_records(triangles: NDArray[np.int32]) -> NDArray[Any]:
    """One record per face, in the layout of the file."""
    faces = np.empty(len(triangles), _FACE)
    faces["count"] = 3
    faces["indices"] = triangles
    return faces


def _write_records(path: Path, header: bytes, *elements: NDArray[Any] | None) -> None:
    with path.open("wb") as file:
        file.write(header)
        for records in elements:
            if records is not None:
                file.write(records.data)


def _vertex_records(
    points: FloatArray,
    normals: FloatArray | None,
    colors: NDArray[np.uint8] | None,
    confidence: FloatArray | None,
    sigma: FloatArray | None,
) -> NDArray[Any]:
    """One record per vertex, in the layout of the file."""
    columns = (*_COLUMNS, (_CONFIDENCE,), (_SIGMA,))
    given = (points, normals, colors, *(None if each is None else each[:, None] for each in (confidence, sigma)))
    groups = zip(columns, given, ("<f4", "<f4", "u1", "<f4", "<f4"), strict=True)
    present = [(names, np.asarray(values), kind) for names, values, kind in groups if values is not None]
    records = np.empty(len(points), np.dtype([(name, kind) for names, _, kind in present for name in names]))
    for names, values, _ in present:
        for i, name in enumerate(names):
            records[name] = values[:, i]
    return records


def _ply_header(vertices: NDArray[Any], faces: NDArray[Any] | None) -> bytes:
    kinds = {"f": "float", "u": "uchar"}
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {len(vertices)}"]
    lines += [f"property {kinds[vertices.dtype[name].kind]} {name}" for name in vertices.dtype.names or ()]
    if faces is not None:
        lines += [f"element face {len(faces)}", "property list uchar int vertex_indices"]
    return ("\n".join([*lines, "end_header"]) + "\n").encode()


def read_mesh(path: Path) -> Mesh:
    """The mesh in a file (PLY of any flavour, OBJ, STL ...), in the axes of the file.

    Raises InputError when the file is missing, broken or has no triangles.
    """
    _check_file(path)
    arrays = _ply_mesh(path) if path.suffix.lower() == ".ply" else arrays_in_child(mesh_arrays, path, "a mesh")
    if "positions" not in arrays or "indices" not in arrays:
        raise InputError(f"{path} has no triangles, or is not a whole mesh file")
    try:
        return Mesh(
            arrays["positions"].astype(np.float32),
            _checked_indices(arrays["indices"]),
            _as_uint8(arrays["colors"]) if "colors" in arrays else None,
            arrays["normals"].astype(np.float32) if "normals" in arrays else None,
            *(arrays[name][:, 0].astype(np.float32) if name in arrays else None for name in (_CONFIDENCE, _SIGMA)),
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _checked_indices(indices: NDArray[Any]) -> NDArray[np.int32]:
    """(T, 3), before a cast could wrap what is out of range into it."""
    if indices.size and not 0 <= int(indices.min()) <= int(indices.max()) < 2**31:
        raise InputError("a triangle names a vertex that does not exist")
    return indices.astype(np.int32)


def _ply_mesh(path: Path) -> dict[str, NDArray[Any]]:
    data = read_ply(path)
    groups: dict[str, Sequence[str]] = dict(zip(("positions", "normals", "colors"), _COLUMNS, strict=True))
    groups |= {name: (name,) for name in (_CONFIDENCE, _SIGMA)}
    present = {name: columns(data, path, group) for name, group in groups.items()}
    return {name: values for name, values in present.items() if values is not None} | {"indices": triangles(data, path)}


def mesh_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """What Open3D finds in a mesh file: positions (V, 3), indices (T, 3), perhaps normals, colors (V, 3). May crash."""
    import open3d

    with open3d.utility.VerbosityContextManager(open3d.utility.VerbosityLevel.Error):
        mesh = open3d.t.io.read_triangle_mesh(str(path))  # what cannot be read comes back empty
    found = {name: mesh.vertex[name].numpy() for name in ("positions", "normals", "colors") if name in mesh.vertex}
    return found | ({"indices": mesh.triangle.indices.numpy()} if "indices" in mesh.triangle else {})


def read_points(path: Path) -> PointCloud:
    """The vertices of a PLY file. Raises InputError when the file is missing, broken or has none."""
    _check_file(path)
    data = read_ply(path)
    points, normals, colors = (columns(data, path, group) for group in _COLUMNS)
    confidence = columns(data, path, (_CONFIDENCE,))
    if points is None or len(points) == 0:
        raise InputError(f"{path} has no points")
    try:
        return PointCloud(
            points.astype(np.float32, copy=False),
            None if colors is None else _as_uint8(colors),
            None if normals is None else normals.astype(np.float32, copy=False),
            None if confidence is None else confidence[:, 0].astype(np.float32),
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"{path} does not exist" if not path.exists() else f"{path} is not a file")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty (0 bytes)")


def _as_uint8(colors: NDArray) -> NDArray[np.uint8]:
    if colors.dtype.kind in "iu":
        return np.asarray(colors.clip(0, 255), np.uint8)
    return np.asarray((np.clip(colors, 0, 1) * 255).round(), np.uint8)


def gltf_from_up(up: FloatArray, back: FloatArray) -> NDArray[np.float64]:
    """(3, 3) rotation that takes ``up`` to glTF's y, and ``back`` (towards the viewer) to z as nearly as it can.

    Raises InputError when the two directions are parallel or zero.
    """
    y = np.asarray(up, np.float64) / max(float(np.linalg.norm(up)), 1e-12)
    x = np.cross(y, back)
    if np.linalg.norm(x) < 1e-6 * max(float(np.linalg.norm(back)), 1e-12) or not np.any(x):
        raise InputError(f"up {up} and back {back} are parallel or zero: they define no orientation")
    x = x / np.linalg.norm(x)
    return np.stack([x, y, np.cross(x, y)])


def write_glb(
    path: Path, mesh: Mesh, gltf_from_mesh: FloatArray = GLTF_FROM_CAM, views: Sequence[View] = (), far: float = 1e3
) -> None:
    """Write a mesh as binary glTF, by rename, turned by the rotation ``gltf_from_mesh`` (3, 3).

    The default suits camera axes; world axes need ``gltf_from_up``. The material is unlit, because the colours contain
    the light of the scene. ``views``, in the axes of the mesh, become cameras that show what is nearer than ``far``;
    glTF's cameras have no principal point. Raises InputError when the mesh is empty or the matrix is not a rotation.
    """
    if len(mesh.triangles) == 0:
        raise InputError(f"{path} is not written: the mesh has no triangles")
    rotation = np.eye(4)
    rotation[:3, :3] = gltf_from_mesh
    check_rigid(rotation, "gltf_from_mesh")
    R = rotation[:3, :3].astype(np.float32)
    attributes: dict[str, NDArray] = {"POSITION": mesh.vertices @ R.T}
    if mesh.normals is not None:
        attributes["NORMAL"] = mesh.normals @ R.T
    if mesh.colors is not None:
        attributes["COLOR_0"] = _linear_rgba(mesh.colors)
    if mesh.confidence is not None:
        attributes["_CONFIDENCE"] = mesh.confidence[:, None]  # attributes of one's own begin with an underscore
    tree, buffer = _gltf(mesh.triangles, attributes)
    if views:
        tree["cameras"] = [_gltf_camera(view, far) for view in views]
        tree["nodes"] += [_gltf_camera_node(i, view, rotation) for i, view in enumerate(views)]
        tree["scenes"][0]["nodes"] = list(range(len(tree["nodes"])))
    write_atomically(path, lambda part: part.write_bytes(glb_file(tree, buffer)))


def _gltf_camera(view: View, far: float) -> dict[str, Any]:
    camera = view.camera
    half_width, half_height = camera.width / (2 * camera.fx), camera.height / (2 * camera.fy)
    lens = {"aspectRatio": half_width / half_height, "yfov": 2 * float(np.arctan(half_height))}
    return {"type": "perspective", "name": view.name, "perspective": {**lens, "znear": 1e-3 * far, "zfar": far}}


def _gltf_camera_node(number: int, view: View, gltf_from_world: FloatArray) -> dict[str, Any]:
    """A node with a camera, which looks along -z with y up in glTF; matrices are stored by columns."""
    gltf_from_cam = gltf_from_world @ invert_rigid(view.cam_from_world) @ np.diag([1.0, -1.0, -1.0, 1.0])
    return {"name": view.name, "camera": number, "matrix": gltf_from_cam.T.ravel().tolist()}


def _linear_rgba(colors: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """(V, 4) linear light of sRGB colours, as glTF wants it; 8 bits would show bands in the dark."""
    linear = linear_of_srgb(np.arange(256) / 255)
    rgb = (linear * 65535).round().astype(np.uint16)[colors]
    return np.concatenate([rgb, np.full((len(rgb), 1), 65535, np.uint16)], axis=1)


def _gltf(triangles: NDArray[np.int32], attributes: dict[str, NDArray]) -> tuple[dict[str, Any], bytes]:
    """The glTF 2.0 tree of one mesh and the buffer that its accessors point into, the triangles first.

    Without a material viewers assume polished metal, which shows photographed colours nearly black: hence unlit.
    """
    arrays = [triangles.astype("<u4").reshape(-1, 1), *attributes.values()]
    starts = np.cumsum([0, *(array.nbytes for array in arrays)]).tolist()  # all sizes are multiples of 4
    accessors = [accessor(i, array) for i, array in enumerate(arrays)]
    accessors[1] |= {"min": arrays[1].min(0).tolist(), "max": arrays[1].max(0).tolist()}  # demanded of positions
    views = [
        {"buffer": 0, "byteOffset": start, "byteLength": array.nbytes, "target": 34962 if i else 34963}
        for i, (start, array) in enumerate(zip(starts[:-1], arrays, strict=True))
    ]
    names = {name: i for i, name in enumerate(attributes, 1)}
    surface = {"metallicFactor": 0.0, "roughnessFactor": 1.0}
    unlit = {"pbrMetallicRoughness": surface, "doubleSided": True, "extensions": {"KHR_materials_unlit": {}}}
    tree = {
        "asset": {"version": "2.0", "generator": "lotus_recon"},
        "extensionsUsed": ["KHR_materials_unlit"],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": names, "indices": 0, "material": 0}]}],
        "materials": [unlit],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": starts[-1]}],
    }
    return tree, b"".join(array.tobytes() for array in arrays)


def accessor(view: int, array: NDArray) -> dict[str, Any]:
    """How glTF reads a buffer view (N, C): component and shape; 16-bit integers are shares of their range."""
    component = {"f": 5126, "u": 5123 if array.dtype.itemsize == 2 else 5125}[array.dtype.kind]
    shape = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}[array.shape[1]]
    description = {"bufferView": view, "componentType": component, "type": shape, "count": len(array)}
    return description | ({"normalized": True} if component == 5123 else {})


def glb_file(tree: dict[str, Any], buffer: bytes) -> bytes:
    """Header, JSON chunk (padded with spaces to 4 bytes) and binary chunk of a GLB file."""
    text = json.dumps(tree, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    header = struct.pack("<4sII", b"glTF", 2, 12 + 8 + len(text) + 8 + len(buffer))
    json_chunk, binary_chunk = struct.pack("<I4s", len(text), b"JSON"), struct.pack("<I4s", len(buffer), b"BIN\0")
    return b"".join([header, json_chunk, text, binary_chunk, buffer])
