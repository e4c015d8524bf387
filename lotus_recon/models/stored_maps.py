"""Depth and normals of other programs, read as predictions. What their files do not say, options have to."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.geometry.camera import is_resized
from lotus_recon.geometry.normals import normalized
from lotus_recon.geometry.resampling import Sampling, sample_prediction
from lotus_recon.io.images import read_mask, read_png16
from lotus_recon.io.map_arrays import read_depth_array, read_exr, read_normals_array
from lotus_recon.io.npz import npz_shapes, read_npz
from lotus_recon.models.layouts import DEPTH_ANYTHING_3, NAMES_FILE, SIGNS, Axes, Layout, MapFiles
from lotus_recon.outside import member, number, read_json
from lotus_recon.types import BoolArray, DepthKind, DepthMap, NormalMap, Prediction

log = logging.getLogger(__name__)

SIDECAR = "{view}/maps.json"  # of --maps: says all of the files beside it
_UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001}
_MAX_LENGTH_ERROR = 0.5  # of a normal: resized maps are shorter at creases


@dataclass(frozen=True)
class Meaning:
    """What the user says of stored maps; what is None is taken from the files."""

    depth_kind: str | None = None
    depth_unit: str | None = None
    normals_axes: Axes | None = None

    def __post_init__(self) -> None:
        kind = self.kind
        if self.depth_unit is not None:
            metres_per_unit(self.depth_unit)
        if self.depth_unit is not None and kind is not DepthKind.METRIC:
            raise InputError(f"--depth-unit {self.depth_unit}: only METRIC depth has a unit, not {self.depth_kind}")

    @property
    def kind(self) -> DepthKind | None:
        """The kind that is said, or METRIC where a unit is. Raises InputError for an unknown one."""
        if self.depth_kind is None:
            return DepthKind.METRIC if self.depth_unit is not None else None
        return DepthKind.parse(self.depth_kind)


UNSAID = Meaning()


def metres_per_unit(text: str) -> float:
    """The metres in a unit: m, cm, mm, or a number. Raises InputError for anything else."""
    if text in _UNITS:
        return _UNITS[text]
    plain = re.fullmatch(r"\d*\.?\d+(e[+-]?\d+)?", text.strip(), re.IGNORECASE)
    value = float(text) if plain else 0.0
    if not 0 < value < 1e6:
        raise InputError(f"--depth-unit {text!r}; allowed: m, cm, mm, or the metres in a unit of the files (0.00025)")
    return value


def read_map_files(files: MapFiles, meaning: Meaning) -> Prediction:
    """Depth, and normals where there are any, at the size of the files.

    Raises InputError naming file and option for what the files do not say, or say otherwise, and for files that are
    broken or hold something else.
    """
    kind, metres = _depth_meaning(files.layout, files.normals is not None, meaning, files.depth)
    values, has_gaps = read_depth_array(files.depth)
    has_gaps &= not files.layout.zero_is_value
    height, width = values.shape
    depth = _depth(values * np.float32(metres), kind, None if not has_gaps else values != 0, files.depth)
    normals = None if files.normals is None else _normals(files.normals, files.layout, meaning)
    if files.mask is not None:
        used = read_mask(files.mask, width, height)
        depth = replace(depth, valid=depth.valid & used)
        normals = normals and replace(normals, valid=normals.valid & used)
    return _prediction(depth, normals, files, meta={"model": files.layout.program or "stored", **_fov(files)})


def _prediction(depth: DepthMap, normals: NormalMap | None, files: MapFiles, meta: dict[str, Any]) -> Prediction:
    try:
        return Prediction(depth, normals, meta)
    except InputError as error:
        raise InputError(f"{files.depth} and {files.normals}: {error}") from None


def _fov(files: MapFiles) -> dict[str, float]:
    """The field of view, in degrees, that the program found with the depth."""
    path = files.depth.parent / "fov.json"
    if files.layout.program != "MoGe" or not path.is_file():
        return {}
    fov_deg = number(member(read_json(path, "fields of view"), "fov_x", str(path)), f"{path}: fov_x")
    return {"fov_x_deg": fov_deg} if 0 < fov_deg < 180 else {}


def check_meaning(layout: Layout, depth: Path, normals: Path | None, meaning: Meaning) -> None:
    """Raise InputError, naming the option, for what neither ``layout`` nor ``meaning`` say of two files."""
    _depth_meaning(layout, normals is not None, meaning, depth)
    if normals is not None:
        _axes(normals, layout, meaning)


def _depth_meaning(layout: Layout, has_normals: bool, meaning: Meaning, path: Path) -> tuple[DepthKind, float]:
    """Kind of the depth, and the metres in a unit of the file (1 where it has none)."""
    said = layout.kinds[0] if len(layout.kinds) == 1 else layout.kind_with_normals if has_normals else None
    whose = f"{path} ({layout.program})" if layout.program else str(path)
    kind = said or meaning.kind
    if kind is None:
        raise InputError(f"{whose} does not say what its numbers mean: {_choices(layout.kinds)}")
    asked = meaning.kind or kind
    if asked != kind:
        raise InputError(f"{whose} is {kind.value} depth, and the options say {asked.value}: leave them out")
    if kind not in layout.kinds:
        raise InputError(f"{whose}: {kind.value} is not what this program writes; {_choices(layout.kinds)}")
    if kind is not DepthKind.METRIC:
        return kind, 1.0
    unit = None if meaning.depth_unit is None else metres_per_unit(meaning.depth_unit)
    if layout.metres is not None and unit not in (None, layout.metres):
        raise InputError(f"{whose} is in units of {layout.metres:g} m, and --depth-unit says {unit:g} m: leave it out")
    metres = layout.metres or unit
    if metres is None:
        raise InputError(f"{whose}: METRIC depth needs its unit; give --depth-unit m, cm, mm, or the metres in a unit")
    return kind, metres


def _choices(kinds: Sequence[DepthKind]) -> str:
    others = " or ".join(kind.value for kind in kinds if kind is not DepthKind.METRIC)
    unit = "--depth-unit m, cm, mm or the metres in a unit for metric depth, " if DepthKind.METRIC in kinds else ""
    return f"give {unit}{'or ' if unit else ''}--depth-kind {others}"


def _depth(values: NDArray[np.float32], kind: DepthKind, known: BoolArray | None, path: Path) -> DepthMap:
    valid = np.isfinite(values) if known is None else np.isfinite(values) & known
    if not kind.has_shift:
        valid &= values > 0
    if not valid.any():
        raise InputError(f"{path}: depth has no valid pixel (all zero, NaN or infinite)")
    return DepthMap(values, valid, kind)


def _normals(path: Path, layout: Layout, meaning: Meaning) -> NormalMap:
    return unit_normals(read_normals_array(path, layout.is_coded), _axes(path, layout, meaning), path)


def _axes(path: Path, layout: Layout, meaning: Meaning) -> Axes:
    axes = layout.axes or meaning.normals_axes
    if axes is None:
        raise InputError(
            f"{path} does not say where the axes of its normals point: give --normals-axes opencv (x right, y down, z "
            "forward), opengl (x right, y up, z to the camera) or lotus (x left, y up, z to the camera)"
        )
    if meaning.normals_axes not in (None, axes):
        raise InputError(f"{path} ({layout.program}) has the axes {axes}, and --normals-axes says otherwise")
    return axes


def unit_normals(values: NDArray[np.float32], axes: Axes, path: Path) -> NormalMap:
    """Normals (H, W, 3) in ``axes`` as a map in ours. Raises InputError where they are none, or face away."""
    length = np.linalg.norm(values, axis=-1)
    valid = np.isfinite(length) & (np.abs(length - 1) < _MAX_LENGTH_ERROR)
    unit = normalized(np.where(valid[..., None], values, 0.0) * np.array(SIGNS[axes])).astype(np.float32)
    if valid.mean() < 0.5 * (np.isfinite(length) & (length > 0)).mean():
        raise InputError(f"{path}: most of its values are no vectors of unit length: these are no normals")
    if valid.any() and np.median(unit[valid][:, 2]) > 0:
        raise InputError(f"{path}: in the axes {axes} most of its normals look away from the camera: others are needed")
    return NormalMap(unit, valid)


def read_results(path: Path, view: str, meaning: Meaning) -> Prediction | None:
    """The depth of one photo from the results of Depth Anything 3; None where it was not among its photos.

    Raises InputError when the file does not hold as many maps as names.txt beside it, or above it, has names.
    """
    depth = _results(path, path.stat().st_mtime_ns)
    names = _names(path, len(depth))
    stem = str(PurePosixPath(view).with_suffix(""))
    rows = [i for i, name in enumerate(names) if name == stem or name.endswith(f"/{stem}")]
    if len(rows) > 1:
        raise InputError(f"{NAMES_FILE} of {path} names {view} {len(rows)} times")
    if not rows:
        return None
    kind, metres = _depth_meaning(DEPTH_ANYTHING_3, False, meaning, path)
    values = depth[rows[0]].astype(np.float32) * np.float32(metres)
    return Prediction(_depth(values, kind, None, path), None, {"model": DEPTH_ANYTHING_3.program})


@functools.lru_cache(maxsize=1)  # the maps of all photos, of which one is asked for at a time
def _results(path: Path, changed: int) -> NDArray[Any]:
    shapes = npz_shapes(path)
    if len(shapes.get("depth", ())) != 3:
        raise InputError(f"{path} has no 'depth' (photos, H, W), as Depth Anything 3 writes it")
    return read_npz(path, without=[name for name in shapes if name != "depth"])["depth"]


def _names(path: Path, count: int) -> list[str]:
    """The photos of the maps in their order, without suffix."""
    file = next((folder / NAMES_FILE for folder in path.parents[:3] if (folder / NAMES_FILE).is_file()), None)
    if file is None:
        raise InputError(
            f"{path} holds {count} maps and no names: write the names of the photos, in the order in which they were "
            f"given, to {path.parent / NAMES_FILE} (ls PHOTOS > {NAMES_FILE})"
        )
    try:
        lines = [line.strip() for line in file.read_text("utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read: {error}") from None
    if len(lines) != count:
        raise InputError(f"{file} has {len(lines)} names, {path} {count} maps: must agree")
    return [str(PurePosixPath(line.replace("\\", "/")).with_suffix("")) for line in lines]


def read_sidecar_maps(sidecar: Path) -> Prediction:
    """The maps of a folder that ``--maps`` wrote, as its maps.json says. Raises InputError for what is not there."""
    said = read_json(sidecar, "maps")
    folder = sidecar.parent
    name = next((name for name in ("depth.exr", "depth.png") if isinstance(said, dict) and name in said), None)
    if name is None:
        raise InputError(f"{sidecar} tells of no depth")
    kind = DepthKind.parse(str(member(said[name], "kind", str(sidecar))))
    if name == "depth.exr":
        depth = _depth(read_exr(folder / name)["Z"], kind, None, folder / name)
    else:
        scale, offset = (number(member(said[name], key, str(sidecar)), f"{sidecar}: {key}") for key in _SCALING)
        pixels = read_png16(folder / name)
        depth = _depth((pixels * scale + offset).astype(np.float32), kind, pixels != 0, folder / name)
    of_normals = next((folder / f"normals{s}" for s in (".exr", ".png") if f"normals{s}" in said), None)
    normals = None if of_normals is None else unit_normals(read_normals_array(of_normals, False), "opencv", of_normals)
    return Prediction(depth, normals, {"model": "stored"})


_SCALING = ("scale", "offset")


def fitted(prediction: Prediction, width: int, height: int, path: Path, step_px: int = 0) -> Prediction:
    """The maps at the size of their photo, which they show whole, and not blurred across edges.

    Raises InputError when the ratio of the sides differs by more than rounding to whole pixels, or to ``step_px``,
    explains.
    """
    rows, columns = prediction.shape
    if (columns, rows) == (width, height):
        return prediction
    check_ratio(path, (columns, rows), (width, height), step_px)
    _say_resized(path.parent, (columns, rows), (width, height))
    y, x = np.mgrid[:height, :width] + 0.5
    sampling = Sampling(np.stack([x * columns / width, y * rows / height], axis=-1), (rows, columns))
    return sample_prediction(prediction, sampling)


def check_ratio(path: Path, size: tuple[int, int], photo: tuple[int, int], step_px: int = 0) -> None:
    """Raise InputError unless a map of ``size`` (width, height) shows all of a photo, as ``fitted`` has it."""
    (columns, rows), (width, height) = size, photo
    rounded = abs(columns * height - rows * width) <= step_px / 2 * (width + height)
    if is_resized(size, photo) or rounded:
        return
    message = f"{path} is {columns}x{rows} pixels, its photo {width}x{height}: the ratio of the sides must agree"
    if is_resized((rows, columns), photo):
        message += " (maps must have the orientation of the photo after its EXIF rotation)"
    raise InputError(message)


@functools.lru_cache(maxsize=64)
def _say_resized(folder: Path, maps: tuple[int, int], photo: tuple[int, int]) -> None:
    log.warning("maps in %s are %dx%d pixels, brought to the %dx%d of their photos", folder, *maps, *photo)


def is_own(path: Path) -> bool:
    """Whether an npz says itself what it holds, as docs/formats.md has it."""
    return "meta" in npz_shapes(path)


def read_plain_npz(path: Path, meaning: Meaning) -> Prediction:
    """The array ``depth`` of an npz that does not say what it is, or its only array; and ``normals``.

    Raises InputError as ``read_map_files`` does.
    """
    arrays = read_npz(path)
    name = "depth" if "depth" in arrays or len(arrays) != 1 else next(iter(arrays))
    if name not in arrays:
        raise InputError(f"{path} has the arrays {', '.join(arrays)}; needed: 'depth' (H, W)")
    values = arrays[name].squeeze()
    if values.ndim != 2 or values.dtype.kind not in "fiu":
        raise InputError(f"{path}: {name} has shape {values.shape} and type {values.dtype}; allowed: (H, W)")
    unknown = Layout("", ())
    kind, metres = _depth_meaning(unknown, False, meaning, path)
    known = values != 0 if values.dtype.kind in "iu" else None
    depth = _depth(values.astype(np.float32) * np.float32(metres), kind, known, path)
    normals = None
    if "normals" in arrays:
        normals = unit_normals(arrays["normals"].astype(np.float32), _axes(path, unknown, meaning), path)
    return Prediction(depth, normals, {"model": "stored"})
