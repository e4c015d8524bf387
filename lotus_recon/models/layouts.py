"""How programs lay out the depth and normals they write: which file is of which photo, and what its numbers mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from lotus_recon.types import DepthKind

# Signs that turn normals into OpenCV's axes (x right, y down, z forward), by where x, y and z of the file point.
Axes = Literal["opencv", "opengl", "lotus"]
SIGNS: dict[Axes, tuple[int, int, int]] = {
    "opencv": (1, 1, 1),
    "opengl": (1, -1, -1),  # x right, y up, z to the camera
    "lotus": (-1, -1, -1),  # x left, y up, z to the camera
}
_AFFINE_KINDS = tuple(kind for kind in DepthKind if kind.has_shift)
_NOT_AFFINE = (DepthKind.METRIC, DepthKind.SCALE_FREE)
_ANY = (*_NOT_AFFINE, *_AFFINE_KINDS)


@dataclass(frozen=True)
class Layout:
    """Files of one program. In patterns ``{view}`` is the path of a photo without suffix, ``{name}`` its last part."""

    program: str
    depth: tuple[str, ...]  # patterns below the folder; the first that is there counts
    normals: tuple[str, ...] = ()
    mask: str | None = None  # pattern; black: no value
    marker: str | None = None  # is there in every folder of this program
    kinds: tuple[DepthKind, ...] = _ANY  # one: the files say it themselves
    kind_with_normals: DepthKind | None = None  # where normals say which version wrote it
    metres: float | None = None  # per unit of the files, where they say it
    axes: Axes | None = None  # of the normals; None: the files do not say
    is_coded: bool = False  # normals in [0, 1] where they are floats
    zero_is_value: bool = False  # in files of integers, too
    ignores_exif: bool = False  # its maps are of the photo before EXIF turns it
    step_px: int = 0  # sides of its maps are rounded to multiples of this


_PLAIN = tuple(f"{stem}{suffix}" for stem in ("{view}", "{view}_depth", "depth/{view}") for suffix in (".npy", ".exr"))
_PLAIN_PNG = ("{view}.png", "{view}_depth.png", "depth/{view}.png")
_PLAIN_NORMALS = tuple(
    f"{stem}{suffix}"
    for stem in ("{view}_normals", "{view}_normal", "normals/{view}", "normal/{view}")
    for suffix in (".npy", ".exr", ".png")
)
RESULTS_FILES = ("results.npz", "exports/mini_npz/results.npz", "exports/npz/results.npz")  # maps of all photos
NAMES_FILE = "names.txt"  # whose maps those are, in order

DEPTH_ANYTHING_3 = Layout("Depth Anything 3", RESULTS_FILES, kinds=_NOT_AFFINE, ignores_exif=True, step_px=14)
# In this order they are tried; what says more of itself stands before what says less.
LAYOUTS = (
    Layout(
        # --maps, whose numbers were shifted by nobody: depth of version 2 is in metres, and only it has normals.
        "MoGe",
        ("{view}/depth.exr",),
        ("{view}/normal.exr", "{view}/normal.png"),
        mask="{view}/mask.png",
        marker="{view}/fov.json",
        kinds=_NOT_AFFINE,
        kind_with_normals=DepthKind.METRIC,
        metres=1.0,
        axes="opengl",
    ),
    Layout(
        "Marigold",
        ("depth_npy/{name}_depth.npy", "depth_bw/{name}_depth.png"),
        ("normals_npy/{name}_normals.npy", "normals_vis/{name}_normals.png"),
        kinds=(DepthKind.AFFINE,),
        axes="opengl",
        zero_is_value=True,
        ignores_exif=True,
    ),
    Layout(
        "Lotus",
        ("depth/{name}.npy",),
        ("normal/{name}.npy",),
        marker="depth_vis/{name}.png",
        kinds=_AFFINE_KINDS,
        axes="lotus",
        is_coded=True,
        ignores_exif=True,
    ),
    Layout("Depth Anything V2", ("{name}_raw_depth_meter.npy",), _PLAIN_NORMALS, kinds=(DepthKind.METRIC,), metres=1.0),
    Layout("", (*_PLAIN, *_PLAIN_PNG), _PLAIN_NORMALS),
)


@dataclass(frozen=True)
class MapFiles:
    """The files of one photo."""

    layout: Layout
    depth: Path
    normals: Path | None
    mask: Path | None


def files_of(folder: Path, view: str) -> MapFiles | None:
    """What a program wrote for the photo ``view`` (path with suffix), other than our npz; None where it wrote none."""
    for layout in LAYOUTS:
        if layout.marker is None or _first(folder, (layout.marker,), view):
            depth = _first(folder, layout.depth, view)
            if depth is not None:
                mask = _first(folder, (layout.mask,) if layout.mask else (), view)
                return MapFiles(layout, depth, _first(folder, layout.normals, view), mask)
    return None


def results_file(folder: Path) -> Path | None:
    """The file with the maps of all photos, where a folder has one."""
    return next((folder / name for name in RESULTS_FILES if (folder / name).is_file()), None)


def map_files(folder: Path) -> Iterator[Path]:
    """Every file of a folder that may be read for some photo, sorted."""
    suffixes = {".npz", ".npy", ".exr", ".png", ".json", ".txt"}
    return iter(sorted(path for path in folder.rglob("*") if path.suffix in suffixes and path.is_file()))


def has_depth(folder: Path) -> bool:
    """Whether a folder has files that may be depth of some photo."""
    return any(_any(folder, pattern) for layout in LAYOUTS for pattern in layout.depth)


def has_normals(folder: Path) -> bool:
    """Whether a folder has normals beside such files."""
    return any(_any(folder, pattern) for layout in LAYOUTS for pattern in layout.normals)


def _any(folder: Path, pattern: str) -> bool:
    return any(folder.glob(pattern.replace("{view}", "**/*").replace("{name}", "*")))


def _first(folder: Path, patterns: tuple[str, ...], view: str) -> Path | None:
    path = PurePosixPath(view).with_suffix("")
    filled = (pattern.replace("{view}", str(path)).replace("{name}", path.name) for pattern in patterns)
    return next((folder / name for name in filled if (folder / name).is_file()), None)
