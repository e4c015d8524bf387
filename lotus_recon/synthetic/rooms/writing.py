"""A data set of rooms on disk: one folder per room, resumable, parallel by room.

A room is written into a scratch folder and renamed when it is whole, so what exists is complete. It depends on the
settings, the seed of the data set and its number only, not on the process or the order of generation.
"""

from __future__ import annotations

import dataclasses
import errno
import functools
import json
import logging
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon import __version__
from lotus_recon.durable import is_disk_full
from lotus_recon.errors import InputError
from lotus_recon.interruption import doing
from lotus_recon.io.cameras import SourceCamera
from lotus_recon.io.image_sizes import MIN_SIDE_PX
from lotus_recon.io.images import write_jpeg, write_png
from lotus_recon.io.meshes import write_ply
from lotus_recon.io.normal_maps import write_normals_png
from lotus_recon.io.transforms import write_transforms
from lotus_recon.measuring import peak_memory_mb
from lotus_recon.progress import track
from lotus_recon.synthetic.rooms.assets import Catalog, load_catalog
from lotus_recon.synthetic.rooms.attribution import write_attribution
from lotus_recon.synthetic.rooms.config import RenderingConfig, RoomsConfig
from lotus_recon.synthetic.rooms.files import (
    DATASET_FILE,
    DEPTH_UNIT_M,
    FAR_DEPTH,
    GENERATOR_VERSION,
    LAYOUT_VERSION,
    RENDERER_VERSION,
    SceneFolder,
    encode_depth,
    encode_far_depth,
    encode_sky,
    finished_scenes,
    view_name,
)
from lotus_recon.synthetic.rooms.layout import make_room
from lotus_recon.synthetic.rooms.look import Look
from lotus_recon.synthetic.rooms.procedural import ProceduralCatalog
from lotus_recon.synthetic.rooms.renderers import (
    RoomRenderer,
    make_renderer,
    resolved_renderer,
    warn_of_slow_renderer,
)
from lotus_recon.synthetic.rooms.scene import Room, Shot
from lotus_recon.synthetic.rooms.sensor import develop
from lotus_recon.synthetic.rooms.shots import make_shots
from lotus_recon.synthetic.rooms.view import RoomView
from lotus_recon.synthetic.rooms.workers import End, StopError, run_jobs
from lotus_recon.types import Mesh
from lotus_recon.workspace import to_plain, write_json

log = logging.getLogger(__name__)

MAX_SIDE_PX = 8192
_SCRATCH = ".part-"
# Options that say how much is made, where from and by how many, but not what a room looks like.
_NOT_SETTINGS = ("scenes", "count", "first", "assets", "workers")
_MADE_BY = f"lotus_recon {__version__}"
_ROOM, _SHOTS, _RENDER, _DEVELOP, _JPEG = range(5)  # what a seed is for


@dataclass(frozen=True, eq=False)
class Place:
    """A room or a world, and how photos are taken of it."""

    room: Room
    shots: Sequence[Shot]
    renderer: RoomRenderer
    facts: dict[str, Any]  # what else scene.json says
    look: Look | None = None
    far: bool = False  # depth is written as logarithms


@dataclass(frozen=True)
class Made:
    """The rooms of a finished run."""

    made: tuple[int, ...]  # numbers of rooms
    refused: tuple[int, ...]  # impossible rooms, for instance without a place for a camera
    failed: tuple[int, ...]
    existing: int  # rooms that existed before


def check_config(config: RoomsConfig) -> RoomsConfig:
    """The config with every ``auto`` resolved. Raises InputError for options that cannot be used."""
    image_size(config)
    resolved: dict[str, Any] = {
        "catalog": _catalog(config.catalog, config.assets).name,
        "renderer": resolved_renderer(config.renderer),
    }
    warn_of_slow_renderer(resolved["renderer"])
    return replace(config, **resolved)


def image_size(config: RenderingConfig) -> tuple[int, int]:
    """(width, height) of the photos in pixels. Raises InputError when ``--size`` does not give them."""
    match = re.fullmatch(r"(\d+)x(\d+)", config.size)
    size = (int(match[1]), int(match[2])) if match else (0, 0)
    if not all(MIN_SIDE_PX <= side <= MAX_SIDE_PX for side in size):
        raise InputError(
            f"--size {config.size}: must be WIDTHxHEIGHT such as 256x192, each from {MIN_SIDE_PX} to {MAX_SIDE_PX}"
        )
    return size


@functools.lru_cache(maxsize=1)
def _catalog(name: str, folder: Path | None) -> Catalog:
    if name == "procedural":
        return ProceduralCatalog()
    catalog = load_catalog(folder)
    if name not in ("auto", catalog.name):
        raise InputError(f"--catalog {name} is not installed; run `make assets`, or use --catalog procedural")
    return catalog


