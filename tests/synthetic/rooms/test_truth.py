"""Depth, normals and sky of shots against analytic answers."""

from __future__ import annotations

import numpy as np
import pytest

from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.geometry.normals import angle_deg
from lotus_recon.synthetic import shapes
from lotus_recon.synthetic.rooms.scene import Material, Part, Room, Shot
from lotus_recon.synthetic.rooms.solids import shifted
from lotus_recon.synthetic.rooms.truth import room_surfaces, true_geometry
from lotus_recon.types import Camera, DepthKind
from tests.synthetic.rooms.render_scenes import ALONG_Y, BLACK, glowing, projected, quad, signboard

CAMERA = Camera(64, 48, 60.0, 60.0, 25.3, 30.6)


def test_pixels_see_the_surface_that_their_centres_project_to() -> None:
    room, (upper_left, lower_right) = signboard()
    shot = Shot(CAMERA, ALONG_Y)
    truth = true_geometry(room, room_surfaces(room), shot)
    (left, top), (right, bottom) = projected(shot, upper_left), projected(shot, lower_right)
    x, y = np.arange(64) + 0.5, np.arange(48)[:, None] + 0.5
    on_board = (left < x) & (x < right) & (top < y) & (y < bottom)
    assert on_board.any()
    assert truth.depth.values == pytest.approx(np.where(on_board, 3.0, 5.0), rel=1e-6)
    assert truth.depth.kind == DepthKind.METRIC
    assert angle_deg(truth.normals.values, np.array([0.0, 0.0, -1.0])).max() < 1e-3
    assert not truth.sky.any()


def test_sky_and_what_leaves_the_room_have_no_depth() -> None:
    mesh, _ = quad((0, 4.0, 0), 1.0, 0.5)
    room = Room((Part("sky", mesh, Material("sky", emission=(1, 1, 1)), is_sky=True),), (), (1, 1, 1), BLACK)
    truth = true_geometry(room, room_surfaces(room), Shot(CAMERA, ALONG_Y))
    assert truth.sky[30, 25]
    assert not truth.sky[0, 0]
    assert not truth.depth.valid.any()
    assert not truth.normals.valid.any()


def test_normals_of_a_coarse_ball_are_smooth_and_never_look_away() -> None:
    ball = shifted(shapes.sphere(1.0, 24), (0.2, 4.0, -0.1))
    room = Room((glowing("ball", ball, 1.0),), (), (1, 1, 1), BLACK)
    truth = true_geometry(room, room_surfaces(room), Shot(CAMERA, ALONG_Y))
    rays = rays_in_cam(CAMERA)
    valid = truth.normals.valid
    assert ((truth.normals.values * rays).sum(-1)[valid] < 0).all()
    outwards = rays * truth.depth.values[..., None] - np.array([0.2, 0.1, 4.0])
    steep = angle_deg(truth.normals.values, outwards / np.linalg.norm(outwards, axis=-1, keepdims=True))
    assert np.median(steep[valid]) < 1.5
    assert steep[valid].max() < 20
