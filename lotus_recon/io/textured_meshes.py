"""Textured meshes on disk: binary glTF, Wavefront OBJ and, where its library is there, USDZ. All have y up."""

from __future__ import annotations

import io
import json
import struct
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lotus_recon.errors import InputError
from lotus_recon.io.images import write_png
from lotus_recon.io.meshes import accessor, glb_file
from lotus_recon.types import FloatArray, check_rigid
from lotus_recon.workspace import write_atomically

Format = Literal["jpeg", "png"]

_JPEG_QUALITY = 92
_LINEAR, _MIPMAPS, _TO_EDGE = 9729, 9987, 33071  # glTF's (OpenGL's) names of filters and wrapping


@dataclass(frozen=True, eq=False)
class TexturedMesh:
    """Triangles with a picture on them. A vertex of the surface is here once for each chart that it is in.

    ``uv`` (N, 2) from 0 to 1, from the left and from the top of the page; ``page`` (T,) of each triangle.
    """

    vertices: NDArray[np.float32]  # (N, 3)
    normals: NDArray[np.float32]  # (N, 3)
    uv: NDArray[np.float32]
    triangles: NDArray[np.int32]  # (T, 3)
    page: NDArray[np.int32]
    pages: tuple[NDArray[np.uint8], ...]  # each (H, W, 3)

    def __post_init__(self) -> None:
        N, T = len(self.vertices), len(self.triangles)
        if T == 0 or not self.pages:
            raise InputError("a textured mesh needs triangles and a page of texture")
        shapes = {"normals": (N, 3), "uv": (N, 2), "page": (T,)}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise InputError(f"{name} have shape {getattr(self, name).shape}; allowed: {shape}")
        if self.triangles.max() >= N or self.page.max() >= len(self.pages):
            raise InputError("a triangle names a vertex or a page that does not exist")

    def turned(self, rotation: FloatArray) -> TexturedMesh:
        """The mesh turned by a (3, 3) rotation. Raises InputError for any other matrix."""
        matrix = np.eye(4)
        matrix[:3, :3] = rotation
        check_rigid(matrix, "the rotation of a mesh")
        R = matrix[:3, :3].astype(np.float32)
        return TexturedMesh(self.vertices @ R.T, self.normals @ R.T, self.uv, self.triangles, self.page, self.pages)


def encoded(page: NDArray[np.uint8], form: Format) -> bytes:
    """A page (H, W, 3) as the bytes of a JPEG (colour at full resolution) or PNG file."""
    buffer = io.BytesIO()
    options: dict[str, Any] = {"quality": _JPEG_QUALITY, "subsampling": 0} if form == "jpeg" else {"compress_level": 3}
    Image.fromarray(page).save(buffer, form, **options)
    return buffer.getvalue()


def write_textured_glb(path: Path, mesh: TexturedMesh, form: Format, unlit: bool) -> None:
    """Write binary glTF 2.0, by rename: one primitive and one material per page, the pictures inside."""
    images = [encoded(page, form) for page in mesh.pages]
    tree, buffer = _gltf(mesh, images, f"image/{form}", unlit)
    write_atomically(path, lambda part: part.write_bytes(glb_file(tree, buffer)))


def read_textured_glb(path: Path) -> TexturedMesh:
    """A file of ``write_textured_glb``. Raises InputError for what is none, or is damaged."""
    try:
        data = path.read_bytes()
        (length,) = struct.unpack_from("<I", data, 12)
        tree, buffer = json.loads(data[20 : 20 + length]), data[28 + length :]
        primitives = tree["meshes"][0]["primitives"]
        vertices, normals, uv = (
            _stored(tree, buffer, primitives[0]["attributes"][name], np.float32, width)
            for name, width in (("POSITION", 3), ("NORMAL", 3), ("TEXCOORD_0", 2))
        )
        triangles = [_stored(tree, buffer, part["indices"], np.uint32, 3).astype(np.int32) for part in primitives]
        pages = [_bytes_of(tree, buffer, image["bufferView"]) for image in tree["images"]]
        pictures = tuple(np.asarray(Image.open(io.BytesIO(page)).convert("RGB")) for page in pages)
    except (OSError, struct.error, ValueError, KeyError, IndexError, TypeError) as error:
        raise InputError(f"{path} is not a textured mesh of this program: {error}") from None
    page_of = np.repeat(np.arange(len(triangles), dtype=np.int32), [len(part) for part in triangles])
    return TexturedMesh(vertices, normals, uv, np.concatenate(triangles), page_of, pictures)


