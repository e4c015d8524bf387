"""The furniture and the textures of Sweet Home 3D (Debian: sweethome3d-furniture, sweethome3d), read in place.

Furniture is in .sh3f archives and, some more, in sweethome3d.jar, which also has the textures. Both are zip files with
property files that say what is where and how large.
"""

from __future__ import annotations

import io
import logging
import posixpath
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from cachetools import LRUCache, cachedmethod
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from lotus_recon.errors import InputError
from lotus_recon.geometry.normals import normalized
from lotus_recon.io.srgb import linear_of_srgb
from lotus_recon.synthetic.rooms.catalog import Furniture, Model, ModelPart, Texture, model_bytes
from lotus_recon.synthetic.rooms.grouping import group_of
from lotus_recon.synthetic.rooms.obj import MtlMaterial, Triangles, read_mtl, read_obj
from lotus_recon.synthetic.rooms.scene import Credit, Material, Rgb
from lotus_recon.synthetic.rooms.smoothing import corner_normals, without_repeats

log = logging.getLogger(__name__)

JAR = "sweethome3d.jar"
_ARCHIVE_PROPERTIES = "PluginFurnitureCatalog.properties"
_JAR_FURNITURE = "com/eteks/sweethome3d/io/DefaultFurnitureCatalog.properties"
_JAR_TEXTURES = "com/eteks/sweethome3d/io/DefaultTexturesCatalog.properties"
# The jar's own models have no MTL files: the program knows their materials, as a text in this class.
_JAR_MATERIALS = "com/eteks/sweethome3d/j3d/OBJLoader.class"
_JAR_BRIGHTER = 1.35  # the program adds much ambient light to these; without it their white would be grey

_MODELS_BYTES = 400 << 20  # kept in memory
_BITMAPS_BYTES = 100 << 20
_TEXTURE_SIDE = 512  # pixels; larger pictures on models are reduced
_SMOOTH_BELOW_DEG = 40.0
_SANE_NORMAL_DEG = 75.0  # a normal of the file is believed when it is this close to that of its triangle
_TRANSPARENT = 0.6  # opacity below which a material is glass: absent from doors and windows, opaque elsewhere
_METAL = re.compile(r"^(?!.*(white|black|plastic)).*(chrom|metal|steel|inox|alumin|silver|brass|mirror)", re.IGNORECASE)
_ROOM_FROM_OBJ = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # OBJ: x right, y up, z to the front

# Left out by the last part of the id, with the reason.
_LEFT_OUT = {
    name: reason
    for reason, names in {
        "more than 60,000 triangles": (
            "decorativePlant",
            "flowerBox",
            "peterbilt",
            "largeStove",
            "white_lily",
            "tulips",
            "kitchenblender",
            "lettoCloud",
            "bath_jay_hardy",
            "fordFocus",
            "tulip",
            "spatifilum",
            "chessboard",
            "concept-sedan-02-sport",
            "concept-sedan-02",
            "poplar",
            "japaneseMaple",
            "coconutTreeBended",
            "ficusTree",
            "acacia",
            "pineSnow",
            "coconutTree",
            "copperBeech",
            "calla_lily_with_roses",
            "pine",
            "bluePineSnow",
            "peachBlossom",
            "sycamoreMaple",
            "chandelier-lamp",
        ),
        "a placeholder, for the user's own texture": ("texturableBox", "texturableCylinder", "texturableTriangle"),
    }.items()
    for name in names
}


@dataclass(frozen=True)
class Archives:
    """Where Sweet Home 3D's files are."""

    furniture: tuple[Path, ...]  # .sh3f files
    jar: Path | None


def find_archives(*folders: Path) -> Archives:
    """The archives in these folders and below; of those with the same name the first one found."""
    archives: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix == ".sh3f" or path.name == JAR:
                archives.setdefault(path.name, path)
    jar = archives.pop(JAR, None)
    return Archives(tuple(archives[name] for name in sorted(archives)), jar)


@dataclass(frozen=True)
class _Source:
    """A piece of furniture or a texture in its archive."""

    archive: Path
    properties: dict[str, str]

    def read(self, key: str) -> bytes:
        """The file that a property names."""
        return _read(self.archive, self.properties[key].lstrip("/"))


