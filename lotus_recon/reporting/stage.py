"""The report stage: report.json, images/ and index.html from what the other stages wrote."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from lotus_recon import __version__
from lotus_recon.errors import InputError
from lotus_recon.geometry.points import P90_SIGMAS, point_errors
from lotus_recon.io import visualization
from lotus_recon.io.images import read_rgb, write_jpeg
from lotus_recon.io.meshes import read_mesh
from lotus_recon.io.scene_maps import POSED_DEPTH, SceneMaps, ViewMaps
from lotus_recon.io.textured_meshes import read_textured_glb
from lotus_recon.meshing.stage import gltf_from_views
from lotus_recon.progress import track
from lotus_recon.reporting import legends, page
from lotus_recon.reporting.config import ReportConfig
from lotus_recon.reporting.rendering import MeshRenderer, Shading, viewpoints
from lotus_recon.types import BoolArray, DepthMap, Scene, View
from lotus_recon.viewing.page import write_page
from lotus_recon.viewing.scene import Files, shown_scene
from lotus_recon.workspace import write_atomically, write_json

log = logging.getLogger(__name__)

REPORT_FILE, PAGE_FILE, VIEW_FILE, IMAGE_FOLDER = "report.json", "index.html", "view.html", "images"
_JPEG_QUALITY = 90
_FULL_ERROR = 0.03  # relative error at sparse points from which on they are red
_LIBRARIES = ("numpy", "scipy", "torch", "diffusers", "pycolmap", "open3d", "opencv-python-headless")


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the report is about. Folders and files that do not exist (a run that ended early) are left out of it."""

    scene: Scene
    images_dir: Path  # upright, undistorted photos by view name
    photos: tuple[str, ...]  # names of all photos, also of those that were not registered
    prediction_dir: Path | None = None  # <stem>.npz
    alignment_dir: Path | None = None  # <stem>.npz
    mvs_dir: Path | None = None  # <stem>.npz with depth, depth_valid, confidence
    adapted_dir: Path | None = None  # <stem>.npz with depth, aligned, of the network as it learnt this scene
    scored_points: BoolArray | None = None  # (P,) sparse points whose errors are shown on the stereo depth
    consistency_dir: Path | None = None  # <stem>.npz with depth, depth_valid, confidence
    uncertainty_dir: Path | None = None  # <stem>.npz with sigma
    mesh: Path | None = None
    textured_mesh: Path | None = None  # as the stage texture writes it (GLB, y up)
    # stage.json of every stage by name, in order: seconds, peak_memory_mb, warnings
    stages: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    # JSON values by heading, for instance the content of alignment.json; mappings and lists of rows become tables
    figures: Mapping[str, Any] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)  # text -> address relative to the report's folder
    notes: tuple[str, ...] = ()  # what a reader has to know
    title: str = "Reconstruction"
    page: Files | None = None  # what the 3D page shows; None: there is none


@dataclass(frozen=True, eq=False)
class ReportResult:
    """Where the report is, and its content."""

    page: Path
    content: dict[str, Any]

    @classmethod
    def load(cls, out_dir: Path) -> ReportResult:
        """The report in a folder. Raises InputError when it is not there."""
        path = out_dir / REPORT_FILE
        try:
            return cls(out_dir / PAGE_FILE, json.loads(path.read_text()))
        except (OSError, json.JSONDecodeError) as error:
            raise InputError(f"{path} is not a readable report: {error}") from None


def run(inputs: Inputs, config: ReportConfig, out_dir: Path) -> ReportResult:
    """Write report.json, the images and index.html. Raises InputError when a file that exists cannot be read."""
    shown = _view_images(inputs, config, out_dir)
    content = {
        "title": inputs.title,
        "versions": _versions(),
        "notes": list(dict.fromkeys([*inputs.notes, *shown.notes])),
        "photos": _registration(inputs),
        "stages": _stage_rows(inputs.stages),
        "total": _total(inputs.stages),
        "warnings": _warnings(inputs.stages),
        "figures": dict(inputs.figures),
        "links": ({"view in 3D": VIEW_FILE} if inputs.page is not None else {}) | dict(inputs.links),
        "views": shown.rows,
        "aligned_near_far": shown.aligned_near_far,
        "renders": _renders(inputs, config, out_dir),
    }
    if inputs.page is not None:
        write_page(shown_scene(inputs.page), out_dir / VIEW_FILE, report=PAGE_FILE)
    write_json(out_dir / REPORT_FILE, content)
    # The page shows what the file holds, so both say the same.
    stored = json.loads((out_dir / REPORT_FILE).read_text())
    write_atomically(out_dir / PAGE_FILE, lambda part: part.write_text(page.html_of(stored), encoding="utf-8"))
    return ReportResult.load(out_dir)


