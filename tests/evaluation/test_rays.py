"""A wall that is partly right, partly blocked, too deep or absent, along rays whose outcome is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lotus_recon.errors import InputError
from lotus_recon.evaluation.config import RaysConfig
from lotus_recon.evaluation.rays import TEXTURES, RayShares, ray_shares, texture_classes
from lotus_recon.evaluation.rays_job import check_job, run_job
from lotus_recon.io.cameras import SourceCamera, write_colmap_scene
from lotus_recon.io.maps import save_prediction
from lotus_recon.io.meshes import write_ply
from lotus_recon.io.transforms import write_transforms
from lotus_recon.types import BoolArray, DepthKind, DepthMap, Mesh, Prediction, Scene, SparsePoints
from tests.evaluation.test_alignment_job import CAMERA, half, scene

FAR_AWAY = np.array([5e5, -4e6, 200.0])  # as in georeferenced scenes, in metres


def sheet(x0: float, x1: float, z: float) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """A rectangle at depth z, high enough for all rays."""
    corners = [(x0, -2, z), (x1, -2, z), (x1, 2, z), (x0, 2, z)]
    return np.array(corners, np.float32), np.array([(0, 1, 2), (0, 2, 3)], np.int32)


def mesh() -> Mesh:
    """Of a wall at z = 2, -0.8 to 0.8: the left quarter true, then 1 % and 10 % too deep, then absent, then blocked."""
    sheets = [sheet(-2, -0.4, 2.0), sheet(-0.4, -0.1, 2.02), sheet(-0.1, 0.2, 2.2), sheet(0.25, 0.5, 1.0)]
    vertices = np.concatenate([v for v, _ in sheets])
    triangles = np.concatenate([t + 4 * i for i, (_, t) in enumerate(sheets)])
    return Mesh(vertices, triangles)


def wall() -> Scene:
    """One camera at the origin; a grid of points at z = 2, whose x say what is met."""
    x, y = np.meshgrid([-0.7, -0.5, -0.3, 0.0, 0.38, 0.7], np.linspace(-0.7, 0.7, 10))
    xyz = np.stack([x.ravel(), y.ravel(), np.full(60, 2.0)], axis=1)
    xy = 15 * xyz[:, :2] + [20, 15]
    index = np.arange(60)
    points = SparsePoints(xyz, np.zeros((60, 3), np.uint8), np.full(60, 0.5), index, np.zeros(60, np.int64), xy)
    return Scene(scene().views[:1], points)


def every(scene: Scene, share: float, seed: int) -> BoolArray:
    return np.ones(len(scene.points.xyz), bool)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of multi_view with that wall; its photo has texture on the left only."""
    out = tmp_path / "run"
    for folder in ("sfm/sparse", "images", "mesh"):
        (out / folder).mkdir(parents=True)
    write_colmap_scene(wall(), out / "sfm/sparse")
    write_ply(out / "mesh/mesh.ply", mesh())
    (out / "config.yaml").write_text("alignment: {holdout: 0.5, holdout_strict: true}\nruntime: {seed: 0}\n")
    gray = np.full((30, 40, 3), 90, np.uint8)
    gray[:, :11] = 70 + 40 * (np.indices((30, 11)).sum(0) % 2)[..., None]
    Image.fromarray(gray).save(out / "images/a.png")
    return out


def counts(shares: RayShares) -> list[int]:
    """Rays that are met, blocked, met behind, and that meet nothing."""
    values = (shares.met, shares.blocked, shares.behind, shares.none)
    return [round(value * shares.rays) for value in values]


def test_every_outcome_is_counted(run: Path, tmp_path: Path) -> None:
    config = RaysConfig(scene=run, tolerances=[0.002, 0.02])
    scores = run_job(check_job(config, every), tmp_path / "scores")
    # Columns of points: two met; 1 % behind; 10 % behind; blocked; no mesh.
    fine, coarse = scores["all"]
    assert counts(fine) == [20, 10, 20, 10]
    assert counts(coarse) == [30, 10, 10, 10]


def test_shares_are_given_by_texture_and_view(run: Path, tmp_path: Path) -> None:
    job = check_job(RaysConfig(scene=run, tolerances=[0.01]), every)
    scores = run_job(job, tmp_path / "scores")
    # The two left columns of points lie in texture, the third beside it.
    assert scores["texture: strong"] == [RayShares(1, 0, 0, 0, rays=20)]
    assert scores["texture: weak"][0].rays == 10
    assert scores["texture: none"][0].met == 0
    views = json.loads((tmp_path / "scores/views.json").read_text())
    assert list(views) == ["a.png"]
    assert views["a.png"]["0.01"]["rays"] == 60
    assert "| texture: none | " in (tmp_path / "scores/table.md").read_text()


