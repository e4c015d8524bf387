"""Stage ``frame``: the world frame of a reconstruction. Scale from a known distance, vertical axis from the cameras."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon.bounded_yaml import load_bounded_file
from lotus_recon.errors import InputError, SfmError
from lotus_recon.geometry.gravity import estimate_up, rotation_between
from lotus_recon.geometry.pose import Similarity
from lotus_recon.io.cameras import (
    SourceCamera,
    read_colmap_scene,
    read_source_cameras,
    write_colmap_scene,
)
from lotus_recon.io.transforms import write_transforms
from lotus_recon.outside import matrix, member, number
from lotus_recon.sfm.config import FrameConfig
from lotus_recon.sfm.stage import SOURCES, SfmResult
from lotus_recon.types import Scene
from lotus_recon.workspace import write_json

log = logging.getLogger(__name__)

Z_UP = np.array([0.0, 0.0, 1.0])
SPARSE = "sparse"
FRAME = "frame.json"
_TRANSFORMS = "transforms.json"


@dataclass(frozen=True)
class Inputs:
    """The reconstruction in the frame that SfM found, and its undistorted photos, relative to the stage's folder."""

    sfm: SfmResult
    images_folder: str = "../images"


@dataclass(frozen=True)
class CameraDistance:
    """The distance in metres between the positions of two cameras, named by their photos."""

    a: str
    b: str
    metres: float


@dataclass(frozen=True)
class MarkedDistance:
    """The distance in metres between two points, each marked in two or more photos (pixels of the photo as given)."""

    a: Mapping[str, tuple[float, float]]
    b: Mapping[str, tuple[float, float]]
    metres: float


def parse_distance(text: str) -> CameraDistance | MarkedDistance:
    """``--scale-from``: ``"a.jpg,b.jpg=1.5"``, or a YAML file with ``metres`` and marks ``a`` and ``b``.

    Each mark maps photo names to ``[x, y]``. Raises InputError that says what is allowed.
    """
    if Path(text).suffix.lower() in (".yaml", ".yml", ".json"):
        return _marked_distance(Path(text))
    names, _, metres = text.rpartition("=")
    parts = [part.strip() for part in names.split(",")]
    try:
        value = float(metres)
    except ValueError:
        value = -1.0
    if len(parts) != 2 or not all(parts) or not value > 0:
        raise InputError(
            f"--scale-from {text!r}: give 'PHOTO_A,PHOTO_B=METRES' (the distance of two cameras) or a YAML file"
        )
    return CameraDistance(parts[0], parts[1], value)


def _marked_distance(path: Path) -> MarkedDistance:
    allowed = "needed: metres: NUMBER, a: {PHOTO: [x, y], ...}, b: {PHOTO: [x, y], ...} with two or more photos each"
    try:
        content = load_bounded_file(path, f"--scale-from {path}")
        marks = [_marks(member(content, key, key), key) for key in ("a", "b")]
        metres = number(member(content, "metres", "it"), "metres")
    except InputError as error:
        raise InputError(f"--scale-from {path}: {error}; {allowed}") from None
    if not metres > 0 or min(len(mark) for mark in marks) < 2:
        raise InputError(f"--scale-from {path}: {allowed}")
    return MarkedDistance(marks[0], marks[1], metres)


def _marks(points: Any, where: str) -> dict[str, tuple[float, float]]:
    """Pixel by photo."""
    if not isinstance(points, dict):
        raise InputError(f"{where} must be a mapping")
    pixels = {str(name): matrix(xy, (2,), f"{where}: {name}") for name, xy in points.items()}
    return {name: (float(x), float(y)) for name, (x, y) in pixels.items()}


def check(config: FrameConfig, poses_given: bool, names: Set[str] | None) -> None:
    """Raise InputError for options that do not fit together or name photos that are not among ``names``.

    ``names`` is None while it is not known which photos there will be.
    """
    if poses_given and (config.scale_from is not None or config.gravity):
        option = "--scale-from" if config.scale_from is not None else "--gravity"
        raise InputError(f"{option} would change the poses that --poses gives, and given poses are never changed")
    if config.scale_from is not None:
        distance = parse_distance(config.scale_from)
        used = [distance.a, distance.b] if isinstance(distance, CameraDistance) else [*distance.a, *distance.b]
        unknown = sorted(set(used) - names) if names is not None else []
        if unknown:
            raise InputError(f"--scale-from names photos that are not there: {', '.join(unknown)}")


