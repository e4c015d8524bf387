"""Normal sets as DSINE packs them (Bae and Davison, CVPR 2024): NYUv2, ScanNet, iBims-1, Sintel, OASIS.

In ``dsine_eval/<set>``: ``<scene>/<name>_img.png`` (or .jpg) and beside it ``_normal.png`` (8 bits, (n + 1) / 2, black
where unknown), ``_normal.exr`` (floats, zero where unknown) or ``_normal.pkl`` (OASIS: a region of floats). Their axes
are x left, y up, z to the camera, in OASIS x right, y down, z to the camera.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon.datasets.benchmarks.base import BenchmarkSpec, Truth
from lotus_recon.datasets.benchmarks.source import Source, read_list, refuse_shared_names
from lotus_recon.errors import InputError
from lotus_recon.geometry.normals import normalized
from lotus_recon.io.map_arrays import read_exr
from lotus_recon.types import BoolArray

_CV_FROM_LEFT_UP_BACK = np.float32(-1)  # the same factor on all three axes
_CV_FROM_RIGHT_DOWN_BACK = np.array([1, 1, -1], np.float32)
_CORES = ("core", "_core")  # where numpy 1 and 2 keep the same functions
_PICKLED = {  # all that a pickle of arrays needs, beside what is below
    ("builtins", "dict"), ("_codecs", "encode"), ("numpy", "dtype"),
    *((f"numpy.{core}.multiarray", "scalar") for core in _CORES),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in _CORES),
}  # fmt: skip
_RECONSTRUCT = {(f"numpy.{core}.multiarray", "_reconstruct") for core in _CORES}

Maps = tuple[NDArray[np.float32], BoolArray]


def _png(source: Source, path: str, size: tuple[int, int]) -> Maps:
    image = source.photo(path)
    normals = (image.astype(np.float32) / np.float32(255) * 2 - 1) * _CV_FROM_LEFT_UP_BACK
    return np.asarray(normals, np.float32), np.asarray(image.any(-1), bool)


def _exr(source: Source, path: str, size: tuple[int, int]) -> Maps:
    raw = _channels(source, path)
    return raw * _CV_FROM_LEFT_UP_BACK, np.linalg.norm(raw, axis=-1) > 0.5


def _oasis(source: Source, path: str, size: tuple[int, int]) -> Maps:
    stored = _unpickled(source, path)
    try:
        rows = slice(int(stored["min_y"]), int(stored["max_y"]) + 1)
        columns = slice(int(stored["min_x"]), int(stored["max_x"]) + 1)
        normals = np.zeros((*size, 3), np.float32)
        normals[rows, columns] = stored["normal"]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{source.where(path)} is not a region of normals of a photo of {size}: {error}") from None
    return normals * _CV_FROM_RIGHT_DOWN_BACK, (normals != 0).any(-1)


@dataclass(frozen=True)
class NormalLayout:
    """The spec and layout of one set."""

    spec: BenchmarkSpec
    folder: str
    suffix: str  # of the normals
    read: Callable[[Source, str, tuple[int, int]], Maps]


def _layout(title: str, folder: str, suffix: str, read: Callable[[Source, str, tuple[int, int]], Maps]) -> NormalLayout:
    origin = f"folder {folder} of dsine_eval.zip, and the split lists, both linked from DSINE's repository"
    return NormalLayout(BenchmarkSpec(title, origin, padding=32), folder, suffix, read)


LAYOUTS: Mapping[str, NormalLayout] = {
    "nyuv2": _layout("NYUv2 normals", "nyuv2", ".png", _png),
    "scannet": _layout("ScanNet normals", "scannet", ".png", _png),
    "ibims": _layout("iBims-1 normals", "ibims", ".exr", _exr),
    "sintel": _layout("Sintel normals", "sintel", ".exr", _exr),
    "oasis": _layout("OASIS normals", "oasis", ".pkl", _oasis),
}


class DsineSet:
    """Photos and normals of one set. ``root`` is ``dsine_eval``, or the folder of the set in it, or a tar of either."""

    def __init__(self, layout: NormalLayout, root: Path, file_list: Path) -> None:
        self.spec = layout.spec
        self._layout = layout
        self._source = Source(root)
        listed = [row[0] for row in read_list(file_list)]
        for photo in listed:
            if "_img." not in photo:
                raise InputError(f"{file_list}: {photo!r} does not end in _img.png or _img.jpg, as DSINE names photos")
        self._photos = [self._inside(photo, file_list) for photo in listed]
        refuse_shared_names(((self.name(i), photo) for i, photo in enumerate(self._photos)), file_list)
        inside = f"{layout.folder}/"
        self._prefix = inside if self._source.has(inside + self._photos[0]) else ""

    def _inside(self, photo: str, file_list: Path) -> str:
        try:
            return self._source.inside(photo)
        except InputError as error:
            raise InputError(f"{file_list}: {error}") from None

    def __len__(self) -> int:
        return len(self._photos)

    def name(self, index: int) -> str:
        """Path of the photo without ``_img`` and suffix."""
        return self._photos[index].rpartition("_img.")[0]

    def missing(self) -> list[str]:
        """Photos and normals of the list that the set lacks."""
        photos = [self._prefix + photo for photo in self._photos]
        return self._source.without([*photos, *(self._normals_path(i) for i in range(len(self)))])

    def photo(self, index: int) -> NDArray[np.uint8]:
        """(H, W, 3) the photo."""
        return self._source.photo(self._prefix + self._photos[index])

    def truth(self, index: int) -> Truth:
        """Unit normals in OpenCV axes."""
        path = self._normals_path(index)
        size = (0, 0) if self._layout.suffix != ".pkl" else self.photo(index).shape[:2]
        raw, valid = self._layout.read(self._source, path, (size[0], size[1]))
        return Truth(normals=normalized(raw).astype(np.float32), normals_valid=valid)

    def _normals_path(self, index: int) -> str:
        return f"{self._prefix}{self.name(index)}_normal{self._layout.suffix}"


def _channels(source: Source, path: str) -> NDArray[np.float32]:
    """(H, W, 3) the red, green and blue of an OpenEXR file. Raises InputError when it is none."""
    where = source.where(path)
    with tempfile.NamedTemporaryFile(suffix=".exr") as file:  # the library reads files only
        file.write(source.read(path))
        file.flush()
        channels = read_exr(Path(file.name), where)
    if not set("RGB") <= set(channels):
        raise InputError(f"{where} has the channels {', '.join(channels)}; needed: R, G and B")
    return np.stack([channels[name] for name in "RGB"], axis=-1)


class _ArraysOnly(pickle.Unpickler):
    """Unpickles arrays only: a pickle can run any code, but arrays need only names of numpy."""

    def find_class(self, module: str, name: str) -> Any:
        """The object, if arrays consist of it."""
        if (module, name) in _RECONSTRUCT:
            return _empty_array
        if (module, name) == ("numpy", "ndarray"):
            return None  # only what _empty_array is called with: called itself it would take any memory
        if (module, name) not in _PICKLED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which arrays have no use for")
        return super().find_class(module, name)


def _empty_array(kind: None, shape: tuple[int, ...], code: bytes) -> NDArray[Any]:
    """What a pickle of an array begins with; its state, which brings the shape, is checked against its data."""
    if shape != (0,):
        raise pickle.UnpicklingError(f"an array begins with the shape {shape}, not (0,)")
    return np.empty(shape, np.int8)


def _check_sizes(data: bytes) -> None:
    """Refuses lengths beyond the end and memo indices beyond the number of bytes: Unpickler allocates them at once."""
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name.endswith("PUT") and argument is not None and argument > len(data):
            raise pickle.UnpicklingError(f"the memo index {argument} in {len(data)} bytes")


def _unpickled(source: Source, path: str) -> Mapping[str, Any]:
    data = source.read(path)
    try:
        _check_sizes(data)
        stored = _ArraysOnly(io.BytesIO(data), encoding="latin1").load()
    except (pickle.UnpicklingError, EOFError, ArithmeticError, AttributeError, ImportError, LookupError, TypeError,
            ValueError) as error:  # fmt: skip
        raise InputError(f"{source.where(path)} is not a pickle of arrays: {error}") from None
    if not isinstance(stored, dict):
        raise InputError(f"{source.where(path)} holds {type(stored).__name__}; needed: a dictionary")
    return stored