def test_only_held_out_points_count(run: Path) -> None:
    assert len(check_job(RaysConfig(scene=run), half).visible) == 30


def test_each_camera_that_sees_a_point_has_a_ray(tmp_path: Path) -> None:
    """The tracks of a COLMAP model say who sees what: 60 points in both of two views."""
    write_ply(tmp_path / "mesh.ply", mesh())
    write_colmap_scene(scene(), tmp_path / "model")
    job = check_job(RaysConfig(mesh=tmp_path / "mesh.ply", reference=tmp_path / "model"), half)
    assert len(job.visible) == 120
    assert set(job.visible.texture) == {TEXTURES.index("unknown")}
    centers = np.unique(job.visible.centers, axis=0)
    assert centers == pytest.approx(np.array([[0, 0, 0], [0.2, 0, 0]]))


def test_depth_maps_are_a_reference_also_far_from_the_origin(tmp_path: Path) -> None:
    """The true wall as a depth map of a camera that stands 4000 km from the origin."""
    pose = np.eye(4)
    pose[:3, 3] = -FAR_AWAY
    shifted = mesh()
    write_ply(tmp_path / "mesh.ply", Mesh(shifted.vertices + FAR_AWAY.astype(np.float32), shifted.triangles))
    depth = DepthMap(np.full((30, 40), 2.0, np.float32), np.ones((30, 40), bool), DepthKind.SCENE)
    save_prediction(tmp_path / "depth/a.npz", Prediction(depth, None, {}))
    write_transforms(tmp_path / "poses.json", {"a.png": SourceCamera.of_pinhole(CAMERA)}, {"a.png": pose})
    config = RaysConfig(
        mesh=tmp_path / "mesh.ply", reference=tmp_path / "depth", reference_poses=tmp_path / "poses.json",
        tolerances=[0.02], samples=300,
    )  # fmt: skip
    job = check_job(config, half)
    (shares,) = run_job(job, tmp_path / "scores")["all"]
    # The wall is 2.67 wide at z = 2; true or 1 % too deep from -1.33 to -0.1.
    assert shares.met == pytest.approx(1.23 / 2.67, abs=0.15)
    assert 200 <= shares.rays <= 400


def test_a_mesh_without_triangles_meets_nothing() -> None:
    assert ray_shares(np.full(5, np.inf), 0.01) == RayShares(0, 0, 0, 1, rays=5)


def test_texture_is_the_contrast_around_a_pixel() -> None:
    noise = np.random.default_rng(0).normal(size=(60, 180))
    gray = 128 + noise * np.repeat([0.5, 4.0, 30.0], 60)
    classes = texture_classes(gray)[:, [20, 90, 160]]
    assert [np.bincount(column).argmax() for column in classes.T] == [0, 1, 2]


def test_what_is_not_there_is_named(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--mesh"):
        check_job(RaysConfig(), half)
    with pytest.raises(InputError, match="--reference"):
        check_job(RaysConfig(mesh=run / "mesh/mesh.ply"), half)
    with pytest.raises(InputError, match="held out"):
        check_job(RaysConfig(scene=run), lambda scene, share, seed: np.zeros(60, bool))
    for folder, what in ((run / "images", "has no sfm/sparse"), (tmp_path / "none", "is no folder")):
        with pytest.raises(
            InputError, match=f"--scene .* {what}: it must be the output folder .* of pipelines.multi_view"
        ):
            check_job(RaysConfig(scene=folder), half)
    (run / "mesh/mesh.ply").rename(run / "mesh.ply")
    with pytest.raises(InputError, match=r"has no mesh/mesh\.ply yet: run the stage mesh first, or give --mesh"):
        check_job(RaysConfig(scene=run), half)
    (run / "mesh.ply").rename(run / "mesh/mesh.ply")
    (tmp_path / "depth").mkdir()
    with pytest.raises(InputError, match="--reference-poses"):
        check_job(RaysConfig(mesh=run / "mesh/mesh.ply", reference=tmp_path / "depth"), half)
    Image.new("RGB", (10, 10)).save(run / "images/a.png")
    with pytest.raises(InputError, match="10x10"):
        check_job(RaysConfig(scene=run), every)
    with pytest.raises(InputError, match="tolerance"):
        ray_shares(np.ones(3), 0.0)
