"""What one view says of another: fronto-parallel planes, slanted planes, and who overlaps whom."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lotus_recon.geometry.camera import project, rays_in_cam
from lotus_recon.geometry.consistency import (
    DepthTensors,
    SampledDepth,
    coarse_samples,
    count_votes,
    depth_log_ratio,
    grid_samples,
    most_covisible,
    overlap_shares,
)
from lotus_recon.geometry.pose import transform
from lotus_recon.types import Camera, View

CAMERA = Camera.from_fov_deg(60, 64, 48)
CPU = torch.device("cpu")


def view_at(x: float, z: float = 0.0, turn_deg: float = 0.0, name: str = "a.jpg") -> View:
    """A camera at (x, 0, z), turned about the vertical axis."""
    c, s = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    pose = np.eye(4)
    pose[:3, :3] = [[c, 0, -s], [0, 1, 0], [s, 0, c]]
    pose[:3, 3] = -pose[:3, :3] @ [x, 0, z]
    return View(name, CAMERA, pose)


def plane_depth(view: View, normal: NDArray[np.float64], offset: float) -> NDArray[np.float64]:
    """Depth of the world plane normal . X = offset."""
    rays = rays_in_cam(CAMERA) @ view.cam_from_world[:3, :3]
    return (offset - normal @ view.center_in_world) / (rays @ normal)


def tensors(view: View, depth: NDArray, valid: NDArray | None = None) -> DepthTensors:
    return DepthTensors.of(view, depth, np.ones(depth.shape, bool) if valid is None else valid, CPU)


def every_ratio(this: DepthTensors, other: DepthTensors) -> NDArray[np.float32]:
    row, col = this.every(1)
    result = np.full(tuple(this.depth.shape), np.nan, np.float32)
    result[row.numpy(), col.numpy()] = depth_log_ratio(this, row, col, other).numpy()
    return result


def test_a_slanted_plane_agrees_to_a_fraction_of_a_pixel() -> None:
    """Half a pixel of error anywhere would show: depth changes by up to 2 % from one pixel to the next."""
    normal = np.array([0.6, 0.2, 0.77])
    views = [view_at(0), view_at(0.4, 0.3, -8)]
    maps = [tensors(v, plane_depth(v, normal, 3.0)) for v in views]
    for first, second in ((0, 1), (1, 0)):
        ratio = every_ratio(maps[first], maps[second])
        inner = ratio[np.isfinite(ratio)]
        assert len(inner) > 0.5 * ratio.size
        assert np.abs(inner).mean() < 2e-4


def test_sign_tells_seen_through_from_hidden() -> None:
    near, far, beside = np.full((48, 64), 2.0), np.full((48, 64), 3.0), view_at(0.1)
    through = every_ratio(tensors(view_at(0), near), tensors(beside, far))
    hidden = every_ratio(tensors(view_at(0), far), tensors(beside, near))
    np.testing.assert_allclose(through[np.isfinite(through)], np.log(2 / 3), rtol=1e-5)
    np.testing.assert_allclose(hidden[np.isfinite(hidden)], np.log(3 / 2), rtol=1e-5)


def test_nothing_is_said_outside_behind_or_at_invalid_pixels() -> None:
    depth = np.full((48, 64), 2.0)
    back = every_ratio(tensors(view_at(0), depth), tensors(view_at(0, 0, 180), depth))
    assert np.isnan(back).all()
    valid = np.ones((48, 64), bool)
    valid[:, :32] = False
    half = every_ratio(tensors(view_at(0), depth), tensors(view_at(0), depth, valid))
    assert np.isnan(half[:, :32]).all()
    assert np.abs(half[:, 32:]).max() < 1e-6


def test_votes() -> None:
    here = tensors(view_at(0), np.full((48, 64), 2.0))
    others = [tensors(view_at(0), np.full((48, 64), depth)) for depth in (2.0, 2.001, 1.96, 1.0, 4.0)]
    row, col = here.every(1)
    votes = count_votes(here, row, col, others, tolerance=0.01, hidden_beyond=0.05)
    assert (votes.confirmed == 2).all()
    assert (votes.contradicted == 2).all()  # 4.0 looks through it, 1.96 is just in front; 1.0 hides it
    assert ((votes.agreement > 1.9) & (votes.agreement <= 2)).all()


def test_overlap_of_a_shifted_view_is_the_share_it_sees() -> None:
    """At depth 4 a shift by a quarter of the picture's width leaves three quarters in sight."""
    width_at_4 = 4 * 64 / CAMERA.fx
    views = [view_at(0), view_at(width_at_4 / 4, name="b.jpg"), view_at(0, 0, 180, name="c.jpg")]
    row, col = grid_samples(np.ones((48, 64), bool), 2000)
    samples = [SampledDepth(np.stack([col + 0.5, row + 0.5], 1), np.full(len(row), 4.0)) for _ in views]
    shares = overlap_shares(views, samples)
    assert 0.68 < shares[0, 1] < 0.75  # the cosine between the rays takes a little off
    assert abs(shares[0, 1] - shares[1, 0]) < 0.01
    assert shares[0, 2] == shares[2, 0] == shares[0, 0] == 0
    assert overlap_shares(views, samples, min_parallax_deg=90)[0, 1] < 0.3 * shares[0, 1]


