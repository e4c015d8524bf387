"""Meshes and clouds as binary glTF for the page: small, because 16 bits hold a position and 8 a colour.

Positions are shares of a cube that the node scales (KHR_mesh_quantization), normals and colours have 8 bits. The
attribute ``_SRGB_CONFIDENCE`` holds sRGB colours, which glTF's own COLOR_0 may not, and the confidence; ``_SIGMA`` the
standard deviation of the place, in units of the scene, 0 where it is unknown.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lotus_recon.io.images import resize_rgb
from lotus_recon.io.meshes import PointCloud, glb_file
from lotus_recon.io.textured_meshes import TexturedMesh
from lotus_recon.types import FloatArray, IntArray, Mesh

_POINTS, _TRIANGLES = 0, 4
_QUALITY = 85
_FLOAT, _BYTE, _UINT8, _UINT16, _UINT32 = 5126, 5120, 5121, 5123, 5125


def mesh_glb(mesh: Mesh, origin: FloatArray) -> bytes:
    """A mesh with vertex colours, positions relative to ``origin`` (3,)."""
    records, node = _records(mesh.vertices - origin, mesh.normals, mesh.colors, mesh.confidence, sigma=mesh.sigma)
    return _glb(records, node, [mesh.triangles])


def cloud_glb(cloud: PointCloud, origin: FloatArray) -> bytes:
    """Points, their positions relative to ``origin`` (3,)."""
    return _glb(*_records(cloud.points - origin, cloud.normals, cloud.colors, cloud.confidence), [])


def textured_glb(
    mesh: TexturedMesh,
    confidence: FloatArray | None,
    origin: FloatArray,
    budget: int,
    sigma: NDArray[np.float32] | None = None,
) -> bytes:
    """A textured mesh, relative to ``origin`` (3,); its pages are reduced until their files have ``budget`` bytes.

    ``confidence`` (N,) and ``sigma`` (N,) are those of the vertices.
    """
    records, node = _records(mesh.vertices - origin, mesh.normals, None, confidence, mesh.uv, sigma)
    triangles = [mesh.triangles[mesh.page == number] for number in range(len(mesh.pages))]
    return _glb(records, node, triangles, _pages(mesh.pages, budget))


def jpeg(rgb: NDArray[np.uint8], quality: int = _QUALITY) -> bytes:
    """(H, W, 3) as the bytes of a JPEG file."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "jpeg", quality=quality, optimize=True)
    return buffer.getvalue()


def _pages(pages: Sequence[NDArray[np.uint8]], budget: int) -> list[bytes]:
    """Files of the pages, all reduced by the same factor where they are too large together."""
    files = [jpeg(page) for page in pages]
    share = budget / sum(map(len, files))
    if share >= 1:
        return files
    factor = np.sqrt(share)
    return [jpeg(resize_rgb(p, *(max(1, round(factor * side)) for side in p.shape[1::-1]))) for p in pages]


def _records(
    positions: FloatArray,
    normals: FloatArray | None,
    colors: NDArray[np.uint8] | None,
    confidence: FloatArray | None,
    uv: FloatArray | None = None,
    sigma: NDArray[np.float32] | None = None,
) -> tuple[NDArray[Any], dict[str, Any]]:
    """One record per vertex, and the node that puts the cube of their positions in its place."""
    low = positions.min(0)
    side = max(float((positions.max(0) - low).max()), 1e-12)
    fields: list[tuple[str, str, tuple[int, ...]]] = [("POSITION", "<u2", (4,)), ("_SRGB_CONFIDENCE", "u1", (4,))]
    fields += [("NORMAL", "i1", (4,))] if normals is not None else []
    fields += [("TEXCOORD_0", "<u2", (2,))] if uv is not None else []
    fields += [("_SIGMA", "<f4", ())] if sigma is not None else []
    records = np.zeros(len(positions), np.dtype(fields))
    records["POSITION"][:, :3] = np.round((positions - low) / side * 65535)
    records["_SRGB_CONFIDENCE"] = 255
    if colors is not None:
        records["_SRGB_CONFIDENCE"][:, :3] = colors
    if confidence is not None:
        records["_SRGB_CONFIDENCE"][:, 3] = np.round(255 * np.clip(confidence, 0, 1))
    if normals is not None:
        records["NORMAL"][:, :3] = np.round(127 * normals)
    if uv is not None:
        records["TEXCOORD_0"] = np.round(65535 * np.clip(uv, 0, 1))
    if sigma is not None:
        bits = np.nan_to_num(sigma).view(np.uint32)  # rounded to 8 significant ones: zeros pack well
        records["_SIGMA"] = ((bits + np.uint32(0x8000)) & np.uint32(0xFFFF0000)).view(np.float32)
    return records, {"translation": low.astype(float).tolist(), "scale": [side] * 3}


