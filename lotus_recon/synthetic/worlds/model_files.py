"""Models of others, read through the program ``assimp``: any format that it knows becomes GLB, which trimesh reads.

Both run in processes of their own with limits, and what they make is kept in a cache folder, so that a model is
converted once. World axes: metres, z up.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import re
import resource
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lotus_recon.errors import InputError
from lotus_recon.io.maps import load_arrays, save_arrays
from lotus_recon.sandbox import arrays_in_child

log = logging.getLogger(__name__)

PROGRAM = "assimp"
_VERSION = 2  # to be raised when the same file gives other surfaces: what was converted is kept
_SECONDS = 60
_MEMORY_MB = 4000
_TEXTURE_SIDE = 512  # pixels; larger pictures are reduced
_LARGEST_TEXTURE_PX = 8192 * 8192
_WORLD_FROM_GLTF = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # glTF: y up, z to the front
# Torcs adds layers of textures (shadows, skid marks) to AC3D's one; of several assimp would take the last.
_FURTHER_LAYER = re.compile(rb"^texture \S+ (tiled|skids|shad)\s*?$", re.MULTILINE)


@dataclass(frozen=True, eq=False)
class Surface:
    """Triangles of one material, as they stand in the file, in world axes and the file's unit."""

    points: NDArray[np.float32]  # (T, 3, 3): triangle, corner, xyz
    uv: NDArray[np.float32]  # (T, 3, 2), v up; zero without a texture
    color: tuple[float, float, float]  # sRGB in [0, 1], of what has no texture
    opacity: float
    texture: int  # index into Model.textures, -1 for none


@dataclass(frozen=True, eq=False)
class ModelFile:
    """All surfaces of a model file."""

    surfaces: tuple[Surface, ...]
    textures: tuple[NDArray[np.uint8], ...]  # (h, w, 4) sRGB and opacity


def has_assimp() -> bool:
    """Whether the program is installed."""
    return shutil.which(PROGRAM) is not None


def read_model(path: Path, cache: Path) -> ModelFile:
    """The surfaces of a model in any format that assimp reads; textures are searched beside it.

    ``cache`` is a folder for what was converted. Raises InputError when the file cannot be read or has no triangles.
    """
    facts = path.stat()
    key = hashlib.sha256(f"{_VERSION} {path.absolute()} {facts.st_size} {facts.st_mtime_ns}".encode()).hexdigest()[:24]
    kept = cache / f"{path.stem}-{key}.npz"
    if not kept.is_file():
        arrays = _converted(path)
        cache.mkdir(parents=True, exist_ok=True)
        save_arrays(kept, **arrays)
    return _unpacked(load_arrays(kept))


def _converted(path: Path) -> dict[str, NDArray[Any]]:
    """What ``_read_glb`` finds in the file once assimp has converted it."""
    with tempfile.TemporaryDirectory() as folder:
        glb = Path(folder) / "model.glb"
        source = path
        if path.suffix == ".acc":
            source = Path(folder) / "model.ac"
            source.write_bytes(_FURTHER_LAYER.sub(b"", path.read_bytes()))
        _run_assimp(source, glb)
        (Path(folder) / "textures.json").write_text(json.dumps(str(path.parent.absolute())))
        return arrays_in_child(_read_glb, glb, f"the GLB of {path.name}")