def _stored(tree: dict[str, Any], buffer: bytes, number: int, kind: type, width: int) -> NDArray[Any]:
    """(N, width) the values of an accessor."""
    return np.frombuffer(_bytes_of(tree, buffer, tree["accessors"][number]["bufferView"]), kind).reshape(-1, width)


def _bytes_of(tree: dict[str, Any], buffer: bytes, number: int) -> bytes:
    view = tree["bufferViews"][number]
    part = buffer[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
    if len(part) != view["byteLength"]:
        raise ValueError("the file ends early")
    return part


def _gltf(mesh: TexturedMesh, images: list[bytes], mime: str, unlit: bool) -> tuple[dict[str, Any], bytes]:
    attributes = {"POSITION": mesh.vertices, "NORMAL": mesh.normals, "TEXCOORD_0": mesh.uv}
    indices = [mesh.triangles[mesh.page == number].astype("<u4").reshape(-1, 1) for number in range(len(mesh.pages))]
    arrays = [*attributes.values(), *indices]
    chunks = [array.tobytes() for array in arrays] + [image + b"\0" * (-len(image) % 4) for image in images]
    starts = np.cumsum([0, *(len(chunk) for chunk in chunks)]).tolist()
    lengths = [array.nbytes for array in arrays] + [len(image) for image in images]
    views: list[dict[str, Any]] = [
        {"buffer": 0, "byteOffset": start, "byteLength": length} for start, length in zip(starts, lengths, strict=False)
    ]
    for number in range(len(arrays)):
        views[number]["target"] = 34962 if number < len(attributes) else 34963
    accessors = [accessor(number, array) for number, array in enumerate(arrays)]
    accessors[0] |= {"min": mesh.vertices.min(0).tolist(), "max": mesh.vertices.max(0).tolist()}
    shared = {name: number for number, name in enumerate(attributes)}
    pages = range(len(images))
    tree = {
        "asset": {"version": "2.0", "generator": "lotus_recon"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [
            {"primitives": [{"attributes": shared, "indices": len(attributes) + i, "material": i} for i in pages]}
        ],
        "materials": [_material(i, unlit) for i in pages],
        "textures": [{"sampler": 0, "source": i} for i in pages],
        "samplers": [{"magFilter": _LINEAR, "minFilter": _MIPMAPS, "wrapS": _TO_EDGE, "wrapT": _TO_EDGE}],
        "images": [{"bufferView": len(arrays) + i, "mimeType": mime} for i in pages],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": starts[-1]}],
    }
    return tree | ({"extensionsUsed": ["KHR_materials_unlit"]} if unlit else {}), b"".join(chunks)


def _material(page: int, unlit: bool) -> dict[str, Any]:
    """Neither metal nor gloss; both sides are shown, because a reconstruction is not always closed."""
    surface = {"baseColorTexture": {"index": page}, "metallicFactor": 0.0, "roughnessFactor": 1.0}
    material: dict[str, Any] = {"pbrMetallicRoughness": surface, "doubleSided": True}
    return material | ({"extensions": {"KHR_materials_unlit": {}}} if unlit else {})


def write_textured_obj(path: Path, mesh: TexturedMesh) -> None:
    """Write Wavefront OBJ, by rename, with ``<stem>.mtl`` and ``<stem>.png`` (``<stem>_2.png`` ...) beside it."""
    materials = []
    for number, page in enumerate(mesh.pages):
        name = f"{path.stem}.png" if number == 0 else f"{path.stem}_{number + 1}.png"
        write_png(path.with_name(name), page)
        materials.append(f"newmtl page{number}\nKa 0 0 0\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd {name}\n")
    mtl = path.with_suffix(".mtl")
    write_atomically(mtl, lambda part: part.write_text("\n".join(materials)))
    lines = [f"mtllib {mtl.name}", *_rows("v", mesh.vertices, "%.7g")]
    # The origin of texture coordinates is at the bottom here.
    lines += _rows("vt", np.stack([mesh.uv[:, 0], 1 - mesh.uv[:, 1]], axis=1), "%.6f")
    lines += _rows("vn", mesh.normals, "%.4f")
    for number in range(len(mesh.pages)):
        lines.append(f"usemtl page{number}")
        lines += [f"f {a}/{a}/{a} {b}/{b}/{b} {c}/{c}/{c}" for a, b, c in mesh.triangles[mesh.page == number] + 1]
    write_atomically(path, lambda part: part.write_text("\n".join(lines) + "\n"))


def _rows(key: str, values: FloatArray, form: str) -> Iterable[str]:
    line = " ".join([key, *[form] * values.shape[1]])
    return [line % tuple(row) for row in values.tolist()]


def write_usdz(path: Path, mesh: TexturedMesh, form: Format) -> None:
    """Write USDZ, by rename. Raises InputError when usd-core is not installed."""
    try:
        from pxr import UsdUtils
    except ImportError:
        raise InputError("USDZ needs usd-core: install lotus-recon[usd], or leave out --usdz") from None
    with tempfile.TemporaryDirectory() as folder:
        suffix = {"jpeg": "jpg", "png": "png"}[form]
        names = [f"page{number}.{suffix}" for number in range(len(mesh.pages))]
        for name, page in zip(names, mesh.pages, strict=True):
            (Path(folder) / name).write_bytes(encoded(page, form))
        stage_file, package = Path(folder) / "mesh.usdc", Path(folder) / "mesh.usdz"
        _write_usd(stage_file, mesh, names)
        if not UsdUtils.CreateNewUsdzPackage(str(stage_file), str(package)):
            raise InputError(f"{path} could not be packed as USDZ")
        data = package.read_bytes()
    write_atomically(path, lambda part: part.write_bytes(data))


def _write_usd(path: Path, mesh: TexturedMesh, names: list[str]) -> None:
    from pxr import Gf, Usd, UsdGeom, UsdShade, Vt

    stage = Usd.Stage.CreateNew(str(path))
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    stage.SetDefaultPrim(UsdGeom.Xform.Define(stage, "/Root").GetPrim())
    shape = UsdGeom.Mesh.Define(stage, "/Root/Mesh")
    shape.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(mesh.vertices))
    shape.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(np.full(len(mesh.triangles), 3, np.int32)))
    shape.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(np.ascontiguousarray(mesh.triangles.ravel())))
    shape.CreateNormalsAttr(Vt.Vec3fArray.FromNumpy(mesh.normals))
    shape.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
    shape.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    shape.CreateDoubleSidedAttr(True)
    low, high = (Gf.Vec3f(*map(float, corner)) for corner in (mesh.vertices.min(0), mesh.vertices.max(0)))
    shape.CreateExtentAttr([low, high])
    from pxr import Sdf

    coordinates = UsdGeom.PrimvarsAPI(shape).CreatePrimvar(
        "st", Sdf.ValueTypeNames.TexCoord2fArray, UsdGeom.Tokens.vertex
    )
    coordinates.Set(Vt.Vec2fArray.FromNumpy(np.stack([mesh.uv[:, 0], 1 - mesh.uv[:, 1]], axis=1)))
    for number, name in enumerate(names):
        material = _usd_material(stage, f"/Root/Material{number}", name)
        faces = Vt.IntArray.FromNumpy(np.flatnonzero(mesh.page == number).astype(np.int32))
        subset = UsdGeom.Subset.CreateGeomSubset(
            shape, f"page{number}", UsdGeom.Tokens.face, faces, UsdShade.Tokens.materialBind
        )
        UsdShade.MaterialBindingAPI.Apply(subset.GetPrim()).Bind(material)
    stage.GetRootLayer().Save()