class SweetHome3D:
    """Furniture of .sh3f archives, and furniture and textures of the jar."""

    name = "sweethome3d"

    def __init__(self, archives: Archives) -> None:
        """List what there is. Raises InputError when an archive cannot be read."""
        self._sources: dict[str, _Source] = {}
        self._models: LRUCache[Any, Model] = LRUCache(_MODELS_BYTES, model_bytes)
        self._bitmaps: LRUCache[Any, NDArray[np.uint8]] = LRUCache(_BITMAPS_BYTES, attrgetter("nbytes"))
        catalogs = [(path, _ARCHIVE_PROPERTIES) for path in archives.furniture]
        if archives.jar:
            catalogs.append((archives.jar, _JAR_FURNITURE))
        self.furniture = tuple(item for path, name in catalogs for item in self._list_furniture(path, name))
        self.textures = tuple(self._list_textures(archives.jar)) if archives.jar else ()

    @cachedmethod(attrgetter("_models"))
    def model(self, furniture: Furniture) -> Model:
        """The surfaces of a piece of furniture."""
        return _load_model(self._sources[furniture.id], furniture)

    @cachedmethod(attrgetter("_bitmaps"))
    def bitmap(self, texture: Texture) -> NDArray[np.uint8]:
        """(h, w, 3) sRGB of one repetition."""
        return _decoded(self._sources[texture.id].read("image"), texture.id)

    def _list_furniture(self, archive: Path, properties: str) -> Iterator[Furniture]:
        common, entries = _entries(_read(archive, properties))
        for entry in entries:
            if "model" not in entry or entry["id"].rpartition("#")[2] in _LEFT_OUT:
                continue
            w, d, h = (float(entry[key]) / 100 for key in ("width", "depth", "height"))
            elevation = float(entry.get("elevation", 0)) / 100
            group = group_of(entry["category"], entry["name"], (w, d, h), elevation)
            credit = Credit(f"{entry['name']} ({entry['id']})", entry.get("creator", ""), common.get("license", ""))
            self._sources[entry["id"]] = _Source(archive, entry)
            yield Furniture(entry["id"], entry["name"], group, (w, d, h), elevation, credit)

    def _list_textures(self, jar: Path) -> Iterator[Texture]:
        common, entries = _entries(_read(jar, _JAR_TEXTURES))
        for entry in entries:
            size = float(entry["width"]) / 100, float(entry["height"]) / 100
            credit = Credit(f"{entry['name']} ({entry['id']})", entry.get("creator", ""), common.get("license", ""))
            self._sources[entry["id"]] = _Source(jar, entry)
            yield Texture(entry["id"], _texture_category(entry), size, credit)


def _texture_category(entry: dict[str, str]) -> str:
    return {"Floor": "floor", "Wall": "wall", "Sky": "outdoor"}.get(entry["category"], "other")


def _read(archive: Path, name: str) -> bytes:
    try:
        with zipfile.ZipFile(archive) as file:
            return file.read(name)
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{archive} cannot be read: {error}; install it again with `make assets`") from None
    except KeyError:
        raise InputError(f"{archive} has no {name}; install it again with `make assets`") from None


def _entries(data: bytes) -> tuple[dict[str, str], list[dict[str, str]]]:
    """The properties of a catalog as a whole, and those of its entries (key#number=value)."""
    common: dict[str, str] = {}
    numbered: dict[int, dict[str, str]] = defaultdict(dict)
    for line in data.decode("latin-1").splitlines():
        if line.startswith("#") or "=" not in line:
            continue
        key, _, value = line.partition("=")
        name, _, number = key.strip().partition("#")
        value = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), value.strip())
        if number:
            numbered[int(number)][name] = value
        else:
            common[name] = value
    return common, [numbered[number] for number in sorted(numbered)]


def _load_model(source: _Source, furniture: Furniture) -> Model:
    path = source.properties["model"].lstrip("/")
    data = source.read("model")
    triangles = read_obj(data)
    if not triangles:  # lines, or nothing
        raise InputError(f"{source.archive}: {path} has no triangles")
    materials = _materials(source.archive, path, data)
    placed = _placed(triangles, source.properties.get("modelRotation"), furniture)
    normals = _normals(placed)
    parts = []
    for piece, corners in zip(placed, normals, strict=True):
        mtl = materials.get(piece.material, MtlMaterial())
        if mtl.opacity < _TRANSPARENT and furniture.category in ("window", "door"):
            continue
        texture = _texture(source.archive, path, mtl.texture)
        uv = None if texture is None or np.isnan(piece.uv).any() else piece.uv
        mesh, mesh_uv = without_repeats(piece.points, corners, uv)
        material = _material(piece.material, mtl, None if uv is None else texture)
        parts.append(ModelPart(mesh, material, mesh_uv))
    return tuple(parts)


def _materials(archive: Path, path: str, obj: bytes) -> dict[str, MtlMaterial]:
    """The materials that an OBJ file names, and those that the program knows."""
    named = re.search(rb"^mtllib\s+(.+?)\s*$", obj, re.MULTILINE)
    if named is None:
        return _jar_materials(archive) if archive.name == JAR else {}
    try:
        return read_mtl(_read(archive, posixpath.join(posixpath.dirname(path), named[1].decode("latin-1"))))
    except InputError as error:
        log.debug("%s: %s", path, error)
        return {}


def _jar_materials(jar: Path) -> dict[str, MtlMaterial]:
    compiled = _read(jar, _JAR_MATERIALS)
    materials = read_mtl(compiled[max(compiled.find(b"newmtl "), 0) :])
    return {name: replace(mtl, diffuse=_scaled(mtl.diffuse, _JAR_BRIGHTER)) for name, mtl in materials.items()}