def check_folder(root: Path) -> None:
    """Raise InputError when ``root`` holds something and is not a data set of rooms."""
    if not root.is_dir() or (root / DATASET_FILE).exists():
        return
    foreign = sorted(path.name for path in root.iterdir() if path.name != "log.txt" and not path.name.startswith("."))
    if foreign:
        listed = ", ".join(foreign[:3]) + (", ..." if len(foreign) > 3 else "")
        raise InputError(f"{root} holds {listed} and no {DATASET_FILE}: it is no folder of rooms; choose another --out")


def claim(root: Path, config: RenderingConfig) -> None:
    """Record the settings of the rooms in ``root``; ``config`` comes from ``check_config``.

    Raises InputError as ``check_folder`` does, and when rooms exist that were generated with other settings or by
    another version of the generator.
    """
    check_folder(root)
    path = root / DATASET_FILE
    settings = {name: value for name, value in to_plain(config).items() if name not in _NOT_SETTINGS}
    versions = {"generator_version": GENERATOR_VERSION, "renderer_version": RENDERER_VERSION}
    described = _described(path)
    if described is not None:
        before, now = {**dict.fromkeys(versions, 1), **described, **described["settings"]}, {**settings, **versions}
        differences = "; ".join(
            f"{name} {before.get(name)}, now {value}" for name, value in now.items() if before.get(name) != value
        )
        if differences:
            raise InputError(
                f"{root} holds rooms generated with different settings ({differences}); choose another --out"
            )
    description = {"version": LAYOUT_VERSION, "depth_unit_m": DEPTH_UNIT_M, "made_by": _MADE_BY, **versions}
    write_json(path, {**description, "settings": settings})


def _described(path: Path) -> dict[str, Any] | None:
    """What dataset.json says, with its ``settings``; None when there is no such file."""
    try:
        description: dict[str, Any] = json.loads(path.read_text())
        return {**description, "settings": dict(description["settings"])}
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not the description of a data set: {error!r}") from None


def make_rooms(root: Path, config: RoomsConfig) -> Made:
    """Make the rooms that are missing in the claimed folder ``root``; ``config`` comes from ``check_config``."""
    return make_missing(root, config, config.scenes, functools.partial(make_scene, root, config))


def make_missing(root: Path, config: RenderingConfig, count: int, make: Callable[[int], str]) -> Made:
    """Make those of ``count`` scenes that are missing in the claimed folder ``root``, in several processes.

    ``make`` makes the scene of a number and tells its timing. A scene that cannot be (InputError) or fails twice is
    left out. Raises StopError when the disk is full.
    """
    remove_scratch(root)
    wanted = range(config.first, config.first + count)
    there = {folder.number for folder in finished_scenes(root)}
    missing = [number for number in wanted if number not in there]
    log.info("%s: %d of %d rooms to make, %d photos each", root, len(missing), len(wanted), config.views)
    processes = min(config.workers or os.cpu_count() or 1, max(len(missing), 1))
    outcomes = []
    try:
        jobs = run_jobs(make, missing, processes)
        with doing("the rooms in work are given up", "they are made again, finished rooms are kept"):
            for outcome in track(jobs, "rooms", len(missing)):
                outcomes.append(outcome)
                level = logging.DEBUG if outcome.end is End.DONE else logging.WARNING
                room = SceneFolder.of_number(root, outcome.number).path.name
                log.log(level, "%s %s: %s", room, outcome.end.value, outcome.detail)
    finally:
        remove_scratch(root)
        write_attribution(root)
    made, refused, failed = (
        tuple(sorted(outcome.number for outcome in outcomes if outcome.end is end))
        for end in (End.DONE, End.REFUSED, End.FAILED)
    )
    return Made(made, refused, failed, len(wanted) - len(missing))


def remove_scratch(root: Path) -> None:
    """Remove rooms that were not finished.

    A process of a killed run may still write into one and would create its files again: the folder is renamed first.
    """
    for path in root.glob(f"{_SCRATCH}*"):
        taken = root / f"{_SCRATCH}{uuid.uuid4().hex}"
        path.rename(taken)
        shutil.rmtree(taken)


def make_scene(root: Path, config: RoomsConfig, number: int) -> str:
    """Generate the room ``number``; returns its timing. Raises StopError when the disk is full."""
    return write_whole(root, config, number, lambda folder: _write_scene(folder, config, number))


def write_whole(root: Path, config: RenderingConfig, number: int, write: Callable[[SceneFolder], object]) -> str:
    """Let ``write`` fill the folder of a scene, which is there once all of it is; returns its timing.

    Raises StopError when the disk is full.
    """
    start = time.monotonic()
    try:
        with _committed(SceneFolder.of_number(root, number)) as folder:
            write(folder)
    except OSError as error:
        if is_disk_full(error):
            message = f"no space left for room {number} in {root}; free some space, and the same command resumes"
            raise StopError(message) from None
        raise
    seconds = (time.monotonic() - start) / config.views
    return f"{config.views} views, {seconds:.2f} s each, peak memory {peak_memory_mb():.0f} MB"


