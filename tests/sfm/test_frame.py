"""A model in an arbitrary frame becomes metric by a known distance and upright by its cameras."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from lotus_recon.errors import InputError, SfmError
from lotus_recon.geometry.camera import project
from lotus_recon.geometry.pose import Similarity, fit_similarity, transform
from lotus_recon.io.cameras import SourceCamera, read_colmap_scene, write_source_cameras
from lotus_recon.io.transforms import read_transforms
from lotus_recon.sfm.config import FrameConfig
from lotus_recon.sfm.frame import Inputs, check, load, moved, parse_distance, run
from lotus_recon.sfm.stage import SOURCES, SfmResult
from lotus_recon.synthetic.arrangement import arc_of_poses
from lotus_recon.types import Camera, Scene, SparsePoints, View

CAMERA = Camera.from_fov_deg(60, 640, 480)
NAMES = [f"{i}.jpg" for i in range(6)]
POSES = dict(zip(NAMES, arc_of_poses(np.zeros(3), 3.0, 1.0, np.linspace(0, 200, 6)), strict=True))  # metres, z up
SCALE = 0.37  # of the arbitrary frame


@pytest.fixture
def found() -> SfmResult:
    """What SfM found: its frame is turned, moved and scaled against the true one."""
    rng = np.random.default_rng(3)
    U, _, Vt = np.linalg.svd(rng.normal(size=(3, 3)))
    turned = Similarity(SCALE, U @ Vt * np.sign(np.linalg.det(U @ Vt)), rng.normal(size=3))
    xyz = rng.uniform(-0.5, 0.5, (5, 3))
    point, view = (grid.ravel() for grid in np.meshgrid(np.arange(5), np.arange(6)))
    xy = np.stack([project(transform(POSES[NAMES[v]], xyz[p]), CAMERA) for p, v in zip(point, view, strict=True)])
    points = SparsePoints(xyz, np.zeros((5, 3), np.uint8), np.full(5, 0.5), point, view, xy)
    views = tuple(View(name, CAMERA, pose) for name, pose in POSES.items())
    report = {"metric": False, "poses_given": False, "unregistered": ["gone.jpg"], "photos": 7}
    sources = dict.fromkeys(NAMES, SourceCamera.of_pinhole(CAMERA))
    return SfmResult(moved(Scene(views, points), turned, metric=False), sources, report)


def scale_to_truth(result: SfmResult) -> float:
    found = np.stack([view.center_in_world for view in result.scene.views])
    true = np.stack([View(name, CAMERA, POSES[name]).center_in_world for name in NAMES])
    return fit_similarity(found, true).scale


def test_distance_of_two_cameras(found: SfmResult, tmp_path: Path) -> None:
    a, b = (View(name, CAMERA, POSES[name]).center_in_world for name in (NAMES[0], NAMES[3]))
    distance = f"{NAMES[0]}, {NAMES[3]}={np.linalg.norm(a - b)}"
    result = run(Inputs(found), FrameConfig(scale_from=distance), tmp_path)
    assert scale_to_truth(result) == pytest.approx(1)
    assert result.scene.metric
    assert result.report["metric"]
    assert result.report["photos"] == 7
    assert not found.scene.metric


def test_two_marked_points(found: SfmResult, tmp_path: Path) -> None:
    ends = {"a": np.array([0.2, 0.1, 0.3]), "b": np.array([-0.3, 0.2, -0.1])}
    marks = {
        key: {name: project(transform(POSES[name], end), CAMERA).tolist() for name in (NAMES[0], NAMES[2])}
        for key, end in ends.items()
    }
    file = tmp_path / "marks.yaml"
    file.write_text(yaml.safe_dump({**marks, "metres": float(np.linalg.norm(ends["a"] - ends["b"]))}))
    assert scale_to_truth(run(Inputs(found), FrameConfig(scale_from=str(file)), tmp_path)) == pytest.approx(1)


def test_gravity_turns_z_up_and_keeps_the_reconstruction(found: SfmResult, tmp_path: Path) -> None:
    before = found.scene
    after = run(Inputs(found), FrameConfig(gravity=True), tmp_path).scene
    right_axes = np.stack([view.cam_from_world[0, :3] for view in after.views])
    assert np.abs(right_axes[:, 2]).max() < np.sin(np.radians(3)), "the photos were taken without roll"
    heights = np.array([view.center_in_world[2] for view in after.views])
    assert np.ptp(heights) < 0.05 * 3.0 * SCALE, "of an arc with a radius of 3 m"
    assert heights.min() > after.points.xyz[:, 2].max()
    for old, new in zip(before.views, after.views, strict=True):
        in_old, in_new = (
            transform(old.cam_from_world, before.points.xyz),
            transform(new.cam_from_world, after.points.xyz),
        )
        np.testing.assert_allclose(in_new, in_old, atol=1e-9)


def test_frame_json_tells_where_everything_went(found: SfmResult, tmp_path: Path) -> None:
    result = run(Inputs(found), FrameConfig("0.jpg,3.jpg=2", gravity=True), tmp_path)
    stored = json.loads((tmp_path / "frame.json").read_text())
    matrix = np.array(stored["world_from_sfm"])
    np.testing.assert_allclose(transform(matrix, found.scene.points.xyz), result.scene.points.xyz, atol=1e-12)
    np.testing.assert_allclose(matrix[:3, :3], stored["scale"] * np.array(stored["rotation"]))
    np.testing.assert_allclose(matrix[:3, 3], stored["translation"])
    assert (stored["scale_from"], stored["axes_from"]) == ("0.jpg,3.jpg=2", "cameras (z up)")
    assert result.report["frame"] == {key: value for key, value in stored.items() if key != "sfm"}


def test_every_file_holds_the_same_frame(found: SfmResult, tmp_path: Path) -> None:
    written = run(Inputs(found), FrameConfig("0.jpg,3.jpg=2"), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["frame.json", "sparse", "transforms.json"]
    write_source_cameras(found.source_cameras, tmp_path / SOURCES)  # the sfm stage does, into the same folder
    loaded, model = load(tmp_path), read_colmap_scene(tmp_path / "sparse")
    frames = {frame.path.name: frame for frame in read_transforms(tmp_path / "transforms.json")}
    assert {frame.path.parent for frame in frames.values()} == {tmp_path.resolve().parent / "images"}
    assert loaded.source_cameras == found.source_cameras
    for view in written.scene.views:
        for other in (loaded.scene, model):
            pose = other.views[other.index[view.name]].cam_from_world
            np.testing.assert_allclose(pose, view.cam_from_world, atol=1e-12)
        np.testing.assert_allclose(frames[view.name].cam_from_world, view.cam_from_world, atol=1e-12)


def test_without_options_nothing_changes(found: SfmResult, tmp_path: Path) -> None:
    result = run(Inputs(found), FrameConfig(), tmp_path)
    for before, after in zip(found.scene.views, result.scene.views, strict=True):
        np.testing.assert_allclose(after.cam_from_world, before.cam_from_world, rtol=0, atol=5e-16)
    np.testing.assert_array_equal(result.scene.points.xyz, found.scene.points.xyz)
    np.testing.assert_array_equal(result.report["frame"]["world_from_sfm"], np.eye(4))


@pytest.mark.parametrize("config", [FrameConfig(gravity=True), FrameConfig("0.jpg,3.jpg=2")])
def test_given_poses_are_never_changed(found: SfmResult, tmp_path: Path, config: FrameConfig) -> None:
    given = replace(found, report={**found.report, "poses_given": True})
    with pytest.raises(InputError, match="given poses are never changed"):
        run(Inputs(given), config, tmp_path)
    assert not list(tmp_path.iterdir())


def test_unregistered_photo(found: SfmResult, tmp_path: Path) -> None:
    with pytest.raises(SfmError, match="gone.jpg was not registered"):
        run(Inputs(found), FrameConfig("0.jpg,gone.jpg=1"), tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"sfm": {}}'])
def test_broken_frame_json(tmp_path: Path, content: str) -> None:
    (tmp_path / "frame.json").write_text(content)
    with pytest.raises(InputError, match=r"frame\.json cannot be read"):
        load(tmp_path)


@pytest.mark.parametrize("text", ["a.jpg=1", "a.jpg,b.jpg", "a.jpg,b.jpg=-1", "a.jpg,b.jpg=far", "=1"])
def test_text_that_is_no_distance(text: str) -> None:
    with pytest.raises(InputError, match="PHOTO_A,PHOTO_B=METRES"):
        parse_distance(text)


@pytest.mark.parametrize("content", ["[]", "metres: 1", "{metres: 1, a: {x: [1, 2]}, b: {x: [1, 2], y: [1, 2]}}", ":"])
def test_file_that_holds_no_distance(tmp_path: Path, content: str) -> None:
    (tmp_path / "m.yaml").write_text(content)
    with pytest.raises(InputError, match="m.yaml.*needed: metres"):
        parse_distance(str(tmp_path / "m.yaml"))


def test_options_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="given poses are never changed"):
        check(FrameConfig(gravity=True), True, set(NAMES))
    with pytest.raises(InputError, match="not there: z.jpg"):
        check(FrameConfig("0.jpg,z.jpg=1"), False, set(NAMES))