def _usd_material(stage: Any, path: str, picture: str) -> Any:
    from pxr import Sdf, UsdShade

    material = UsdShade.Material.Define(stage, path)
    surface = UsdShade.Shader.Define(stage, f"{path}/Surface")
    surface.CreateIdAttr("UsdPreviewSurface")
    surface.CreateInput("roughness", Sdf.ValueTypeNames.Float).Set(1.0)
    surface.CreateInput("metallic", Sdf.ValueTypeNames.Float).Set(0.0)
    material.CreateSurfaceOutput().ConnectToSource(surface.ConnectableAPI(), "surface")
    reader = UsdShade.Shader.Define(stage, f"{path}/Coordinates")
    reader.CreateIdAttr("UsdPrimvarReader_float2")
    reader.CreateInput("varname", Sdf.ValueTypeNames.String).Set("st")
    texture = UsdShade.Shader.Define(stage, f"{path}/Picture")
    texture.CreateIdAttr("UsdUVTexture")
    texture.CreateInput("file", Sdf.ValueTypeNames.Asset).Set(picture)
    texture.CreateInput("sourceColorSpace", Sdf.ValueTypeNames.Token).Set("sRGB")
    for side in ("wrapS", "wrapT"):
        texture.CreateInput(side, Sdf.ValueTypeNames.Token).Set("clamp")
    texture.CreateInput("st", Sdf.ValueTypeNames.Float2).ConnectToSource(reader.ConnectableAPI(), "result")
    texture.CreateOutput("rgb", Sdf.ValueTypeNames.Float3)
    surface.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f).ConnectToSource(texture.ConnectableAPI(), "rgb")
    return material