@contextmanager
def _committed(final: SceneFolder) -> Iterator[SceneFolder]:
    """A scratch folder that becomes ``final`` when all went well. Raises OSError when it was taken away meanwhile."""
    scratch = final.path.with_name(f"{_SCRATCH}{uuid.uuid4().hex}")
    scratch.mkdir()
    handle = os.open(scratch, os.O_RDONLY)  # keeps its inode from being used for another folder
    try:
        yield SceneFolder(scratch)
        if not os.path.samestat(os.fstat(handle), os.stat(scratch)):
            raise FileNotFoundError(errno.ENOENT, "taken away by another run", str(scratch))
        scratch.rename(final.path)
    finally:
        os.close(handle)
        shutil.rmtree(scratch, ignore_errors=True)


def _write_scene(folder: SceneFolder, config: RoomsConfig, number: int) -> None:
    """One room into ``folder``; scene.json last."""
    seed = functools.partial(seed_of, config.seed, number)
    room = make_room(seed(_ROOM), _catalog(config.catalog, config.assets))
    shots = make_shots(room, seed(_SHOTS), config.views, *image_size(config))
    renderer = make_renderer(config.renderer, room, config.samples, threads=1)
    facts = {"catalog": config.catalog, "room_size_m": [round(float(side), 4) for side in room.size]}
    write_place(folder, config, number, Place(room, shots, renderer, facts))


def write_place(folder: SceneFolder, config: RenderingConfig, number: int, place: Place) -> None:
    """Photos, truth, cameras, surface and scene.json of one place."""
    seed = functools.partial(seed_of, config.seed, number)
    for index, shot in enumerate(place.shots):
        view = place.renderer.render(shot, seed(_RENDER, index))
        rgb = develop(view.radiance, seed(_DEVELOP, index), place.look, view.depth)
        depth = encode_far_depth(view.depth) if place.far else encode_depth(view.depth)
        _write_view(folder, view_name(index), view, rgb, jpeg_quality(config, seed(_JPEG, index)), depth)
    _write_poses(folder, place.shots)
    if config.mesh:
        surface = place.room.mesh
        write_ply(folder.mesh, Mesh(surface.vertices, surface.triangles))
    write_json(folder.metadata, _metadata(config, number, place))


def seed_of(*parts: int) -> int:
    """A seed of 32 bits from what it is for; another one for any other parts."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def jpeg_quality(config: RenderingConfig, seed: int) -> int:
    """Quality of one photo."""
    return int(np.random.default_rng(seed).integers(config.jpeg_lowest, config.jpeg_highest + 1))


def _write_view(
    folder: SceneFolder, name: str, view: RoomView, rgb: NDArray[np.uint8], quality: int, depth: NDArray[np.uint16]
) -> None:
    for path in (folder.photo(name), folder.depth(name), folder.normals(name)):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_jpeg(folder.photo(name), rgb, quality, subsampling="4:2:0")
    write_png(folder.depth(name), depth)
    write_normals_png(folder.normals(name), view.normals.values, view.normals.valid)
    if view.sky.any():
        write_png(folder.sky(name), encode_sky(view.sky))


def _write_poses(folder: SceneFolder, shots: Sequence[Shot]) -> None:
    names = [folder.photo(view_name(index)).name for index in range(len(shots))]
    cameras = {name: SourceCamera.of_pinhole(shot.camera) for name, shot in zip(names, shots, strict=True)}
    poses = {name: shot.cam_from_world for name, shot in zip(names, shots, strict=True)}
    write_transforms(folder.transforms, cameras, poses, photos_folder="images")


def _metadata(config: RenderingConfig, number: int, place: Place) -> dict[str, Any]:
    return {
        "version": LAYOUT_VERSION,
        "made_by": _MADE_BY,
        "seed": config.seed,
        "number": number,
        "renderer": place.renderer.name,
        **place.facts,
        **({"depth": FAR_DEPTH} if place.far else {}),
        "parts": len(place.room.parts),
        "triangles": sum(len(part.mesh.triangles) for part in place.room.parts),
        "views": [_view_metadata(view_name(index), shot) for index, shot in enumerate(place.shots)],
        "credits": [dataclasses.asdict(credit) for credit in place.room.credits],
    }


def _view_metadata(name: str, shot: Shot) -> dict[str, Any]:
    center = -shot.cam_from_world[:3, :3].T @ shot.cam_from_world[:3, 3]
    return {
        "file": f"images/{name}.jpg",
        "fov_deg": round(shot.camera.fov_deg[0], 2),
        "camera_height_m": round(float(center[2]), 3),
    }
