"""What a page shows of a scene of many photos, from the files of its stages; and of one photo."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lotus_recon.io import visualization
from lotus_recon.io.scene_maps import POSED_DEPTH, SceneMaps, ViewMaps
from lotus_recon.meshing.stage import gltf_from_views
from lotus_recon.types import Scene, View
from lotus_recon.viewing import shapes
from lotus_recon.viewing.content import Shown
from lotus_recon.viewing.pictures import ViewImages
from lotus_recon.viewing.shapes import Frame, origin_of

NORMALS_LEGEND = "red: to the right, green: up, blue: to the camera"
CONFIDENCE_LEGEND = "dark violet: 0, green: 0.5, yellow: 1"
_SPARSE_SHARE = 0.25  # of the size of the page
_SCALED = "for pipelines.multi_view: puts the scene in metres"
_GIVEN = "poses that are given are never changed, so there is no --scale-from for this scene"
_LIMIT_VIEWS = 8  # views whose depth decides where the colours end


@dataclass(frozen=True, eq=False)
class Files:
    """The files of a scene. None, or an empty list, where a stage has not written any (yet)."""

    title: str
    scene: Scene
    images_dir: Path  # upright, undistorted photos by view name
    prediction_dir: Path | None = None  # <stem>.npz with normals
    depth_dirs: Sequence[Path] = ()  # <stem>.npz with depth in units of the scene; the first that has a view counts
    mesh: Path | None = None
    textured: Path | None = None
    cloud: Path | None = None
    facts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    poses_given: bool = False
    size: int = 200_000
    versions: Mapping[str, str] = field(default_factory=dict)
    progress: str | None = None


def shown_scene(files: Files) -> Shown:
    """What a page shows. Raises InputError for files that cannot be read."""
    scene = files.scene
    frame = Frame(origin_of(scene), gltf_from_views(scene.views) if scene.views else np.eye(3)[[0, 2, 1]])
    folders = [SceneMaps(folder, kinds=POSED_DEPTH) for folder in files.depth_dirs]
    predictions = SceneMaps(files.prediction_dir) if files.prediction_dir is not None else None
    with_depth = [view for view in scene.views if any(maps.has(view) for maps in folders)]
    limits = _limits(_spread(with_depth, _LIMIT_VIEWS), folders)
    unit = "m" if scene.metric else "units"
    images = {v.name: ViewImages(v, dict(_maps_of(v, predictions, folders, limits, unit))) for v in scene.views}
    return Shown(
        title=files.title,
        scene=scene,
        frame=frame,
        photos={v.name: files.images_dir / v.name for v in scene.views if (files.images_dir / v.name).is_file()},
        images=images,
        facts=files.facts,
        shapes=_shapes(files, frame),
        cloud_spacing=_spacing(files.cloud),
        unit=unit,
        scalable=not files.poses_given,
        scale_hint=_GIVEN if files.poses_given else _SCALED,
        versions=files.versions,
        progress=files.progress,
    )


def _shapes(files: Files, frame: Frame) -> dict[str, Callable[[], bytes]]:
    made: dict[str, Callable[[], bytes]] = {}
    points = files.scene.points
    if files.mesh is not None:
        made["mesh"] = partial(shapes.mesh_part, files.mesh, files.textured, frame, files.size)
    if files.cloud is not None:
        made["cloud"] = partial(shapes.cloud_part, files.cloud, frame, files.size)
    if len(points.xyz):
        made["sparse"] = partial(shapes.sparse_part, points, frame, round(_SPARSE_SHARE * files.size))
    return made


def _spread(views: Sequence[View], count: int) -> list[View]:
    step = max(1, -(-len(views) // count))
    return list(views[::step])


def _limits(views: Sequence[View], folders: Sequence[SceneMaps]) -> tuple[float, float]:
    loaded = [_first(view, folders) for view in views]
    return visualization.depth_limits([maps.depth for maps in loaded if maps is not None and maps.depth is not None])


def _first(view: View, folders: Sequence[SceneMaps]) -> ViewMaps | None:
    return next((maps.load(view) for maps in folders if maps.has(view)), None)


MakeImage = Callable[[], visualization.RgbImage]


def _maps_of(
    view: View,
    predictions: SceneMaps | None,
    folders: Sequence[SceneMaps],
    limits: tuple[float, float],
    unit: str,
) -> Iterable[tuple[str, tuple[MakeImage, str]]]:
    """Depth, normals and confidence of a view as images, those that there are."""
    maps = next((maps for maps in folders if maps.has(view)), None)
    if maps is not None:
        yield "depth", (partial(_depth_image, maps, view, limits), depth_legend(limits, unit))
    if predictions is not None and predictions.has(view):
        yield "normals", (partial(_normals_image, predictions, view), NORMALS_LEGEND)
    if maps is not None:
        yield "confidence", (partial(_confidence_image, maps, view), CONFIDENCE_LEGEND)


def depth_legend(limits: tuple[float, float], unit: str) -> str:
    """What the colours of depth mean, which end at ``limits``."""
    return f"red: {limits[0]:.3g} {unit}, dark blue: {limits[1]:.3g}"


def _depth_image(maps: SceneMaps, view: View, limits: tuple[float, float]) -> visualization.RgbImage:
    return visualization.colorize_depth(maps.load(view).required_depth, limits)


def _normals_image(maps: SceneMaps, view: View) -> visualization.RgbImage:
    normals = maps.load(view).normals
    if normals is None:  # a model that predicts none
        return np.full((view.camera.height, view.camera.width, 3), 48, np.uint8)
    return visualization.colorize_normals(normals)


def _confidence_image(maps: SceneMaps, view: View) -> visualization.RgbImage:
    loaded = maps.load(view)
    return visualization.colorize_confidence(loaded.weight, loaded.required_depth.valid)


def _spacing(cloud: Path | None) -> float:
    """Side of the voxels of a cloud, in units of the scene; 0 where nothing says it."""
    try:
        return float(json.loads(cloud.with_suffix(".json").read_text())["voxel_size"]) if cloud is not None else 0.0
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0


def facts_of(alignment: Iterable[Mapping[str, Any]], stereo: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Figures of each view in words, from the rows of alignment.json and mvs.json."""
    facts: dict[str, dict[str, str]] = {}
    for row in alignment:
        own = facts.setdefault(row["name"], {})
        own["alignment"] = str(row["status"]).replace("_", " ")
        if row.get("median_after") is not None:
            own["held-out depth error"] = f"{row['median_after']:.2%} (median)"
    for row in stereo:
        own = facts.setdefault(row["name"], {})
        own["stereo"] = str(row["status"]).replace("_", " ")
        if row.get("median_after") is not None:
            own["stereo depth error"] = f"{row['median_after']:.2%} (median)"
        if row.get("matched") is not None:
            own["photos decide"] = f"{row['matched']:.0%} of its pixels"
    return facts
