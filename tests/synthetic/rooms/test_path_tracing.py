"""Path-traced rooms against analytic answers; skipped where Mitsuba is missing or its fast variant does not run."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.synthetic.rooms.openings import SUN
from lotus_recon.synthetic.rooms.scene import Material, Part, Room, Shot
from lotus_recon.types import Camera
from tests.synthetic.rooms.render_scenes import (
    ALONG_Y,
    BLACK,
    floor_shot,
    furnace,
    glowing,
    lamp_over_floor,
    painted_quad,
    projected,
    quad,
    signboard,
)

pytest.importorskip("mitsuba", reason="Mitsuba is not installed")

from lotus_recon.synthetic.rooms.mitsuba_variant import best_variant
from lotus_recon.synthetic.rooms.path_tracing import PathTracer


@pytest.fixture(scope="module", autouse=True)
def _fast_variant() -> None:
    drawback = best_variant().drawback
    if drawback is not None:
        pytest.skip(drawback)


def test_a_furnace_is_as_bright_as_the_geometric_series_says() -> None:
    albedo, radiance = 0.3, 0.7
    shot = Shot(Camera.from_fov_deg(70, 16, 16), ALONG_Y)
    image = PathTracer(furnace(albedo, radiance), samples=64, threads=1, denoise=False).render(shot, 0).radiance
    assert float(image.mean()) == pytest.approx(radiance / (1 - albedo), rel=0.01)
    assert image == pytest.approx(np.full((16, 16, 3), radiance / (1 - albedo)), rel=0.1)


def test_light_of_a_small_lamp_falls_off_as_cosine_over_squared_distance() -> None:
    albedo, height, radius, radiance = 0.5, 1.0, 0.05, 40.0
    shot, away = floor_shot()
    tracer = PathTracer(lamp_over_floor(albedo, height, radius, radiance), samples=512, threads=1, denoise=False)
    squared = height**2 + away**2
    expected = albedo * radiance * radius**2 * height / squared**1.5
    image = tracer.render(shot, 0).radiance[..., 1]
    assert in_blocks(image) == pytest.approx(in_blocks(expected), rel=0.06)
    assert float(image.mean()) == pytest.approx(float(expected.mean()), rel=0.02)


def in_blocks(image: NDArray[np.floating]) -> NDArray[np.floating]:
    """(6, 6) means of 4x4 pixels: most of the noise goes."""
    return np.asarray(image.reshape(6, 4, 6, 4).mean((1, 3)))


@pytest.mark.parametrize(("cx", "cy"), [(64.0, 48.0), (50.3, 60.6)])
def test_edges_lie_where_corners_project_to_and_where_depth_has_them(cx: float, cy: float) -> None:
    room, (upper_left, lower_right) = signboard()
    shot = Shot(Camera(128, 96, 110, 110, cx, cy), ALONG_Y)
    view = PathTracer(room, samples=128, threads=1, denoise=False).render(shot, 0)
    coverage = (view.radiance[..., 1] - 0.25) / 0.75
    first, last = projected(shot, upper_left), projected(shot, lower_right)
    x, y = np.arange(128) + 0.5, np.arange(96) + 0.5
    center = np.array([(coverage.sum(0) * x).sum(), (coverage.sum(1) * y).sum()]) / coverage.sum()
    assert center == pytest.approx((first + last) / 2, abs=0.03)
    assert coverage.sum() == pytest.approx(float(np.prod(last - first)), rel=0.01)
    on_board = view.depth.values < 4
    assert (coverage[on_board] > 0.35).all()
    assert (coverage[~on_board] < 0.65).all()


def test_textures_have_u_to_the_right_and_v_up() -> None:
    shot = Shot(Camera.from_fov_deg(80, 32, 32), ALONG_Y)
    image = PathTracer(painted_quad(), samples=4, threads=1, denoise=False).render(shot, 0).radiance
    assert image[4, 4] == pytest.approx([1, 1, 1], abs=0.01)
    assert image[28, 4] == pytest.approx([0, 0, 0], abs=0.01)
    assert image[28, 28] == pytest.approx([1, 0, 0], abs=0.01)


def test_fireflies_are_clamped_whatever_the_sun() -> None:
    sun, _ = quad((0, 2.0, 0), 2.0, 2.0)
    lamp, _ = quad((0, -2.0, 0), 0.1, 0.1)  # behind the camera
    sun_part = Part("sky", sun, Material(SUN, BLACK, emission=(1000, 1000, 1000)))
    room = Room((sun_part, glowing("lamp", lamp, 3.0)), (), (1, 1, 1), BLACK)
    view = PathTracer(room, 2, threads=1, denoise=False).render(Shot(Camera.from_fov_deg(60, 16, 16), ALONG_Y), 0)
    assert view.radiance.max() == pytest.approx(2 * 3.0)


def test_a_seed_gives_one_view_to_the_bit() -> None:
    room, shot = lamp_over_floor(0.5, 1.0, 0.3, 10.0), floor_shot()[0]
    first = PathTracer(room, 2, threads=1).render(shot, 3).radiance
    assert np.array_equal(first, PathTracer(room, 2, threads=1).render(shot, 3).radiance)
    assert not np.array_equal(first, PathTracer(room, 2, threads=1).render(shot, 4).radiance)


def test_the_denoiser_takes_noise_away_and_keeps_the_light() -> None:
    pytest.importorskip("pyoidn", reason="Open Image Denoise is not installed")
    room, shot = lamp_over_floor(0.5, 1.0, 0.3, 10.0), floor_shot()[0]
    truth = PathTracer(room, 512, threads=1, denoise=False).render(shot, 0).radiance
    noisy = PathTracer(room, 16, threads=1, denoise=False).render(shot, 1).radiance
    clean = PathTracer(room, 16, threads=1).render(shot, 1).radiance
    assert np.abs(clean - truth).mean() < 0.5 * np.abs(noisy - truth).mean()
    assert float(clean.mean()) == pytest.approx(float(noisy.mean()), rel=0.03)


def test_pixels_that_are_not_square_are_refused() -> None:
    tracer = PathTracer(signboard()[0], samples=1, threads=1, denoise=False)
    with pytest.raises(InputError, match="square"):
        tracer.render(Shot(Camera(16, 16, 20, 21, 8, 8), ALONG_Y), 0)