def _run_assimp(path: Path, glb: Path) -> None:
    try:
        done = subprocess.run(
            [PROGRAM, "export", str(path.absolute()), str(glb)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            preexec_fn=_limited,
            check=False,
        )
    except FileNotFoundError:
        raise InputError(f"the program {PROGRAM} is not installed (sudo apt-get install assimp-utils)") from None
    except subprocess.TimeoutExpired:
        raise InputError(f"{path}: {PROGRAM} does not end within {_SECONDS} s") from None
    if done.returncode != 0 or not glb.is_file():
        said = (done.stdout + done.stderr).decode(errors="replace")
        reason = next((line for line in said.splitlines() if re.search("error|fail", line, re.IGNORECASE)), "")
        raise InputError(f"{path}: {PROGRAM} cannot read it (status {done.returncode}) {reason.strip()}".rstrip())


def _limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_MB << 20,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def find_texture(folder: Path, name: str) -> Path | None:
    """The picture that a model means: games keep it beside the model or in a shared folder, in any case of letters."""
    base = name.replace("\\", "/").rsplit("/", 1)[-1]
    shared = [up / "data" / "textures" for up in folder.parents[:5]]
    for place in (folder / name, folder / base, folder.parent / base, *(up / base for up in shared)):
        if place.is_file():
            return place
    low = base.lower()
    return next((path for path in sorted(folder.iterdir()) if path.name.lower() == low and path.is_file()), None)


def _picture(path: Path) -> Image.Image:
    with Image.open(path) as opened:
        if opened.width * opened.height > _LARGEST_TEXTURE_PX:
            raise ValueError(f"{path.name} has {opened.width}x{opened.height} pixels")
        picture = opened.convert("RGBA")
    picture.thumbnail((_TEXTURE_SIDE, _TEXTURE_SIDE))
    return picture


class _Pictures:
    """Gives trimesh the pictures beside the model, as PNG."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __getitem__(self, name: str) -> bytes:
        """trimesh takes ValueError for a texture that is missing."""
        found = find_texture(self._folder, name)
        if found is None:
            raise ValueError(f"{name} is not there")
        buffer = io.BytesIO()
        _picture(found).save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()

    get = __getitem__


def _read_glb(path: Path) -> dict[str, NDArray[Any]]:
    """Runs in a child: triangles, materials and textures of a GLB as plain arrays."""
    import trimesh

    folder = Path(json.loads((path.parent / "textures.json").read_text()))
    # trimesh would mix highlights into the pictures where this extension of assimp's is; unknown, it is passed over.
    data = path.read_bytes().replace(b"KHR_materials_pbrSpecularGlossiness", b"XXX_materials_pbrSpecularGlossiness")
    scene = trimesh.load_scene(io.BytesIO(data), file_type="glb", resolver=cast(Any, _Pictures(folder)), process=False)
    points, uvs, facts = [], [], []
    pictures: dict[bytes, tuple[int, NDArray[np.uint8]]] = {}  # by content: trimesh copies them
    for node in scene.graph.nodes_geometry:
        transform, name = scene.graph[node]
        mesh = scene.geometry[name]
        if not isinstance(mesh, trimesh.Trimesh) or not len(mesh.faces):
            continue
        corners = trimesh.transform_points(mesh.vertices.view(np.ndarray), transform)[mesh.faces]
        points.append((corners @ _WORLD_FROM_GLTF.T).astype(np.float32))
        uv = getattr(mesh.visual, "uv", None)
        uvs.append((np.zeros((*corners.shape[:2], 2)) if uv is None else np.asarray(uv)[mesh.faces]).astype(np.float32))
        color, image = _material(mesh)
        index = -1
        if image is not None and uv is not None:
            pixels = np.asarray(image.convert("RGBA"), np.uint8)
            index = pictures.setdefault(pixels.tobytes(), (len(pictures), pixels))[0]
        facts.append([len(corners), index, *color])
    if not points:
        raise ValueError("it has no triangles")
    images = {f"texture{i}": pixels for i, pixels in pictures.values()}
    facts_ = np.array(facts, np.float64)
    return {"points": np.concatenate(points), "uv": np.concatenate(uvs), "facts": facts_, **images}


def _material(mesh: Any) -> tuple[tuple[float, ...], Image.Image | None]:
    """Colour (RGBA in [0, 1], as written) and picture."""
    material = getattr(mesh.visual, "material", None)
    image = getattr(material, "baseColorTexture", None)
    factor = getattr(material, "baseColorFactor", None)
    color = np.array([178, 178, 178, 255] if factor is None else factor, np.float64) / 255
    return tuple(float(value) for value in color), image


def _unpacked(arrays: dict[str, NDArray[Any]]) -> ModelFile:
    surfaces, start = [], 0
    for count, texture, r, g, b, opacity in arrays["facts"]:
        rows = slice(start, start + int(count))
        start += int(count)
        surfaces.append(
            Surface(
                arrays["points"][rows], arrays["uv"][rows], (float(r), float(g), float(b)), float(opacity), int(texture)
            )
        )
    count = sum(name.startswith("texture") for name in arrays)
    return ModelFile(tuple(surfaces), tuple(arrays[f"texture{i}"] for i in range(count)))
