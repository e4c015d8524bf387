"""Short walks through rendered rooms, with exact depth: what refinement is measured against."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lotus_recon.datasets.posed import Frame, write_transforms
from lotus_recon.geometry.pose import invert_rigid
from lotus_recon.io.maps import save_arrays
from lotus_recon.io.meshes import write_ply
from lotus_recon.synthetic.arrangement import look_at
from lotus_recon.synthetic.rooms.assets import installed_archives, load_catalog
from lotus_recon.synthetic.rooms.layout import make_room
from lotus_recon.synthetic.rooms.renderers import make_renderer
from lotus_recon.synthetic.rooms.scene import Shot
from lotus_recon.synthetic.rooms.sensor import develop
from lotus_recon.synthetic.rooms.shots import make_shots
from lotus_recon.types import DepthMap, View

SIZE = (384, 288)
PHOTOS = 9
CANDIDATES = 6
NEAREST = 0.4  # of the median depth of the first photo
STRIDE = 0.07  # of the median depth: four degrees
FIRST_SEED = 500_000  # no training set has these rooms


def write_walk(number: int, folder: Path, renderer_name: str = "auto") -> None:
    """Photos from a line past the middle of what a shot of a room shows; poses, depth, normals and mesh.

    Of some shots that with the largest median depth: who wants a room stands back.
    """
    installed = installed_archives()
    if not installed.furniture or installed.jar is None:
        print("furniture or textures are missing (make assets): other rooms, other figures than the README's")
    room = make_room(FIRST_SEED + number, load_catalog(None))
    surveyor = make_renderer("raycast", room, samples=1)
    shots = make_shots(room, FIRST_SEED + number, CANDIDATES, *SIZE)
    depths = [surveyor.render(shot, 0).depth for shot in shots]
    farthest = int(np.argmax([_median(depth) for depth in depths]))
    shot, renderer, frames = shots[farthest], make_renderer(renderer_name, room), []
    reach = _median(depths[farthest])
    for index, pose in enumerate(_poses(shot, reach)):
        if _median(surveyor.render(Shot(shot.camera, pose), 0).depth) < NEAREST * reach:
            continue  # in a wall, or behind a piece of furniture
        view = View(f"{index:02d}.png", shot.camera, pose)
        seen = renderer.render(Shot(shot.camera, pose), index)
        rgb = develop(seen.radiance, 100 * number + index)
        path = folder / "images" / view.name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rgb).save(path)
        save_arrays(
            folder / "truth" / f"{view.stem}.npz",
            depth=seen.depth.values,
            valid=seen.depth.valid & ~seen.sky,
            normals=seen.normals.values,
            normals_valid=seen.normals.valid,
        )
        frames.append(Frame(path, view))
    write_ply(folder / "mesh.ply", room.mesh)
    write_transforms(frames, folder / "transforms.json")


def _median(depth: DepthMap) -> float:
    return float(np.median(depth.values[depth.valid])) if depth.valid.any() else 0.0


def _poses(shot: Shot, reach: float) -> list[NDArray[np.float64]]:
    """Cameras beside the one of the shot that look at the point it looks at, at ``reach`` metres."""
    world_from_cam = invert_rigid(shot.cam_from_world)
    center, right, forward = (world_from_cam[:3, i] for i in (3, 0, 2))
    steps = STRIDE * reach * (np.arange(PHOTOS) - PHOTOS // 2)
    up_x, up_y, up_z = (-float(value) for value in world_from_cam[:3, 1])
    return [look_at(center + step * right, center + reach * forward, (up_x, up_y, up_z)) for step in steps]
