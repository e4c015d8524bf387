"""What a page shows: a manifest of JSON values, and parts (meshes, clouds, images) that are made when asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lotus_recon.geometry.pose import invert_rigid, transform
from lotus_recon.io import visualization
from lotus_recon.io.images import read_rgb
from lotus_recon.types import Scene, View
from lotus_recon.viewing.pictures import AtlasGrid, ViewImages, atlas, image_file, width_for
from lotus_recon.viewing.shapes import Frame

_COLORS = 32  # stops of a colour ramp
_GLB, _JPEG = "model/gltf-binary", "image/jpeg"


@dataclass(frozen=True)
class Part:
    """Bytes of a media type, made when asked for. They change with the version."""

    media: str
    make: Callable[[], bytes]
    version: str = "1"

    @property
    def is_packed(self) -> bool:
        """Whether they are a compressed file already."""
        return self.media == _JPEG


@dataclass(frozen=True)
class Content:
    """The manifest (see ``page/main.js``) and the parts that it names."""

    manifest: dict[str, Any]
    parts: Mapping[str, Part]


@dataclass(frozen=True, eq=False)
class Shown:
    """What there is to show. Files that do not exist (yet) are None; ``versions`` by part, where they change."""

    title: str
    scene: Scene
    frame: Frame
    photos: Mapping[str, Path]  # by name of the view
    images: Mapping[str, ViewImages]  # maps by name of the view
    facts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # figures by name of the view
    shapes: Mapping[str, Callable[[], bytes]] = field(default_factory=dict)  # GLB of mesh, cloud, sparse
    cloud_spacing: float = 0.0  # between its points
    unit: str = "units"
    scalable: bool = False  # whether --scale-from could be given
    scale_hint: str = ""  # what a known length is good for
    versions: Mapping[str, str] = field(default_factory=dict)
    progress: str | None = None  # what is being computed; None: all is done


def content_of(shown: Shown, live: bool = False) -> Content:
    """The content of a page; ``live`` pages ask for it again and again."""
    views = shown.scene.views
    parts = {name: Part(_GLB, make) for name, make in shown.shapes.items()} | _image_parts(shown)
    grid = AtlasGrid.of(len(views))
    if any(view.name in shown.photos for view in views):
        photos = [_reader(shown.photos.get(view.name)) for view in views]
        parts["atlas"] = Part(_JPEG, partial(atlas, photos, grid))
    parts = {name: Part(part.media, part.make, shown.versions.get(name, part.version)) for name, part in parts.items()}
    layers = {name: {"part": name, "spacing": 0.0} for name in ("mesh", "cloud", "sparse") if name in parts}
    if "cloud" in layers:
        layers["cloud"]["spacing"] = shown.cloud_spacing
    manifest = {
        "title": shown.title,
        "summary": _summary(shown),
        "progress": shown.progress,
        "live": live,
        "unit": shown.unit,
        "scalable": shown.scalable,
        "scale_hint": shown.scale_hint,
        "origin": shown.frame.origin.tolist(),
        "up": shown.frame.up.tolist(),
        "palettes": {
            "height": _ramp(cv2.COLORMAP_TURBO),
            "confidence": _ramp(cv2.COLORMAP_VIRIDIS),
            "error": _ramp(cv2.COLORMAP_PLASMA),
        },
        "atlas": {"part": "atlas" if "atlas" in parts else None, "columns": grid.columns, "rows": grid.rows},
        "layers": layers,
        "views": [_view(shown, index) for index in range(len(views))],
        "parts": {name: part.version for name, part in parts.items()},
    }
    return Content(manifest, parts)


def _summary(shown: Shown) -> list[str]:
    count = len(shown.scene.views)
    photos = [f"{count:,} photos" if count > 1 else "1 photo"]
    points = [f"{len(shown.scene.points.xyz):,} sparse points"] if len(shown.scene.points.xyz) else []
    return [*photos, *points]


def _reader(path: Path | None) -> Callable[[], visualization.RgbImage] | None:
    return None if path is None else partial(read_rgb, path)


def _image_parts(shown: Shown) -> dict[str, Part]:
    width = width_for(shown.scene.views)
    return {
        _image_name(index, name): Part(_JPEG, partial(_image_bytes, make, width))
        for index, view in enumerate(shown.scene.views)
        for name, (make, _) in _images_of(shown, view).items()
    }


def _image_bytes(make: Callable[[], visualization.RgbImage], width: int) -> bytes:
    return image_file(make(), width)


def _image_name(index: int, name: str) -> str:
    return f"{name}-{index}"


def _images_of(shown: Shown, view: View) -> dict[str, tuple[Callable[[], visualization.RgbImage], str]]:
    photo = _reader(shown.photos.get(view.name))
    maps = shown.images[view.name].images if view.name in shown.images else {}
    return {**({"photo": (photo, "")} if photo is not None else {}), **maps}


def _view(shown: Shown, index: int) -> dict[str, Any]:
    view = shown.scene.views[index]
    camera = view.camera
    world_from_cam = invert_rigid(view.cam_from_world)
    world_from_cam[:3, 3] -= shown.frame.origin
    images = _images_of(shown, view)
    return {
        "name": view.name,
        "width": camera.width,
        "height": camera.height,
        "lens": [camera.fx, camera.fy, camera.cx, camera.cy],
        "world_from_cam": world_from_cam.ravel().tolist(),
        "depth": _depth(shown.scene, index),
        "images": {name: {"part": _image_name(index, name), "legend": legend} for name, (_, legend) in images.items()},
        "facts": dict(shown.facts.get(view.name, {})),
    }


def _depth(scene: Scene, index: int) -> float | None:
    """Median z-depth of the points that a view sees: where to turn about, seen from there."""
    seen = scene.points.obs_point[scene.points.rows_of(index)]
    if len(seen) == 0:
        return None
    depth = float(np.median(transform(scene.views[index].cam_from_world, scene.points.xyz[seen])[:, 2]))
    return depth if depth > 0 else None


def _ramp(colormap: int) -> list[list[int]]:
    """Stops [r, g, b] of a colour map, those of the images of maps."""
    levels = np.linspace(0, 1, _COLORS)[None]
    rgb: Sequence[Any] = visualization.colored(levels, np.ones(levels.shape, bool), colormap)[0].tolist()
    return [list(color) for color in rgb]
