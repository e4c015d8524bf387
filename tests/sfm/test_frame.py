"""A model in an arbitrary frame becomes metric by a known distance and upright by its cameras."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from lotus_recon.errors import InputError, SfmError
from lotus_recon.geometry.camera import project
from lotus_recon.geometry.pose import Similarity, fit_similarity, transform
from lotus_recon.io.cameras import SourceCamera, write_colmap_scene, write_source_cameras
from lotus_recon.sfm.frame import apply, check, moved, parse_distance
from lotus_recon.sfm.stage import REPORT, SPARSE, SfmResult
from lotus_recon.synthetic.arrangement import arc_of_poses
from lotus_recon.types import Camera, Scene, SparsePoints, View
from lotus_recon.workspace import write_json

CAMERA = Camera.from_fov_deg(60, 640, 480)
NAMES = [f"{i}.jpg" for i in range(6)]
POSES = dict(zip(NAMES, arc_of_poses(np.zeros(3), 3.0, 1.0, np.linspace(0, 200, 6)), strict=True))  # metres, z up
SCALE = 0.37  # of the arbitrary frame


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A finished sfm folder whose frame is turned, moved and scaled against the true one."""
    rng = np.random.default_rng(3)
    U, _, Vt = np.linalg.svd(rng.normal(size=(3, 3)))
    turned = Similarity(SCALE, U @ Vt * np.sign(np.linalg.det(U @ Vt)), rng.normal(size=3))
    xyz = rng.uniform(-0.5, 0.5, (5, 3))
    point, view = (grid.ravel() for grid in np.meshgrid(np.arange(5), np.arange(6)))
    xy = np.stack([project(transform(POSES[NAMES[v]], xyz[p]), CAMERA) for p, v in zip(point, view, strict=True)])
    points = SparsePoints(xyz, np.zeros((5, 3), np.uint8), np.full(5, 0.5), point, view, xy)
    views = tuple(View(name, CAMERA, pose) for name, pose in POSES.items())
    write_colmap_scene(moved(Scene(views, points), turned, metric=False), tmp_path / SPARSE)
    write_source_cameras(dict.fromkeys(NAMES, SourceCamera.of_pinhole(CAMERA)), tmp_path / "distorted.json")
    write_json(tmp_path / REPORT, {"metric": False})
    return tmp_path


def scale_to_truth(result: SfmResult) -> float:
    found = np.stack([view.center_in_world for view in result.scene.views])
    true = np.stack([View(name, CAMERA, POSES[name]).center_in_world for name in NAMES])
    return fit_similarity(found, true).scale


def test_distance_of_two_cameras(model: Path) -> None:
    a, b = (View(name, CAMERA, POSES[name]).center_in_world for name in (NAMES[0], NAMES[3]))
    result = apply(model, f"{NAMES[0]}, {NAMES[3]}={np.linalg.norm(a - b)}", gravity=False)
    assert scale_to_truth(result) == pytest.approx(1)
    assert result.scene.metric
    assert SfmResult.load(model).scene.metric


def test_two_marked_points(model: Path) -> None:
    ends = {"a": np.array([0.2, 0.1, 0.3]), "b": np.array([-0.3, 0.2, -0.1])}
    marks = {
        key: {name: project(transform(POSES[name], end), CAMERA).tolist() for name in (NAMES[0], NAMES[2])}
        for key, end in ends.items()
    }
    file = model / "marks.yaml"
    file.write_text(yaml.safe_dump({**marks, "metres": float(np.linalg.norm(ends["a"] - ends["b"]))}))
    assert scale_to_truth(apply(model, str(file), gravity=False)) == pytest.approx(1)


def test_gravity_turns_z_up_and_keeps_the_reconstruction(model: Path) -> None:
    before = SfmResult.load(model).scene
    after = apply(model, None, gravity=True).scene
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


def test_without_options_nothing_changes(model: Path) -> None:
    before = (model / SPARSE / "images.bin").read_bytes()
    apply(model, None, gravity=False)
    assert (model / SPARSE / "images.bin").read_bytes() == before


def test_unregistered_photo(model: Path) -> None:
    with pytest.raises(SfmError, match="gone.jpg was not registered"):
        apply(model, "0.jpg,gone.jpg=1", gravity=False)


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
        check(None, True, Path("poses"), set(NAMES))
    with pytest.raises(InputError, match="not there: z.jpg"):
        check("0.jpg,z.jpg=1", False, None, set(NAMES))
