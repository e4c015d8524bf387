"""Every reader of files from outside: how a valid file is written, and how it is read.

A new reader is a new entry here; ``test_registry.py`` finds functions that open files and that no entry calls.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from lotus_recon.io.maps import save_prediction
from lotus_recon.types import Camera, DepthKind, DepthMap, Mesh, NormalMap, Prediction, Scene, SparsePoints, View
from tests.fuzz.data_readers import DATA_READERS
from tests.fuzz.kept_readers import read_kept, write_kept
from tests.fuzz.map_readers import MAP_READERS
from tests.fuzz.mutations import WHOLE
from tests.fuzz.reader import Reader, only
from tests.test_outside import FILES, NAMES

CAMERA = Camera(24, 18, 30.0, 30.0, 12.0, 9.0)


def _rgb(height: int = 18, width: int = 24) -> Any:
    return np.random.default_rng(1).integers(0, 255, (height, width, 3), np.uint8)


def _write_photo(folder: Path, name: str) -> None:
    from PIL import ExifTags, Image

    if name.endswith("16.png"):
        import cv2

        cv2.imwrite(str(folder / name), _rgb().astype(np.uint16) * 257)
        return
    if name.endswith(".heic"):
        import pillow_heif

        pillow_heif.register_heif_opener()
    image = Image.fromarray(_rgb())
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation], exif[ExifTags.Base.Model] = 6, "camera"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = 35
    more: dict[str, Any] = (
        {"xmp": b'<x:xmpmeta xmlns:x="adobe:ns:meta/" exif:FocalLength="35/1"/>'} if name.endswith(".jpg") else {}
    )
    if name.startswith("alpha"):
        image.putalpha(128)
    image.save(folder / name, exif=exif, **more)


def _read_photo(path: Path) -> Any:
    from lotus_recon.io.images import is_cut_out, read_info, read_rgb, verify

    info = read_info(path)
    verify(path)
    rgb = read_rgb(path)
    assert rgb.shape == (info.height, info.width, 3), "pixels of another size than was said"
    is_cut_out(path)
    return info


def _write_mask(folder: Path) -> None:
    import cv2

    cv2.imwrite(str(folder / "mask.png"), np.full((18, 24), 255, np.uint8))


def _read_mask(folder: Path) -> Any:
    from lotus_recon.io.images import read_mask

    used = read_mask(folder / "mask.png", 24, 18)
    assert used.shape == (18, 24)
    return used


def _write_normals(folder: Path) -> None:
    from lotus_recon.io.normal_maps import write_normals_png

    normals = np.tile(np.array([0, 0, -1], np.float32), (18, 24, 1))
    write_normals_png(folder / "normals.png", normals, np.ones((18, 24), bool), 16)


def _read_normals(folder: Path) -> Any:
    from lotus_recon.io.images import read_png16
    from lotus_recon.io.normal_maps import read_normals_png

    read_png16(folder / "normals.png")
    return NormalMap(*read_normals_png(folder / "normals.png"))


def _write_prediction(folder: Path) -> None:
    shape = (18, 24)
    depth = DepthMap(np.full(shape, 2, np.float32), np.ones(shape, bool), DepthKind.METRIC)
    normals = NormalMap(np.tile(np.array([0, 0, -1], np.float32), (*shape, 1)), np.ones(shape, bool))
    save_prediction(folder / "a.npz", Prediction(depth, normals, {"seed": 0}))


def _read_prediction(folder: Path) -> Any:
    from lotus_recon.io.maps import load_prediction
    from lotus_recon.models.precomputed import load_for_photo

    found = load_prediction(folder / "a.npz")
    load_for_photo(folder, "a.png", 24, 18)
    return found.depth, found.normals


def _mesh() -> Mesh:
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    triangles = np.array([[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3]], np.int32)
    return Mesh(points, triangles, np.full((4, 3), 99, np.uint8), np.tile(np.array([0, 0, 1], np.float32), (4, 1)))


def _write_mesh(folder: Path, name: str) -> None:
    from lotus_recon.io.meshes import write_glb, write_ply

    mesh, path = _mesh(), folder / name
    if path.suffix == ".ply" and name.startswith("text"):
        from plyfile import PlyData

        write_ply(path, mesh)
        data = PlyData.read(str(path), mmap=False)
        data.text = True
        data.write(str(path))
    elif path.suffix == ".ply":
        write_ply(path, mesh)
    elif path.suffix == ".glb":
        write_glb(path, mesh)
    else:
        import trimesh

        trimesh.Trimesh(mesh.vertices, mesh.triangles, process=False).export(path)


def _read_mesh(path: Path) -> Any:
    from lotus_recon.evaluation.surface_inputs import read_surface
    from lotus_recon.io.meshes import read_points

    found = read_surface(path)
    return [found, read_points(path)] if path.suffix == ".ply" else found


def _scene() -> Scene:
    poses = [np.eye(4), np.eye(4)]
    poses[1][0, 3] = 1.0
    views = tuple(View(f"{i}.png", CAMERA, pose) for i, pose in enumerate(poses))
    xyz = np.array([[0.5, 0, 3], [0.2, 0.4, 4], [0.1, 0.1, 2]])
    seen = [(point, view) for point in range(3) for view in range(2)]
    xy = np.tile([12.0, 9.0], (6, 1))
    points = SparsePoints(
        xyz,
        np.full((3, 3), 9, np.uint8),
        np.ones(3),
        np.array([p for p, _ in seen]),
        np.array([v for _, v in seen]),
        xy,
    )
    return Scene(views, points, False)


def _write_model(folder: Path, text: bool) -> None:
    from lotus_recon.colmap import pycolmap
    from lotus_recon.io.cameras import write_colmap_scene

    write_colmap_scene(_scene(), folder)
    if text:
        pycolmap.Reconstruction(str(folder)).write_text(str(folder))
        for path in folder.glob("*.bin"):
            path.unlink()


def _read_model(folder: Path) -> Any:
    from lotus_recon.evaluation.pose_files import read_poses, read_views
    from lotus_recon.io.cameras import read_colmap_scene

    scene = read_colmap_scene(folder)
    assert np.isfinite(scene.points.xyz).all(), "points that are not finite"
    read_poses(folder)
    return scene.views, read_views(folder)


def _write_known_poses(folder: Path) -> None:
    from PIL import Image

    from lotus_recon.datasets.posed import Frame, write_transforms

    (folder / WHOLE).mkdir()
    for view in _scene().views:
        Image.fromarray(_rgb()).save(folder / WHOLE / view.name)
    write_transforms([Frame(folder / WHOLE / view.name, view) for view in _scene().views], folder / "transforms.json")


def _read_known_poses(folder: Path) -> Any:
    from lotus_recon.io.images import list_photos
    from lotus_recon.io.known_poses import masks_of_poses, read_known_poses

    photos = list_photos(folder / WHOLE)
    masks_of_poses(folder / "transforms.json", photos)
    posed = read_known_poses(folder / "transforms.json", photos)
    return list(posed.cameras.values())


def _write_pairs(folder: Path) -> None:
    (folder / "pairs.txt").write_text("# pairs\na.jpg b.jpg\na.jpg\tc d.jpg\n")


def _read_pairs(folder: Path) -> Any:
    from lotus_recon.sfm.pairs import read_pairs

    return read_pairs(folder / "pairs.txt", ["a.jpg", "b.jpg", "c d.jpg"])


def _write_config(folder: Path) -> None:
    options = {
        "runtime": {"seed": 1, "device": "cpu"}, "tsdf": {"voxel_size": 0.01}, "mvs": {"mvs": True},
        "sfm": {"pose_unit": "m", "triangulate": False}, "alignment": {"advanced": {"min_points": 12}},
    }  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump(options))


def _read_config(folder: Path) -> Any:
    from lotus_recon.config import load_config
    from lotus_recon.recipes.table import multi_view_config

    return load_config(multi_view_config(), folder / "config.yaml")


def _write_manifest(folder: Path, name: str) -> None:
    from PIL import Image

    (folder / WHOLE).mkdir()
    for scene in ("a", "b"):
        Image.fromarray(_rgb()).save(folder / WHOLE / f"{scene}.png")
    entries = [{"name": scene, "kind": "single_view", "images": f"{WHOLE}/{scene}.png"} for scene in ("a", "b")]
    if name.endswith(".csv"):
        rows = ["name,images,kind", *(",".join((e["name"], e["images"], e["kind"])) for e in entries)]
        (folder / name).write_text("\n".join(rows) + "\n")
    else:
        defaults = {"preset": "fast", "options": {"runtime": {"seed": 0}}}
        (folder / name).write_text(yaml.safe_dump({"defaults": defaults, "scenes": entries}))


def _read_manifest(folder: Path, name: str) -> Any:
    from lotus_recon.runners.building import Defaults
    from lotus_recon.runners.manifest import read_jobs
    from pipelines.command_line import CONFIG_FOLDER

    jobs = read_jobs(str(folder / name), Defaults(CONFIG_FOLDER))
    for job in jobs:
        target = (folder / "out" / job.name).resolve()
        assert target.is_relative_to((folder / "out").resolve()), f"{job.name!r} leads out of the output folder"
    return [job.name for job in jobs]


def _write_video(folder: Path) -> None:
    from tests.io.test_video import write_video

    frames = [np.roll(_rgb(48, 64), 3 * i, 1) for i in range(8)]
    write_video(folder / "clip.mp4", frames)


def _read_video(folder: Path) -> Any:
    from lotus_recon.io.video import extract_frames

    return extract_frames(folder / "clip.mp4", folder / "frames", 4, 0.01)


def _read_every_frame(folder: Path) -> Any:
    from lotus_recon.io.video import check_every_frame, check_video

    path = folder / "clip.mp4"
    return float(check_every_frame(path, check_video(path).frames))


def _write_checkpoint(folder: Path) -> None:
    import torch

    from lotus_recon.training.checkpoints import save_checkpoint

    for step in (4, 5):
        save_checkpoint(folder, step, {"weights": {"a": torch.arange(6.0)}, "step": step}, 2, {"images/4.png": 12})


def _read_checkpoint(folder: Path) -> Any:
    from lotus_recon.training.checkpoints import load_latest, lost_files

    latest = load_latest(folder)
    return [] if latest is None else [str(path) for path in lost_files(latest[0])]


def _write_nano(folder: Path) -> None:
    import shutil

    from lotus_recon.models.nano import files

    source = Path(files.__file__).parent / "weights"
    for path in source.glob("*.json"):
        shutil.copy(path, folder)
    shutil.copy(source / "model.safetensors", folder)


def _read_nano(folder: Path) -> Any:
    from lotus_recon.models.nano.model import NanoModel

    NanoModel.from_folder(folder, "cpu", "float32")
    return None


def _write_run_folder(folder: Path) -> None:
    """Bookkeeping of our own that a user, a full disk or another program may have broken."""
    from lotus_recon.workspace import OWNERS_FILE, Hashes, Place, Workspace, write_json

    workspace = Workspace(folder)
    workspace.run_stage("s", Place("s"), lambda out: (out / "a.txt").write_text("a"), Hashes("c", "i"))
    write_json(folder / OWNERS_FILE, {"scene": "/photos"})
    record = {"name": "s", "kind": "multi_view", "status": "done", "signature": "x", "stages": []}
    write_json(folder / "scene.json", {**record, "figures": {"photos": 3}, "seconds": 1.0})
    write_json(folder / "report/report.json", {"photos": {"registered": ["a"], "given": 1}, "figures": {}})
    (folder / "metrics.jsonl").write_text('{"step": 1, "kind": "train"}\n{"step": 2, "kind": "train"}\n')
    (folder / "events.jsonl").write_text('{"event": "batch_started"}\n')


def _read_run_folder(folder: Path) -> Any:
    from lotus_recon.recipes.multi_view import scene_figures
    from lotus_recon.recipes.output_folder import owner_of
    from lotus_recon.runners.events import EventLog
    from lotus_recon.runners.records import read_record
    from lotus_recon.training.run_folder import RunFolder
    from lotus_recon.workspace import Hashes, Place, Workspace

    workspace = Workspace(folder)
    workspace.run_stage("s", Place("s"), lambda out: (out / "a.txt").write_text("a"), Hashes("c", "i"))
    assert (folder / "s/a.txt").read_bytes()[:1] or True
    workspace.stage_fingerprint(Place("s"))
    record = read_record(folder, "s", "multi_view")
    record.holds(folder, "x")
    RunFolder(folder).forget_metrics_after(1)
    log = EventLog(folder / "events.jsonl")
    log.write("x")
    log.close()
    return owner_of(folder, "scene"), scene_figures(folder)


def _write_claim(folder: Path) -> None:
    from lotus_recon.evaluation.predict import claim

    claim(folder / "maps", {"model": "nano", "seed": 0})


def _read_claim(folder: Path) -> None:
    from lotus_recon.evaluation.predict import check_claim

    check_claim(folder / "maps", {"model": "nano", "seed": 0})


def _write_memory(folder: Path) -> None:
    _with_memory(folder, lambda native, facts: native.remember(facts, native.Outcome(None)))


def _read_memory(folder: Path) -> Any:
    return _with_memory(folder, lambda native, facts: (native._remembered.clear(), native.recall(facts)))


def _with_memory(folder: Path, use: Callable[[Any, Mapping[str, Any]], Any]) -> Any:
    """What is kept of libraries that were tried, in a cache that is this folder."""
    import os
    from unittest import mock

    from lotus_recon import native

    with mock.patch.dict(os.environ, {"LOTUS_RECON_CACHE": str(folder)}):
        return use(native, {"import": "numpy"})


def _write_pace(folder: Path) -> None:
    from lotus_recon.recipes.estimates import Pace

    _with_memory(folder, lambda native, facts: Pace({}).learn("sfm", "cpu", 100.0, 200.0))


def _read_pace(folder: Path) -> Any:
    from lotus_recon.recipes.estimates import Pace

    return _with_memory(folder, lambda native, facts: Pace.load().of("sfm", "cpu"))


def _write_content(folder: Path) -> None:
    (folder / "content.json").write_text(json.dumps({"/photos/a.jpg 5000000 1": "0123456789abcdef"}))


def _read_content(folder: Path) -> Any:
    from lotus_recon.content import _known

    return _with_memory(folder, lambda native, facts: _known())


def _write_outside(folder: Path, kind: str) -> None:
    (folder / NAMES.get(kind, "file.json")).write_text(json.dumps(FILES[kind][0]))
    if kind == "manifest":
        import cv2

        cv2.imwrite(str(folder / "rgb.png"), _rgb())
        cv2.imwrite(str(folder / "depth.png"), np.full((18, 24), 2000, np.uint16))


def _read_outside(folder: Path, kind: str) -> Any:
    return FILES[kind][1](folder / NAMES.get(kind, "file.json"))


PHOTOS = ("a.jpg", "b.png", "alpha.png", "deep16.png", "c.tif", "d.webp", "e.heic")
MESHES = ("a.ply", "text.ply", "a.obj", "a.stl", "a.glb")


READERS: Mapping[str, Reader] = {
    **{f"photo {name}": Reader(partial(_write_photo, name=name), only(_read_photo)) for name in PHOTOS},
    "mask": Reader(_write_mask, _read_mask),
    "normals": Reader(_write_normals, _read_normals),
    "prediction": Reader(_write_prediction, _read_prediction),
    **{f"mesh {name}": Reader(partial(_write_mesh, name=name), only(_read_mesh), "open3d") for name in MESHES},
    "COLMAP binary": Reader(partial(_write_model, text=False), _read_model),
    "COLMAP text": Reader(partial(_write_model, text=True), _read_model),
    "known poses": Reader(_write_known_poses, _read_known_poses),
    **{kind: Reader(partial(_write_outside, kind=kind), partial(_read_outside, kind=kind)) for kind in FILES},
    "pairs": Reader(_write_pairs, _read_pairs),
    "config": Reader(_write_config, _read_config),
    **{
        f"batch {name}": Reader(partial(_write_manifest, name=name), partial(_read_manifest, name=name))
        for name in ("manifest.yaml", "table.csv")
    },
    "video": Reader(_write_video, _read_video),
    "every frame of a video": Reader(_write_video, _read_every_frame),
    "training checkpoint": Reader(_write_checkpoint, _read_checkpoint),
    "nano checkpoint": Reader(_write_nano, _read_nano),
    "claim of predictions": Reader(_write_claim, _read_claim),
    "tried libraries": Reader(_write_memory, _read_memory),
    "pace of stages": Reader(_write_pace, _read_pace),
    "remembered content": Reader(_write_content, _read_content),
    "bookkeeping": Reader(_write_run_folder, _read_run_folder),
    "kept": Reader(write_kept, read_kept),
    **DATA_READERS,
    **MAP_READERS,
}
