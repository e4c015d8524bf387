"""The sample scene: what is stored in data/ belongs together."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lotus_recon.evaluation.metrics import point_to_mesh_distance
from lotus_recon.geometry.camera import unproject
from lotus_recon.geometry.pose import invert_rigid, transform
from lotus_recon.io.images import list_photos, read_info, read_rgb, resize_rgb
from lotus_recon.io.meshes import read_mesh
from lotus_recon.synthetic.renderer import Quality, RayRenderer, SyntheticView
from lotus_recon.synthetic.sample import (
    CAMERA,
    FOCAL_PX,
    photo_names,
    sample_arrangement,
    sample_poses,
    write_sample,
)

DATA = Path(__file__).resolve().parents[2] / "data" / "sample"
FAST = Quality(samples_per_axis=1, sky_rays=1)


@pytest.fixture(scope="module")
def view() -> SyntheticView:
    return RayRenderer(sample_arrangement(), FAST).render(CAMERA, sample_poses()[4])


def test_every_pixel_of_every_photo_shows_the_room() -> None:
    renderer = RayRenderer(sample_arrangement(), Quality(1, 0))
    for pose in sample_poses():
        assert renderer.render(CAMERA.resized(64, 48), pose).depth.valid.all()


def test_stored_photos_are_what_the_code_renders(view: SyntheticView) -> None:
    photos = list_photos(DATA / "images")
    assert [photo.name for photo in photos] == photo_names()
    stored = read_rgb(photos[4].path)
    assert stored.shape == (480, 640, 3)
    small = [resize_rgb(rgb, 80, 60).astype(float) for rgb in (stored, view.rgb)]
    assert np.abs(small[0] - small[1]).mean() < 8
    info = read_info(photos[4].path)
    assert info.focal_35mm == 32
    assert pytest.approx(32 * 800 / 43.2666, rel=1e-5) == FOCAL_PX


def test_stored_poses_are_those_of_the_code() -> None:
    stored = json.loads((DATA / "truth" / "transforms.json").read_text())
    assert all(frame["fl_x"] == pytest.approx(FOCAL_PX) for frame in stored["frames"])
    for frame, name, pose in zip(stored["frames"], photo_names(), sample_poses(), strict=True):
        assert (DATA / "truth" / frame["file_path"]).resolve() == DATA / "images" / name
        world_from_cam = np.array(frame["transform_matrix"]) @ np.diag([1, -1, -1, 1])
        assert np.allclose(invert_rigid(world_from_cam), pose)


def test_stored_surface_is_what_the_photos_show(view: SyntheticView) -> None:
    points = unproject(view.depth.values, CAMERA)[::16, ::16].reshape(-1, 3)
    in_world = transform(invert_rigid(view.cam_from_world), points)
    assert point_to_mesh_distance(in_world, read_mesh(DATA / "truth" / "mesh.ply")).max() < 1e-4


@pytest.mark.slow
def test_written_sample_has_all_its_parts(tmp_path: Path) -> None:
    write_sample(tmp_path, Quality(1, 0), photos=2)
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert names == [
        "images/studio_01.jpg",
        "images/studio_02.jpg",
        "truth/mesh.ply",
        "truth/transforms.json",
    ]