def _versions() -> dict[str, str]:
    versions = {"lotus_recon": __version__}
    for library in _LIBRARIES:
        try:
            versions[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            log.debug("%s is not installed as a package of its own", library)
    return versions


def _registration(inputs: Inputs) -> dict[str, Any]:
    registered = sorted(view.name for view in inputs.scene.views)
    missing = sorted(set(inputs.photos) - set(registered))
    return {"given": len(inputs.photos), "registered": registered, "not_registered": missing}


def _stage_rows(stages: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    keys = ("seconds", "peak_memory_mb")
    return [{"stage": name, **{key: info[key] for key in keys if key in info}} for name, info in stages.items()]


def _total(stages: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Seconds of all stages together and the highest of their memory peaks."""
    seconds = sum(float(info.get("seconds", 0)) for info in stages.values())
    peak = max((float(info.get("peak_memory_mb", 0)) for info in stages.values()), default=0.0)
    return {"seconds": round(seconds, 3), "peak_memory_mb": peak}


def _warnings(stages: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    return [{"stage": name, "warning": str(text)} for name, info in stages.items() for text in info.get("warnings", ())]


@dataclass(frozen=True, eq=False)
class _Image:
    rgb: visualization.RgbImage
    legend: str = ""  # what the colours mean


@dataclass(frozen=True)
class _ViewImages:
    rows: list[dict[str, Any]]  # view, images and legends by label
    notes: list[str]  # what the predictions say of themselves (``note`` in meta)
    aligned_near_far: tuple[float, float] | None  # depth at the ends of the colours, the same for all views


def _view_images(inputs: Inputs, config: ReportConfig, out_dir: Path) -> _ViewImages:
    """Images of some views."""
    chosen = _spread(_views_with_maps(inputs), config.report_views)
    aligned = {view.name: _aligned(inputs, view) for view in chosen}
    limits = visualization.depth_limits([depth for depth in aligned.values() if depth is not None])
    rows, notes = [], []
    for number, view in enumerate(track(chosen, "images of views", len(chosen)), 1):
        prediction = _maps(inputs.prediction_dir, view)
        if prediction is not None and "note" in prediction.meta:
            notes.append(str(prediction.meta["note"]))
        shown = _images_of_view(inputs, view, prediction, aligned[view.name], limits)
        row: dict[str, Any] = {"view": view.name, "images": {}, "legends": {}}
        for label, image in shown.items():
            name = f"{IMAGE_FOLDER}/view_{number:02d}_{label.replace(' ', '_')}.jpg"
            write_jpeg(out_dir / name, visualization.fitted(image.rgb, config.advanced.picture_width), _JPEG_QUALITY)
            row["images"][label], row["legends"][label] = name, image.legend
        rows.append(row)
    return _ViewImages(rows, notes, limits if any(depth is not None for depth in aligned.values()) else None)


def _views_with_maps(inputs: Inputs) -> list[View]:
    """The views that have a prediction or aligned depth; all of them when none has."""
    stored = [SceneMaps(folder) for folder in (inputs.prediction_dir, inputs.alignment_dir) if folder is not None]
    with_maps = [view for view in inputs.scene.views if any(maps.has(view) for maps in stored)]
    return with_maps or list(inputs.scene.views)


def _spread(views: Sequence[View], count: int) -> list[View]:
    """``count`` of the views, evenly spread and with the first and the last; all when there are fewer."""
    if len(views) <= count:
        return list(views)
    return [views[i] for i in np.unique(np.linspace(0, len(views) - 1, count).round().astype(int))]


def _images_of_view(
    inputs: Inputs, view: View, prediction: ViewMaps | None, aligned: DepthMap | None, limits: tuple[float, float]
) -> dict[str, _Image]:
    """Images by label, in the order they are shown in."""
    shown: dict[str, _Image] = {}
    photo = inputs.images_dir / view.name
    if photo.is_file():
        shown["input"] = _Image(read_rgb(photo))
    if prediction is not None and prediction.depth is not None:
        shown["depth"] = _depth_image(prediction.depth, visualization.depth_limits([prediction.depth]))
    if prediction is not None and prediction.normals is not None:
        shown["normals"] = _Image(visualization.colorize_normals(prediction.normals), legends.NORMALS)
    if aligned is not None:
        shown["aligned depth"] = _depth_image(aligned, limits)
    adapted = _maps(inputs.adapted_dir, view)
    if adapted is not None and adapted.depth is not None:
        shown["adapted depth"] = _depth_image(adapted.depth, limits)
    stereo = _maps(inputs.mvs_dir, view)
    if stereo is not None:
        shown |= _stereo_images(inputs, view, stereo, aligned, limits)
    checked = _maps(inputs.consistency_dir, view)
    if checked is not None:
        confidence = visualization.colorize_confidence(checked.weight, checked.required_depth.valid)
        shown["confidence"] = _Image(confidence, legends.CONFIDENCE)
    bars = _maps(inputs.uncertainty_dir, view)
    if bars is not None and bars.sigma is not None:
        error_bars = visualization.colorize_errors(P90_SIGMAS * bars.sigma, bars.sigma > 0)
        shown["error bars"] = _Image(error_bars, legends.ERROR_BARS)
    return shown


def _depth_image(depth: DepthMap, limits: tuple[float, float]) -> _Image:
    return _Image(visualization.colorize_depth(depth, limits), legends.of_depth(depth.kind, limits))


def _stereo_images(
    inputs: Inputs, view: View, stereo: ViewMaps, aligned: DepthMap | None, limits: tuple[float, float]
) -> dict[str, _Image]:
    """The depth of multi-view stereo, its change, what the photos decide, and its error at sparse points."""
    depth = stereo.required_depth
    shown = {"stereo depth": _depth_image(depth, limits)}
    if aligned is not None:
        change, full = visualization.colorize_change(aligned.values, depth.values, depth.valid & aligned.valid)
        shown["change"] = _Image(change, legends.of_change(full))
    agreement = visualization.colorize_confidence(stereo.weight, depth.valid)
    shown["photo agreement"] = _Image(agreement, legends.PHOTO_AGREEMENT)
    photo = inputs.images_dir / view.name
    if inputs.scored_points is not None and photo.is_file():
        index = inputs.scene.index[view.name]
        xy, error = point_errors(inputs.scene, index, stereo.depth_or_zero, inputs.scored_points)
        dots = visualization.draw_errors(read_rgb(photo), xy, error, _FULL_ERROR)
        shown["error at points"] = _Image(dots, legends.of_errors(_FULL_ERROR))
    return shown


def _maps(folder: Path | None, view: View) -> ViewMaps | None:
    """What a folder holds of a view; None where there is no folder, no file, or no pixel of its depth is valid."""
    stored = None if folder is None else SceneMaps(folder)
    if stored is None or not stored.has(view):
        return None
    maps = stored.load(view)
    return maps if maps.depth is None or maps.depth.valid.any() else None


def _aligned(inputs: Inputs, view: View) -> DepthMap | None:
    maps = _maps(inputs.alignment_dir, view)
    return maps.depth if maps is not None and maps.depth is not None and maps.depth.kind in POSED_DEPTH else None


def _renders(inputs: Inputs, config: ReportConfig, out_dir: Path) -> list[dict[str, Any]]:
    """Pictures of the mesh from three places: with its texture (or its colours, where it has none), and in grey."""
    if inputs.mesh is None or not inputs.mesh.is_file() or config.advanced.render_width == 0 or not inputs.scene.views:
        return []
    mesh = read_mesh(inputs.mesh)
    renderer = MeshRenderer(mesh)
    shadings: dict[Shading, MeshRenderer] = {"color": renderer} if mesh.colors is not None else {}
    if inputs.textured_mesh is not None and inputs.textured_mesh.is_file():
        upright = read_textured_glb(inputs.textured_mesh)
        shadings = {"texture": MeshRenderer(upright.turned(gltf_from_views(inputs.scene.views).T))}
    shadings |= {"shaded": renderer} if shadings else {"shaded": renderer, "normals": renderer}
    places = viewpoints(inputs.scene, renderer, config.advanced.render_width)
    rows = []
    for number, place in enumerate(track(places, "rendering the mesh", len(places)), 1):
        row: dict[str, Any] = {"place": place.label, "images": {}}
        for shading, shown_by in shadings.items():
            image = shown_by.render(place.camera, place.cam_from_world, [shading])[shading]
            name = f"{IMAGE_FOLDER}/mesh_{number}_{shading}.jpg"
            write_jpeg(out_dir / name, image, _JPEG_QUALITY)
            row["images"][shading] = name
        rows.append(row)
    return rows
