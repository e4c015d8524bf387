"""A walk through a rendered room as a person films it: 120 frames with exact depth and poses, and the video."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import open3d as o3d
from numpy.typing import NDArray
from PIL import Image

from lotus_recon.datasets.posed import Frame, write_transforms
from lotus_recon.io.maps import save_arrays
from lotus_recon.synthetic.arrangement import look_at
from lotus_recon.synthetic.rooms.assets import load_catalog
from lotus_recon.synthetic.rooms.layout import make_room
from lotus_recon.synthetic.rooms.renderers import make_renderer
from lotus_recon.synthetic.rooms.scene import Room, Shot
from lotus_recon.synthetic.rooms.sensor import develop
from lotus_recon.synthetic.surfaces import tensor
from lotus_recon.types import Camera, View

SIZE = (384, 288)
FRAMES = 120
RATE = 30
FOV_DEG = 65.0
FIRST_SEED = 600_000  # no training set has these rooms
_TRIALS = 4000
_NOISE = 2.0  # of 255
_CLEAR_M = 0.45  # from the way to anything
_EYES_M = 1.5
_WALKED = 0.7  # of the free way: before a wall there is nothing to see
_TURN = (50, 66)  # the frames within which the camera is turned, as one does to look around
_TURN_DEG = 110.0


def write_video_walk(number: int, folder: Path) -> list[Frame]:
    """Frames in images/, truth/ (depth in metres), transforms.json and clip.mp4 in ``folder``; the posed frames."""
    room = make_room(FIRST_SEED + number, load_catalog(None))
    camera = Camera.from_fov_deg(FOV_DEG, *SIZE)
    renderer, frames = make_renderer("raycast", room), []
    for index, pose in enumerate(_poses(room, np.random.default_rng(number))):
        seen = renderer.render(Shot(camera, pose), index)
        view = View(f"{index:04d}.png", camera, pose)
        path = folder / "images" / view.name
        path.parent.mkdir(parents=True, exist_ok=True)
        # One camera: the same look in all frames, and noise of its own in each.
        noise = _NOISE * np.random.default_rng([number, index]).standard_normal((SIZE[1], SIZE[0], 3))
        rgb = np.clip(np.round(develop(seen.radiance, number) + noise), 0, 255).astype(np.uint8)
        Image.fromarray(rgb).save(path)
        save_arrays(folder / "truth" / f"{view.stem}.npz", depth=seen.depth.values, valid=seen.depth.valid & ~seen.sky)
        frames.append(Frame(path, view))
    write_transforms(frames, folder / "transforms.json")
    write_clip([frame.photo for frame in frames], folder / "clip.mp4")
    return frames


def write_clip(photos: list[Path], path: Path) -> Path:
    """The photos as a video at ``RATE``."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "12"})
        stream.width, stream.height = Image.open(photos[0]).size
        stream.pix_fmt = "yuv420p"
        for photo in photos:
            rgb = np.asarray(Image.open(photo).convert("RGB"))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode())
    return path


def _poses(room: Room, random: np.random.Generator) -> list[NDArray[np.float64]]:
    """cam_from_world (4, 4) along the longest free way found, with the sway of a hand, and one quick turn."""
    start, end = _longest_way(room, random)
    heading = float(np.arctan2(*(end - start)[1::-1]))
    poses = []
    for index in range(FRAMES):
        along = _WALKED * index / (FRAMES - 1)
        time = index / RATE
        sway = np.array([0.02 * np.sin(5.1 * time), 0.02 * np.cos(4.3 * time), 0.025 * np.sin(11.0 * time)])
        center = start + along * (end - start) + sway
        turned = np.clip((index - _TURN[0]) / (_TURN[1] - _TURN[0]), 0, 1)
        yaw = heading + 0.15 * np.sin(2.2 * time) + np.radians(_TURN_DEG) * (turned - 0.5)
        pitch = -0.15 + 0.03 * np.sin(3.7 * time)
        ahead = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)])
        poses.append(look_at(center, center + ahead))
    return poses


def _longest_way(room: Room, random: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ends (3,) of a straight way with nothing near it."""
    scene, mesh = o3d.t.geometry.RaycastingScene(nthreads=1), room.mesh
    scene.add_triangles(tensor(mesh.vertices), tensor(mesh.triangles.astype(np.uint32)))
    size = np.array(room.size)
    ends = random.uniform(0.6, size[:2] - 0.6, (_TRIALS, 2, 2))
    longest = np.argsort(-np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1))
    for start, end in ends[longest]:
        way = np.stack([np.append(start + share * (end - start), _EYES_M) for share in np.linspace(0, 1, 40)])
        distance = scene.compute_distance(tensor(way.astype(np.float32)), nthreads=1).numpy()
        if distance.min() >= _CLEAR_M:
            return way[0], way[-1]
    raise RuntimeError("no free way through the room")