def run(inputs: Inputs, config: FrameConfig, out_dir: Path) -> SfmResult:
    """Write sparse/, transforms.json and frame.json; the result's scene is in the world frame.

    Given poses are never changed: with them, options that would do so raise InputError. Raises SfmError when the
    photos that ``scale_from`` names do not tell the scale.
    """
    found, is_given = inputs.sfm, bool(inputs.sfm.report["poses_given"])
    check(config, is_given, set(found.scene.index) | set(found.report["unregistered"]))
    world_from_sfm = find_frame(found, config)
    scene = moved(found.scene, world_from_sfm, metric=config.scale_from is not None or found.scene.metric)
    write_colmap_scene(scene, out_dir / SPARSE)
    cameras = {view.name: SourceCamera.of_pinhole(view.camera) for view in scene.views}
    poses = {view.name: view.cam_from_world for view in scene.views}
    write_transforms(out_dir / _TRANSFORMS, cameras, poses, inputs.images_folder)
    frame = _described(world_from_sfm, config, scene.metric, is_given)
    write_json(out_dir / FRAME, {**frame, "sfm": found.report})
    return SfmResult(scene, found.source_cameras, _report(found.report, frame))


def load(out_dir: Path) -> SfmResult:
    """What ``run`` and the sfm stage wrote into one folder: the reconstruction in the world frame.

    Raises InputError for a missing or broken file.
    """
    try:
        frame = json.loads((out_dir / FRAME).read_text())
        report = _report(frame.pop("sfm"), frame)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{out_dir / FRAME} cannot be read: {error!r}") from None
    scene = read_colmap_scene(out_dir / SPARSE, metric=bool(report["metric"]))
    return SfmResult(scene, read_source_cameras(out_dir / SOURCES), report)


def _report(of_sfm: Mapping[str, Any], frame: Mapping[str, Any]) -> dict[str, Any]:
    return {**of_sfm, "metric": frame["metric"], "frame": dict(frame)}


def find_frame(found: SfmResult, config: FrameConfig) -> Similarity:
    """world_from_sfm: the identity where nothing is asked for. Raises SfmError when the scale cannot be told."""
    scale = 1.0
    if config.scale_from is not None:
        scale = metric_scale(found.scene, found.source_cameras, parse_distance(config.scale_from))
    rotation = gravity_rotation(found.scene) if config.gravity else np.eye(3)
    if config != FrameConfig():
        log.info("world frame: scale %.6g%s", scale, ", z up" if config.gravity else "")
    return Similarity(scale, rotation, np.zeros(3))


def _described(world_from_sfm: Similarity, config: FrameConfig, metric: bool, poses_given: bool) -> dict[str, Any]:
    """frame.json: the similarity x -> scale * rotation @ x + translation, as a matrix too, and how it was found."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = world_from_sfm.scale * world_from_sfm.R, world_from_sfm.t
    unscaled = "given poses" if poses_given else "structure from motion"
    return {
        "world_from_sfm": matrix.tolist(),
        "scale": world_from_sfm.scale,
        "rotation": world_from_sfm.R.tolist(),
        "translation": world_from_sfm.t.tolist(),
        "metric": metric,
        "scale_from": config.scale_from or unscaled,
        "axes_from": "cameras (z up)" if config.gravity else unscaled,
    }


def metric_scale(scene: Scene, sources: Mapping[str, SourceCamera], distance: CameraDistance | MarkedDistance) -> float:
    """Metres per unit of the scene. Raises SfmError when a photo is not registered or the distance is zero."""
    if isinstance(distance, CameraDistance):
        ends = [scene.views[_registered(scene, name)].center_in_world for name in (distance.a, distance.b)]
    else:
        ends = [_triangulated(scene, sources, mark) for mark in (distance.a, distance.b)]
    length = float(np.linalg.norm(ends[0] - ends[1]))
    if length == 0:
        raise SfmError("--scale-from: the two positions coincide in the reconstruction")
    return distance.metres / length


def _registered(scene: Scene, name: str) -> int:
    if name not in scene.index:
        raise SfmError(f"--scale-from: photo {name} was not registered, so its position is not known")
    return scene.index[name]


def _triangulated(
    scene: Scene, sources: Mapping[str, SourceCamera], mark: Mapping[str, tuple[float, float]]
) -> NDArray[np.float64]:
    """The point nearest to the rays through all marks: least squares over (I - d d^T)(x - c) = 0."""
    A, b = np.zeros((3, 3)), np.zeros(3)
    for name, xy in mark.items():
        view = scene.views[_registered(scene, name)]
        ray = view.cam_from_world[:3, :3].T @ sources[name].ray_of(xy)
        across = np.eye(3) - np.outer(ray, ray)
        A += across
        b += across @ view.center_in_world
    if np.linalg.cond(A) > 1e8:
        raise SfmError("--scale-from: the rays through a mark are parallel; mark it in photos from different places")
    return np.asarray(np.linalg.solve(A, b))


def gravity_rotation(scene: Scene) -> NDArray[np.float64]:
    """(3, 3) rotation that makes z point up."""
    return rotation_between(estimate_up([view.cam_from_world for view in scene.views]), Z_UP)


def moved(scene: Scene, new_from_old: Similarity, metric: bool) -> Scene:
    """The scene in another world frame."""
    views = tuple(replace(v, cam_from_world=new_from_old.apply_to_pose(v.cam_from_world)) for v in scene.views)
    points = replace(scene.points, xyz=new_from_old.apply(scene.points.xyz))
    return Scene(views, points, metric)