def _scaled(color: Rgb, factor: float) -> Rgb:
    r, g, b = color
    return min(factor * r, 1.0), min(factor * g, 1.0), min(factor * b, 1.0)


def _placed(triangles: list[Triangles], rotation: str | None, furniture: Furniture) -> list[Triangles]:
    """Turned upright with the front to -y, scaled to size, without triangles that have no area."""
    turn = _ROOM_FROM_OBJ
    if rotation:
        turn = turn @ np.array([float(word) for word in rotation.split()]).reshape(3, 3)
    points = np.concatenate([piece.points for piece in triangles]).reshape(-1, 3) @ turn.T
    low, high = points.min(0), points.max(0)
    scale = np.array(furniture.size_m) / np.maximum(high - low, 1e-9)
    origin = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
    result = []
    for piece in triangles:
        corners = (piece.points @ turn.T - origin) * scale
        area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=-1)
        kept = area > 1e-10
        if kept.any():
            normals = piece.normals @ turn.T / scale
            result.append(Triangles(piece.material, corners[kept], piece.uv[kept], normals[kept]))
    return result


def _normals(triangles: list[Triangles]) -> list[NDArray[np.float64]]:
    """Unit normals (T, 3, 3) of each piece: those of the file where they are sane, else smooth over small angles."""
    points = np.concatenate([piece.points for piece in triangles])
    stored = np.concatenate([piece.normals for piece in triangles])
    computed = corner_normals(points, _SMOOTH_BELOW_DEG)
    faces = np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0])[:, None]
    length = np.linalg.norm(stored, axis=-1, keepdims=True) * np.linalg.norm(faces, axis=-1, keepdims=True)
    cosine = (stored * faces).sum(-1, keepdims=True) / np.maximum(length, 1e-12)
    sane = np.abs(cosine) > np.cos(np.radians(_SANE_NORMAL_DEG))  # not where NaN: no normal
    result = np.where(sane, normalized(stored) * np.sign(cosine), computed)
    return np.split(result, np.cumsum([len(piece.points) for piece in triangles])[:-1])


def _texture(archive: Path, path: str, name: str | None) -> NDArray[np.uint8] | None:
    """The image that a material names: by its path, else by its file name beside the model (some paths are stale)."""
    if name is None:
        return None
    folder = posixpath.dirname(path)
    for candidate in (name, name.replace("\\", "/").rpartition("/")[2]):
        try:
            return _decoded(_read(archive, posixpath.normpath(posixpath.join(folder, candidate))), name)
        except InputError:
            continue
    log.debug("%s: %s has no image %s", archive, path, name)
    return None


def _decoded(data: bytes, name: str) -> NDArray[np.uint8]:
    """(h, w, 3) sRGB, at most 512 pixels a side."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.draft("RGB", (_TEXTURE_SIDE, _TEXTURE_SIDE))
            rgb = _opaque(image)
    except (UnidentifiedImageError, OSError) as error:
        raise InputError(f"image {name} cannot be read: {error}") from None
    rgb.thumbnail((_TEXTURE_SIDE, _TEXTURE_SIDE))
    return np.asarray(rgb)


def _opaque(image: Image.Image) -> Image.Image:
    """What is transparent (around the leaves of plants) gets the mean colour of what is not."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    pixels = np.asarray(image.convert("RGBA"), np.float32)
    rgb, alpha = pixels[..., :3], pixels[..., 3:] / 255
    mean = (rgb * alpha).sum((0, 1)) / max(float(alpha.sum()), 1e-6)
    return Image.fromarray((rgb * alpha + mean * (1 - alpha)).astype(np.uint8))


def _material(name: str, mtl: MtlMaterial, texture: NDArray[np.uint8] | None) -> Material:
    # Blinn's exponent n is about a lobe of roughness (2 / (n + 2)) ** 0.25 (Walter et al., EGSR 2007, as width ** 2).
    roughness = float(np.clip((2 / (max(mtl.shininess, 0) + 2)) ** 0.25, 0.15, 0.8))
    if texture is None and _METAL.search(name):
        color = _linear(max(mtl.diffuse, mtl.specular, key=sum))
        return Material(name, color, roughness=roughness, metal=True)
    highlight = 1.0 if mtl.opacity < _TRANSPARENT else max(mtl.specular) * np.clip(mtl.shininess / 100, 0, 1)
    gloss = float(np.clip(highlight, 0, 0.6))
    return Material(name, _linear(mtl.diffuse), texture, gloss=gloss, roughness=roughness)


def _linear(srgb: Rgb) -> Rgb:
    """Linear RGB of an MTL colour, which is taken for sRGB; never quite black or white."""
    r, g, b = (float(v) for v in np.clip(linear_of_srgb(np.clip(srgb, 0, 1)), 0.01, 0.9))
    return r, g, b
