"""Reads Wavefront OBJ and MTL text: triangles per material, corner by corner.

Not by a library: the available readers lose the texture coordinates of materials whose faces have them only in part
(trimesh) or cannot read from memory (Open3D).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.synthetic.rooms.scene import Rgb


@dataclass(frozen=True, eq=False)
class Triangles:
    """T triangles of one material, as they stand in the file."""

    material: str
    points: NDArray[np.float64]  # (T, 3, 3): triangle, corner, xyz
    uv: NDArray[np.float32]  # (T, 3, 2); NaN where the file has none
    normals: NDArray[np.float64]  # (T, 3, 3), any length; NaN where the file has none


@dataclass(frozen=True)
class MtlMaterial:
    """A material of an MTL file; numbers as written."""

    diffuse: Rgb = (0.8, 0.8, 0.8)
    specular: Rgb = (0.0, 0.0, 0.0)
    shininess: float = 0.0  # exponent of the highlight
    opacity: float = 1.0
    texture: str | None = None  # file name as written


# Faces with the same number of corners, written in the same way: (corners, slashes per corner) -> their lines.
_Faces = dict[tuple[int, int], list[bytes]]


def read_obj(data: bytes) -> list[Triangles]:
    """Triangles per material of an OBJ file, in the order of first use. Polygons become fans of triangles.

    Raises InputError when a face names what is not there; indices that count from the end are not supported.
    """
    rows: dict[bytes, list[bytes]] = {b"v": [], b"vt": [], b"vn": []}
    faces: dict[str, _Faces] = defaultdict(lambda: defaultdict(list))
    current = faces[""]
    for line in data.replace(b"\\\r\n", b" ").replace(b"\\\n", b" ").splitlines():
        kind, _, rest = line.strip().partition(b" ")
        if kind in rows:
            rows[kind].append(rest)
        elif kind == b"f":
            corners = rest.replace(b"//", b"/0/").split()
            current[len(corners), corners[0].count(b"/")].append(b" ".join(corners))
        elif kind == b"usemtl":
            current = faces[rest.strip().decode("latin-1")]
    points, uv, normals = _table(rows[b"v"], 3), _table(rows[b"vt"], 2), _table(rows[b"vn"], 3)
    result = []
    for name, groups in faces.items():
        fans = [_fans(lines, *shape) for shape, lines in groups.items() if shape[0] >= 3]
        if fans:
            index = np.concatenate(fans)
            xyz, st, directions = (_pick(table, index[..., i]) for i, table in enumerate((points, uv, normals)))
            result.append(Triangles(name, xyz, st.astype(np.float32), directions))
    if any(np.isnan(triangles.points).any() for triangles in result):
        raise InputError("a face of the OBJ file has a corner without a position")
    return result


def _table(rows: list[bytes], columns: int) -> NDArray[np.float64]:
    """(N + 1, columns) numbers of rows that may have more; row 0 is NaN: what index 0 (not given) stands for."""
    values = [row.split()[:columns] for row in rows]
    try:
        table = np.array(values, dtype=np.float64).reshape(len(rows), columns)
    except ValueError:
        raise InputError(f"the OBJ file has a vertex that is not {columns} numbers") from None
    return np.concatenate([np.full((1, columns), np.nan), table])


def _fans(lines: list[bytes], corners: int, slashes: int) -> NDArray[np.int64]:
    """(T, 3, 3) indices (position, uv, normal) of the corners of triangles; 0: not given."""
    numbers = b" ".join(lines).replace(b"/", b" ").split()
    try:
        given = np.array(numbers, dtype=np.int64).reshape(len(lines), corners, slashes + 1)
    except ValueError:
        raise InputError("the OBJ file has a face whose corners are written in different ways") from None
    polygons = np.zeros((len(lines), corners, 3), np.int64)
    polygons[..., : slashes + 1] = given
    around = np.arange(1, corners - 1)
    fan = np.stack([np.zeros_like(around), around, around + 1], axis=1)  # (corners - 2, 3)
    return polygons[:, fan].reshape(-1, 3, 3)


def _pick(table: NDArray[np.float64], index: NDArray[np.int64]) -> NDArray[np.float64]:
    if index.min() < 0 or index.max() >= len(table):
        raise InputError(f"a face of the OBJ file names vertex {index.max()} of {len(table) - 1}")
    return table[index]


def read_mtl(data: bytes) -> dict[str, MtlMaterial]:
    """Materials by name. What is not understood is passed over."""
    materials: dict[str, MtlMaterial] = {}
    name = None
    for line in data.decode("latin-1").splitlines():
        key, _, value = line.strip().partition(" ")
        if key == "newmtl":
            name = value.strip()
            materials[name] = MtlMaterial()
        elif name is not None:
            materials[name] = _with(materials[name], key.lower(), value.strip())
    return materials


def _with(material: MtlMaterial, key: str, value: str) -> MtlMaterial:
    if key == "map_kd":
        return replace(material, texture=value)
    try:
        numbers = [float(word) for word in value.split()]
    except ValueError:
        return material
    if key in ("kd", "ks") and len(numbers) == 3:
        r, g, b = numbers
        return replace(material, diffuse=(r, g, b)) if key == "kd" else replace(material, specular=(r, g, b))
    if key == "ns" and numbers:
        return replace(material, shininess=numbers[0])
    if key in ("d", "tr") and numbers:
        return replace(material, opacity=numbers[0] if key == "d" else 1 - numbers[0])
    return material