def test_most_covisible_come_best_first() -> None:
    shares = np.array([[0, 0.2, 0.9, 0.05], [0.2, 0, 0, 0], [0.9, 0.3, 0, 0.4], [0, 0, 0, 0]])
    found = most_covisible(shares, 2, 0.1)
    assert [list(f) for f in found] == [[2, 1], [0], [0, 3], []]


def test_grid_covers_the_picture_evenly() -> None:
    row, col = grid_samples(np.ones((48, 64), bool), 300)
    assert 240 <= len(row) <= 340
    assert abs(row.mean() + 0.5 - 24) < 1.5
    assert abs(col.mean() + 0.5 - 32) < 1.5
    valid = np.zeros((48, 64), bool)
    valid[:, :10] = True
    assert grid_samples(valid, 300)[1].max() < 10


def random_view(rng: np.random.Generator, name: str) -> View:
    """A camera somewhere in a room of 4 x 1 x 4, level or nearly so."""
    turn, tilt = rng.uniform(0, 2 * np.pi), rng.uniform(-0.4, 0.4)
    forward = np.array([np.sin(turn), tilt, np.cos(turn)])
    forward /= np.linalg.norm(forward)
    right = np.cross([0, 1, 0], forward)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward])
    pose[:3, 3] = -pose[:3, :3] @ rng.uniform([-2, -0.5, -2], [2, 0.5, 2])
    width, height = rng.integers(40, 90, 2)
    camera = Camera(int(width), int(height), *rng.uniform(30, 80, 2), *(rng.uniform(0.3, 0.7, 2) * [width, height]))
    return View(name, camera, pose)


@pytest.mark.parametrize("min_parallax_deg", [0.0, 5.0])
def test_overlap_is_that_of_every_pair_by_itself(min_parallax_deg: float) -> None:
    """However pairs are sorted out beforehand: sample by sample, camera by camera, near and far."""
    rng = np.random.default_rng(0)
    views = [random_view(rng, f"{i}.jpg") for i in range(14)]
    samples = []
    for view in views:
        xy = rng.uniform(0, view.camera.size, (30, 2))
        samples.append(SampledDepth(xy, rng.uniform(0.05, 1.0, 30) * rng.choice([0.3, 1, 5])))
    expected = np.zeros((14, 14))
    for i, (view, sample) in enumerate(zip(views, samples, strict=True)):
        for j, other in enumerate(views):
            for point in sample.in_world(view):
                x, y = project(transform(other.cam_from_world, point), other.camera)
                if i != j and 0 <= x < other.camera.width and 0 <= y < other.camera.height:
                    rays = [point - v.center_in_world for v in (view, other)]
                    cosine = rays[0] @ rays[1] / np.prod(np.linalg.norm(rays, axis=1))
                    angle_deg = np.degrees(np.arccos(min(cosine, 1)))
                    ramp = min(angle_deg / min_parallax_deg, 1) if min_parallax_deg else 1
                    expected[i, j] += (angle_deg < 75) * cosine * ramp / 30
    assert 0.1 < (expected > 0).mean() < 0.7
    np.testing.assert_allclose(overlap_shares(views, samples, min_parallax_deg), expected, atol=1e-9)


def test_views_without_a_valid_pixel_overlap_nothing() -> None:
    views = [view_at(0), view_at(0.1, name="b.jpg")]
    samples = [coarse_samples(np.full((48, 64), 2.0), np.full((48, 64), valid)) for valid in (False, True)]
    shares = overlap_shares(views, samples)
    assert shares[0, 1] == 0
    assert shares[1, 0] > 0.9
