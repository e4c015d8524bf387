"""What photos see of a surface: hidden, masked, beside the picture, from behind; colour, area and detail."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from lotus_recon.synthetic.arrangement import look_at
from lotus_recon.texturing.kernels import face_statistics
from lotus_recon.texturing.sightings import gradient_magnitude, sighting_of
from lotus_recon.types import View
from tests.texturing import scenes


def test_a_photo_sees_what_is_before_it_with_its_colour_and_area() -> None:
    view, surface = scenes.view_from(0, 0.0), scenes.surface()
    seen = sighting_of(view, scenes.photo_of(view), None, surface)
    centers = surface.centers[seen.faces]
    camera = view.camera
    half_x, half_y = 2.4 * np.array(camera.size) / 2 / camera.fx
    inside = (np.abs(surface.centers[:, 0]) < half_x - 0.05) & (np.abs(surface.centers[:, 1]) < half_y - 0.05)
    assert set(np.flatnonzero(inside)) <= set(seen.faces)
    assert np.abs(centers[:, 1]).max() < half_y
    np.testing.assert_allclose(seen.color, scenes.pattern(centers[:, 0], centers[:, 1]), atol=6)
    side_px = 2 / 24 * camera.fx / 2.4
    np.testing.assert_allclose(seen.area_px, side_px**2 / 2, rtol=0.01)


def test_what_lies_behind_is_not_seen_and_what_is_partly_hidden_is_not_whole() -> None:
    """A small wall before the large one."""
    view = scenes.view_from(0, 0.0)
    small = scenes.grid(6, z=1.2, size=0.5)
    mesh = scenes.joined(scenes.grid(), small)
    surface = scenes.surface(mesh)
    seen = sighting_of(view, scenes.photo_of(view), None, surface)
    hidden = np.abs(surface.centers[:, :2]).max(1) < 0.45
    hidden &= surface.centers[:, 2] == 0  # the small wall covers twice its size of the large one
    assert hidden.sum() > 50
    assert not set(np.flatnonzero(hidden)) & set(seen.faces)
    covered = np.abs(mesh.vertices[mesh.triangles[seen.faces]][..., :2]).max(-1) < 0.49
    partly = covered.any(1) & (surface.centers[seen.faces, 2] == 0)
    assert not seen.whole[partly].any()
    assert set(range(len(mesh.triangles) - len(small.triangles), len(mesh.triangles))) <= set(seen.faces)


def test_a_surface_just_behind_another_counts_as_the_same() -> None:
    view = scenes.view_from(0, 0.0)
    near, far = (scenes.joined(scenes.grid(), scenes.grid(6, z, 0.5)) for z in (0.2, 2.2) for _ in (0,))
    del far
    double = scenes.joined(scenes.grid(), scenes.grid(24, z=scenes.TOLERANCE / 2))
    seen = sighting_of(view, scenes.photo_of(view), None, scenes.surface(double)).faces
    assert (seen < len(scenes.grid().triangles)).sum() > 100
    seen = sighting_of(view, scenes.photo_of(view), None, scenes.surface(near)).faces
    hidden = np.abs(scenes.surface(near).centers[:, :2]).max(1) < 0.2
    hidden[len(scenes.grid().triangles) :] = False
    assert not set(np.flatnonzero(hidden)) & set(seen)


def test_masked_pixels_and_backs_are_not_seen() -> None:
    view, surface = scenes.view_from(0, 0.0), scenes.surface()
    rgb = scenes.photo_of(view)
    left = np.zeros(rgb.shape[:2], bool)
    left[:, :80] = True
    faces = sighting_of(view, rgb, left, surface).faces
    assert len(faces) > 100
    assert surface.centers[faces, 0].max() <= 0.0
    behind = View(view.name, view.camera, look_at(np.array([0, 0, -2.4]), np.zeros(3), up=(0, 1, 0)))
    assert len(sighting_of(behind, rgb, None, surface).faces) == 0


def test_grazing_photos_see_nothing() -> None:
    grazing = scenes.view_from(0, 40.0, z=1.0)
    assert len(sighting_of(grazing, scenes.photo_of(scenes.view_from(0, 0.0)), None, scenes.surface()).faces) == 0


def test_a_blurred_photo_has_less_detail() -> None:
    view = scenes.view_from(0, 0.0)
    sharp = scenes.photo_of(view)
    blurred = gaussian_filter(sharp, (12, 12, 0))
    details = [sighting_of(view, rgb, None, scenes.surface()).detail.mean() for rgb in (sharp, blurred)]
    assert details[1] < 0.8 * details[0]
    ramp = np.repeat(np.arange(0, 200, 4, dtype=np.uint8)[None, :, None], 20, 0).repeat(3, 2)
    assert gradient_magnitude(ramp)[5, 5] == pytest.approx(4.0)


@pytest.mark.parametrize("mirrored", [False, True])
def test_statistics_of_a_triangle_are_those_of_the_pixels_in_it(mirrored: bool) -> None:
    image = np.zeros((10, 10, 3), np.float32)
    image[..., 0] = np.arange(10)[:, None]
    corners = np.array([[[1, 1], [9, 1], [1, 9]], [[4.2, 7.2], [4.4, 7.2], [4.2, 7.4]]], np.float32)
    if mirrored:
        corners = corners[:, ::-1].copy()
    area, detail, color = np.empty(2, np.float32), np.empty(2, np.float32), np.empty((2, 3), np.float32)
    face_statistics(corners, image[..., 0].copy(), image, area, detail, color)
    y, x = np.mgrid[:10, :10] + 0.5
    inside = (x >= 1) & (y >= 1) & (x + y <= 10)
    np.testing.assert_allclose(area, [32, 0.02], rtol=1e-4)
    assert color[0, 0] == pytest.approx(image[..., 0][inside].mean())
    assert color[1, 0] == detail[1] == 7, "a triangle between pixel centres takes the pixel around it"