_KINDS = {
    "POSITION": (_UINT16, "VEC3", True),
    "NORMAL": (_BYTE, "VEC3", True),
    "TEXCOORD_0": (_UINT16, "VEC2", True),
    "_SRGB_CONFIDENCE": (_UINT8, "VEC4", True),
    "_SIGMA": (_FLOAT, "SCALAR", False),
}


def _glb(records: NDArray[Any], node: dict[str, Any], triangles: list[IntArray], images: Sequence[bytes] = ()) -> bytes:
    """The file. One primitive for each of ``triangles`` (T, 3), with the image of the same number; none: points."""
    indices = [part.astype("<u4").tobytes() for part in triangles]
    chunks = [records.tobytes(), *indices, *images]
    padded = [chunk + b"\0" * (-len(chunk) % 4) for chunk in chunks]
    starts = np.cumsum([0, *map(len, padded)]).tolist()
    views: list[dict[str, Any]] = [
        {"buffer": 0, "byteOffset": start, "byteLength": len(chunk)}
        for start, chunk in zip(starts, chunks, strict=False)
    ]
    views[0] |= {"byteStride": records.dtype.itemsize}
    accessors, names = _attributes(records)
    primitives: list[dict[str, Any]] = []
    for number, part in enumerate(triangles):
        primitives.append({"attributes": names, "indices": len(accessors), "material": number, "mode": _TRIANGLES})
        accessors.append({"bufferView": 1 + number, "componentType": _UINT32, "type": "SCALAR", "count": part.size})
    tree = {
        "asset": {"version": "2.0", "generator": "lotus_recon"},
        "extensionsUsed": ["KHR_mesh_quantization"],
        "extensionsRequired": ["KHR_mesh_quantization"],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, **node}],
        "meshes": [{"primitives": primitives or [{"attributes": names, "mode": _POINTS}]}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": starts[-1]}],
    }
    return glb_file(tree | _materials(len(triangles), len(triangles) + 1, len(images)), b"".join(padded))


def _attributes(records: NDArray[Any]) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Accessors of the fields of ``records``, and their numbers by name."""
    accessors: list[dict[str, Any]] = []
    names = {}
    for name, (_, offset) in (records.dtype.fields or {}).items():  # type: ignore[misc]  # fields without titles
        kind, shape, normalized = _KINDS[name]
        names[name] = len(accessors)
        accessors.append(
            {"bufferView": 0, "byteOffset": offset, "componentType": kind, "normalized": normalized, "type": shape}
            | {"count": len(records)}
        )
    positions = records["POSITION"][:, :3]
    accessors[names["POSITION"]] |= {"min": positions.min(0).tolist(), "max": positions.max(0).tolist()}
    return accessors, names


def _materials(count: int, first_view: int, images: int) -> dict[str, Any]:
    """``count`` materials; the first ``images`` of them show an image each, in the views from ``first_view`` on."""
    if count == 0:
        return {}
    materials: list[dict[str, Any]] = [{} for _ in range(count)]
    for number in range(images):
        materials[number] = {"pbrMetallicRoughness": {"baseColorTexture": {"index": number}}}
    textures = {
        "textures": [{"source": number} for number in range(images)],
        "images": [{"bufferView": first_view + number, "mimeType": "image/jpeg"} for number in range(images)],
    }
    return {"materials": materials} | (textures if images else {})
