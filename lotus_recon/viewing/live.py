"""What a run that is not finished has to show so far: cameras that were registered, depth that was aligned."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.geometry.pose import invert_rigid, transform
from lotus_recon.io.cameras import PosedPhotos, read_colmap_model
from lotus_recon.io.images import read_rgb, resize_rgb
from lotus_recon.io.meshes import PointCloud
from lotus_recon.io.scene_maps import POSED_DEPTH, SceneMaps
from lotus_recon.types import Camera, Scene, View
from lotus_recon.viewing.glb import cloud_glb
from lotus_recon.viewing.shapes import Frame

SCRATCH = ".scratch"
SNAPSHOTS = f"{SCRATCH}/sfm/*/.temporary-*/snapshots/*"
_WORKING_NAME = re.compile(r"\.(\d+)\.png")  # of a photo while SfM runs (sfm.database)
_SETTLED_SECONDS = 3.0  # after which a snapshot of the mapper is surely written
_RECENT_SECONDS = 120.0  # a run that wrote nothing for so long is interrupted, or in a long stage
_DEPTH_STAGES = ("consistency", "adaptation", "mvs", "alignment")  # whose maps appear one by one; the last one first


@dataclass(frozen=True)
class Progress:
    """Which stage works, and the folder that it writes to until it is done."""

    stage: str
    folder: Path
    is_recent: bool

    @property
    def in_words(self) -> str:
        """For the page."""
        return f"{self.stage}: {'running' if self.is_recent else 'interrupted, or a long step'}"


def progress_of(out: Path) -> Progress | None:
    """What a run in a folder is doing; None when nothing is unfinished there."""
    folders = [folder for folder in out.glob(f"{SCRATCH}/*/*") if folder.is_dir() and folder.name != "replaced"]
    if not folders:
        return None
    newest = max(folders, key=_time)
    changed = max(_time(newest), _time(out / "log.txt"), *(_time(path) for path in newest.iterdir()), 0.0)
    stage = newest.parent.name.split("--")[0] or "cloud"
    return Progress(stage, newest, time.time() - changed < _RECENT_SECONDS)


def _time(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # gone meanwhile
        return 0.0


def snapshot_of(out: Path) -> Path | None:
    """The last model that the mapper wrote down whole, of a run that registers photos now."""
    whole = [folder for folder in out.glob(SNAPSHOTS) if time.time() - _time(folder) > _SETTLED_SECONDS]
    return max(whole, key=_time, default=None)


def scene_so_far(snapshot: Path) -> Scene:
    """The cameras and points of a snapshot. Lens distortion is left out: frusta show where cameras stand.

    Raises InputError when it cannot be read.
    """
    with tempfile.TemporaryDirectory() as copy:  # the run may remove the original at any time
        try:
            shutil.copytree(snapshot, copy, dirs_exist_ok=True)
        except (OSError, shutil.Error) as error:
            raise InputError(f"{snapshot} is gone: {error}") from None
        model = read_colmap_model(Path(copy))
    return Scene(tuple(_view(model, name) for name in model.cam_from_world), model.points)


def _view(model: PosedPhotos, name: str) -> View:
    source = model.cameras[name].with_two_focals()
    number = _WORKING_NAME.fullmatch(name)
    shown = f"photo {int(number[1])}" if number else name
    return View(shown, Camera(source.width, source.height, *source.params[:4]), model.cam_from_world[name])


def depth_folder(out: Path, progress: Progress | None, scene: Scene) -> Path | None:
    """Where the newest depth maps of a scene are, finished or not; None where there are none yet."""
    unfinished = [progress.folder] if progress is not None and progress.stage in _DEPTH_STAGES else []
    for folder in (*unfinished, *(out / name for name in _DEPTH_STAGES)):
        if any((folder / f"{view.stem}.npz").is_file() for view in scene.views):
            return folder
    return None


class LiveCloud:
    """The depth maps of a run as points. Keeps those of each map, so that a new map costs one map."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[Path, tuple[float, PointCloud]] = {}

    def version(self, scene: Scene, folder: Path) -> str:
        """Changes with every map that is there."""
        paths = [folder / f"{view.stem}.npz" for view in scene.views]
        return f"{folder.name} {[_time(path) for path in paths if path.is_file()]}"

    def part(self, scene: Scene, folder: Path, photos: Mapping[str, Path], frame: Frame) -> bytes:
        """GLB of the points of all maps in a folder. Raises InputError for files that cannot be read."""
        maps = SceneMaps(folder, ("depth",), POSED_DEPTH)
        clouds = [
            self._points(view, maps, photos.get(view.name), len(scene.views)) for view in scene.views if maps.has(view)
        ]
        return cloud_glb(_joined(clouds), frame.origin)

    def _points(self, view: View, maps: SceneMaps, photo: Path | None, views: int) -> PointCloud:
        path = maps.path(view)
        when = _time(path)
        if path not in self._kept or self._kept[path][0] != when:
            self._kept[path] = (when, _unprojected(view, maps, photo, max(1, self._most // views)))
        return self._kept[path][1]


def _unprojected(view: View, maps: SceneMaps, photo: Path | None, most: int) -> PointCloud:
    """Some ``most`` pixels of a view as points in world axes, with the colours of the photo."""
    depth = maps.load(view).required_depth
    height, width = depth.shape
    step = max(1, int(np.ceil(np.sqrt(height * width / most))))
    pick = np.zeros(depth.shape, bool)
    pick[step // 2 :: step, step // 2 :: step] = True
    pick &= depth.valid
    in_cam = rays_in_cam(view.camera)[pick] * depth.values[pick][:, None]
    rgb = resize_rgb(read_rgb(photo), width, height)[pick] if photo is not None else None
    return PointCloud(transform(invert_rigid(view.cam_from_world), in_cam).astype(np.float32), rgb)


def _joined(clouds: Sequence[PointCloud]) -> PointCloud:
    def colors(cloud: PointCloud) -> NDArray[np.uint8]:
        return cloud.colors if cloud.colors is not None else np.full((len(cloud.points), 3), 180, np.uint8)

    return PointCloud(
        np.concatenate([cloud.points for cloud in clouds]), np.concatenate([colors(cloud) for cloud in clouds])
    )
