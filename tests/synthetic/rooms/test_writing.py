"""Rooms on disk: the same bytes whoever makes them when, whole or not at all, and true."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import open3d as o3d
import pytest

from lotus_recon.datasets.rooms import RoomsSet, frames, mesh_file
from lotus_recon.errors import InputError
from lotus_recon.geometry.camera import pixel_index, project, unproject
from lotus_recon.geometry.pose import invert_rigid, transform
from lotus_recon.io.meshes import read_mesh
from lotus_recon.synthetic.rooms import writing
from lotus_recon.synthetic.rooms.config import RoomsConfig
from lotus_recon.synthetic.rooms.files import DEPTH_UNIT_M, RENDERER_VERSION, SceneFolder, finished_scenes
from lotus_recon.synthetic.rooms.renderers import make_renderer
from lotus_recon.synthetic.rooms.shots import make_shots
from lotus_recon.synthetic.rooms.workers import End, Outcome, StopError
from lotus_recon.workspace import write_json
from tests.synthetic.rooms.plain_rooms import make_plain_scene, plain_room

SMALL = RoomsConfig(
    scenes=2, views=3, size="64x48", seed=5, renderer="raycast", samples=2, catalog="procedural", workers=1
)


def make(root: Path, config: RoomsConfig, job: Callable[..., str] = make_plain_scene) -> writing.Made:
    """Make rooms as the pipeline does, with the furniture of simple shapes in plain colours."""
    config = writing.check_config(config)
    root.mkdir(exist_ok=True)
    writing.claim(root, config)
    with mock.patch.object(writing, "make_scene", job):
        return writing.make_rooms(root, config)


def jobs_here(job: Callable[[int], str], numbers: Sequence[int], processes: int) -> Iterator[Outcome]:
    """As ``run_jobs`` when nothing fails, in this process: others take seconds to start."""
    for number in numbers:
        yield Outcome(number, End.DONE, job(number))


def contents(root: Path) -> dict[str, bytes]:
    """All files but those of the run."""
    paths = [path for path in root.rglob("*") if path.is_file() and path.name not in ("log.txt", ".lock")]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rooms, three views each."""
    root = tmp_path_factory.mktemp("rooms")
    with mock.patch.object(writing, "run_jobs", jobs_here):
        assert make(root, SMALL) == writing.Made((0, 1), (), (), 0)
    return root


def test_files_of_a_room(rooms: Path) -> None:
    names = {str(path.relative_to(rooms)) for path in (rooms / "scene_000001").rglob("*") if path.is_file()}
    for view in ("000", "001", "002"):
        for file in (f"images/{view}.jpg", f"depth/{view}.png", f"normals/{view}.png"):
            assert f"scene_000001/{file}" in names
    assert {f"scene_000001/{file}" for file in ("scene.json", "transforms.json", "mesh.ply")} <= names
    assert (rooms / "dataset.json").is_file()


def test_same_bytes_in_another_order_by_another_process(rooms: Path, tmp_path: Path) -> None:
    with mock.patch.object(writing, "run_jobs", jobs_here):
        make(tmp_path, replace(SMALL, scenes=1, first=1))
    assert make(tmp_path, replace(SMALL, workers=2)) == writing.Made((0,), (), (), 1)
    assert contents(tmp_path) == contents(rooms)


@pytest.mark.slow
def test_a_killed_run_leaves_no_half_room_and_is_taken_up(tmp_path: Path) -> None:
    root = tmp_path / "out"
    options = "--views 3 --size 64x48 --seed 5 --renderer raycast --samples 2 --catalog procedural --workers 1"
    command = [sys.executable, "-m", "pipelines.make_rooms", "--out", str(root), "--scenes", "2", *options.split()]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list(root.glob(".part-*")) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(finished_scenes(root)) < 2
    (root / ".part-0-1" / "images").mkdir(parents=True)
    make(root, SMALL, writing.make_scene)
    assert not list(root.glob(".part-*"))
    make(tmp_path / "whole", SMALL, writing.make_scene)
    assert contents(root) == contents(tmp_path / "whole")


def test_other_settings_are_refused(rooms: Path) -> None:
    config = writing.check_config(replace(SMALL, views=4, samples=99))
    with pytest.raises(InputError, match="views 3, now 4; samples 2, now 99"):
        writing.claim(rooms, config)


def test_rooms_of_another_generator_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = writing.check_config(SMALL)
    writing.claim(tmp_path, config)
    writing.claim(tmp_path, config)
    described = json.loads((tmp_path / "dataset.json").read_text())
    assert described["made_by"].startswith("lotus_recon ")
    monkeypatch.setattr(writing, "RENDERER_VERSION", RENDERER_VERSION + 7)
    with pytest.raises(InputError, match=rf"renderer_version {RENDERER_VERSION}, now {RENDERER_VERSION + 7}\)"):
        writing.claim(tmp_path, config)
    monkeypatch.undo()
    write_json(tmp_path / "dataset.json", {"version": 1, "settings": described["settings"]})  # by the first generator
    with pytest.raises(InputError, match="generator_version 1, now"):
        writing.claim(tmp_path, config)


def test_a_room_that_cannot_be_is_left_out_by_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    outcomes = [Outcome(0, End.DONE, ""), Outcome(1, End.REFUSED, "no place for a camera")]
    with mock.patch.object(writing, "run_jobs", return_value=iter(outcomes)):
        assert writing.make_rooms(tmp_path, SMALL) == writing.Made((0,), (1,), (), 0)
    assert "scene_000001 refused: no place for a camera" in caplog.text


