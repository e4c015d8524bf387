"""The files of a data set of rooms: names, units, encodings. What writes them and what reads them agree here."""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.types import BoolArray, DepthKind, DepthMap

LAYOUT_VERSION = 1
# To be raised when the same seed gives other rooms or cameras, and when the same room gives other photos. A data set
# without these numbers was made by the first.
GENERATOR_VERSION = 2
RENDERER_VERSION = 3
DATASET_FILE = "dataset.json"
ATTRIBUTION_FILE = "ATTRIBUTION.md"

DEPTH_UNIT_M = 0.00025  # of 16 bits: what is farther than 16.38 m is invalid
FAR_DEPTH = "log"  # what scene.json says of depth where it reaches farther
_FAR_M = (0.05, 500.0)

_SCENE_NAME = re.compile(r"scene_(\d{6,})")


@dataclass(frozen=True)
class SceneFolder:
    """The files of one room. Its photos are named by number: 000, 001, ..."""

    path: Path

    @classmethod
    def of_number(cls, root: Path, number: int) -> SceneFolder:
        """Folder of the room ``number``."""
        return cls(root / f"scene_{number:06d}")

    @property
    def number(self) -> int:
        """Number of the room."""
        return int(self.path.name.removeprefix("scene_"))

    @property
    def metadata(self) -> Path:
        """scene.json: seed, versions, metadata of the views, credits."""
        return self.path / "scene.json"

    @property
    def transforms(self) -> Path:
        """Cameras and poses as nerfstudio has them."""
        return self.path / "transforms.json"

    @property
    def mesh(self) -> Path:
        """The true surface, where it was written."""
        return self.path / "mesh.ply"

    def photo(self, view: str) -> Path:
        """JPEG."""
        return self.path / "images" / f"{view}.jpg"

    def depth(self, view: str) -> Path:
        """See ``encode_depth``."""
        return self.path / "depth" / f"{view}.png"

    def normals(self, view: str) -> Path:
        """16-bit, see ``lotus_recon.io.normal_maps``; OpenCV camera axes."""
        return self.path / "normals" / f"{view}.png"

    def sky(self, view: str) -> Path:
        """255 where the view shows sky, else 0; without any sky there is no file."""
        return self.path / "sky" / f"{view}.png"

    def view_names(self) -> list[str]:
        """Names of the photos, sorted; of those too that a broken copy has only the depth or the normals of."""
        files = [
            path for pattern in ("images/*.jpg", "depth/*.png", "normals/*.png") for path in self.path.glob(pattern)
        ]
        return sorted({path.stem for path in files})


def view_name(index: int) -> str:
    """Name of the photo ``index`` of a room."""
    return f"{index:03d}"


def finished_scenes(root: Path) -> list[SceneFolder]:
    """All rooms in a data set, by number. A room is renamed to its name when it is whole."""
    folders = [SceneFolder(path) for path in root.glob("scene_*") if _SCENE_NAME.fullmatch(path.name)]
    return sorted(folders, key=lambda folder: folder.number)


@functools.lru_cache(maxsize=4096)
def is_far(metadata: Path) -> bool:
    """Whether scene.json says that the depth maps of a scene are those of ``encode_far_depth``."""
    try:
        return json.loads(metadata.read_text()).get("depth") == FAR_DEPTH
    except FileNotFoundError:
        return False
    except (ValueError, AttributeError) as error:
        raise InputError(f"{metadata} is not the description of a scene: {error!r}") from None


def encode_far_depth(depth: DepthMap) -> NDArray[np.uint16]:
    """(H, W) logarithms of z-depth, 1 for 5 cm to 65535 for 500 m; 0 where invalid, nearer or farther."""
    values = np.where(depth.valid & (depth.values > 0), depth.values, _FAR_M[1] * 2).astype(np.float64)
    steps = np.round(1 + 65534 * np.log(values / _FAR_M[0]) / np.log(_FAR_M[1] / _FAR_M[0]))
    return np.where((steps >= 1) & (steps <= 65535), steps, 0).astype(np.uint16)


def decode_far_depth(png: NDArray[np.uint16]) -> DepthMap:
    """Inverse of ``encode_far_depth`` for pixels (H, W), exact to 0.007 %."""
    values = _FAR_M[0] * (_FAR_M[1] / _FAR_M[0]) ** ((png.astype(np.float64) - 1) / 65534)
    return DepthMap(np.where(png > 0, values, 0).astype(np.float32), png > 0, DepthKind.METRIC)


def encode_depth(depth: DepthMap) -> NDArray[np.uint16]:
    """(H, W) metric z-depth in units of 0.25 mm; 0 where invalid or too far."""
    steps = np.round(np.where(depth.valid, depth.values, 0).astype(np.float64) / DEPTH_UNIT_M)
    return np.where(steps <= 65535, steps, 0).astype(np.uint16)


def decode_depth(png: NDArray[np.uint16]) -> DepthMap:
    """Inverse of ``encode_depth`` for pixels (H, W), exact to 0.125 mm."""
    return DepthMap((png * DEPTH_UNIT_M).astype(np.float32), png > 0, DepthKind.METRIC)


def encode_sky(sky: BoolArray) -> NDArray[np.uint8]:
    """(H, W) 255 where there is sky."""
    return sky.astype(np.uint8) * np.uint8(255)