def test_rooms_without_a_description_are_refused(tmp_path: Path) -> None:
    (tmp_path / "scene_000003").mkdir()
    with pytest.raises(InputError, match=r"dataset\.json"):
        writing.claim(tmp_path, writing.check_config(SMALL))


def test_a_full_disk_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "_write_scene", full)
    with pytest.raises(StopError, match="no space left"):
        writing.make_scene(tmp_path, SMALL, 0)
    assert list(tmp_path.iterdir()) == []


def test_a_process_of_a_killed_run_cannot_commit_half_a_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(folder: SceneFolder, *_: object) -> None:
        (folder.path / "images").mkdir()
        writing.remove_scratch(tmp_path)  # what the next run does first
        write_json(folder.metadata, {})

    monkeypatch.setattr(writing, "_write_scene", interrupted)
    with pytest.raises(OSError, match="taken away"):
        writing.make_scene(tmp_path, SMALL, 0)
    assert list(tmp_path.iterdir()) == []


def test_maps_and_poses_are_those_of_the_renderer(rooms: Path) -> None:
    room = plain_room(writing.seed_of(SMALL.seed, 1, 0))
    shots = make_shots(room, writing.seed_of(SMALL.seed, 1, 1), 3, 64, 48)
    renderer = make_renderer("raycast", room, SMALL.samples)
    stored, posed = RoomsSet(rooms, "train"), frames(rooms / "scene_000001")
    for index, shot in enumerate(shots):
        truth, sample = renderer.render(shot, writing.seed_of(SMALL.seed, 1, 2, index)), stored.load(index)
        assert sample.depth is not None
        assert sample.depth_valid is not None
        assert sample.normals is not None
        assert sample.normals_valid is not None
        assert sample.sky is not None
        both = truth.depth.valid & sample.depth_valid
        assert both.mean() > 0.5
        assert np.abs(sample.depth - truth.depth.values)[both].max() < DEPTH_UNIT_M / 2 + 1e-6
        known = truth.normals.valid
        assert np.array_equal(known, sample.normals_valid)
        assert np.abs(sample.normals - truth.normals.values)[known].max() < 1e-4
        assert np.array_equal(sample.sky, truth.sky)
        assert np.allclose(posed[index].view.cam_from_world, shot.cam_from_world, atol=1e-9)
        assert posed[index].view.camera == shot.camera


def tensor(values: np.ndarray) -> o3d.core.Tensor:
    return o3d.core.Tensor.from_numpy(np.ascontiguousarray(values))


def points_in_world(rooms: Path, number: int) -> list[np.ndarray]:
    """(N, 3) world points of every view of a room, from what is on disk."""
    stored, posed = RoomsSet(rooms, "all"), frames(SceneFolder.of_number(rooms, number).path)
    points = []
    for index, frame in enumerate(posed):
        sample = stored.load(number * SMALL.views + index)
        assert sample.depth is not None
        in_cam = unproject(sample.depth, frame.view.camera)[sample.depth_valid]
        points.append(transform(invert_rigid(frame.view.cam_from_world), in_cam))
    return points


@pytest.mark.parametrize("number", [0, 1])
def test_points_of_all_views_lie_on_the_surface(rooms: Path, number: int) -> None:
    surface = read_mesh(mesh_file(SceneFolder.of_number(rooms, number).path))
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(tensor(surface.vertices), tensor(surface.triangles.astype(np.uint32)))
    for points in points_in_world(rooms, number):
        distance = scene.compute_distance(tensor(points.astype(np.float32))).numpy()
        # Depth is exact to 0.125 mm; on thin triangles, this distance is not.
        assert np.quantile(distance, 0.98) < 2e-4
        assert distance.max() < 5e-3


def test_views_of_a_room_agree(rooms: Path) -> None:
    """Points that one view sees are never in front of what another view sees there, and often at it."""
    stored, posed = RoomsSet(rooms, "all"), frames(rooms / "scene_000000")
    agreeing = 0
    for index, frame in enumerate(posed):
        sample, camera = stored.load(index), frame.view.camera
        assert sample.depth is not None
        for other, points in enumerate(points_in_world(rooms, 0)):
            in_cam = transform(frame.view.cam_from_world, points)
            xy = project(in_cam, camera)
            inside = ((xy > 0) & (xy < (camera.width, camera.height))).all(-1) & (in_cam[:, 2] > 0.1)
            row, col = pixel_index(xy[inside], camera.height, camera.width)
            seen, z = sample.depth[row, col], in_cam[inside, 2]
            near = np.abs(z / np.where(seen > 0, seen, 1e-6) - 1) < 0.05
            agreeing += int(near.sum()) if other != index else 0
    assert agreeing > 500


def test_attribution_names_all_assets(rooms: Path) -> None:
    assert "The 2 rooms" in (rooms / "ATTRIBUTION.md").read_text()


def test_jpeg_quality_spans_its_range() -> None:
    qualities = {writing.jpeg_quality(RoomsConfig(), writing.seed_of(1, index)) for index in range(1000)}
    assert qualities == set(range(70, 96))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": "0x48"}, "--size 0x48"),
        ({"size": "64"}, "WIDTHxHEIGHT"),
        ({"size": "99999x64"}, "8192"),
        ({"jpeg_lowest": 96}, "jpeg_lowest 96: must be at most jpeg_highest, 95"),
        ({"catalog": "auto", "assets": Path("no/such/folder")}, "no/such/folder"),
    ],
)
def test_options_are_checked(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        writing.check_config(replace(SMALL, **change))  # type: ignore[arg-type]
