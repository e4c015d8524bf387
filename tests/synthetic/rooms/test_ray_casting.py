"""Ray-cast rooms: light, edges and orientation against analytic answers."""

from __future__ import annotations

import numpy as np
import pytest

from lotus_recon.errors import InputError
from lotus_recon.synthetic import shapes
from lotus_recon.synthetic.rooms import renderers
from lotus_recon.synthetic.rooms.ray_casting import RayCaster
from lotus_recon.synthetic.rooms.scene import Material, Part, Room, Shot
from lotus_recon.types import Camera
from tests.synthetic.rooms.render_scenes import (
    ALONG_Y,
    floor_shot,
    lamp_over_floor,
    painted_quad,
    projected,
    signboard,
)


def test_light_of_a_small_lamp_falls_off_as_cosine_over_squared_distance() -> None:
    albedo, height, radius, radiance = 0.5, 1.0, 0.05, 40.0
    shot, away = floor_shot()
    caster = RayCaster(lamp_over_floor(albedo, height, radius, radiance), samples=64, threads=1, denoise=False)
    squared = height**2 + away**2
    expected = albedo * radiance * radius**2 * height / squared**1.5
    assert caster.render(shot, 0).radiance[..., 1] == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(("cx", "cy"), [(64.0, 48.0), (50.3, 60.6)])
def test_edges_lie_where_corners_project_to(cx: float, cy: float) -> None:
    room, (upper_left, lower_right) = signboard()
    shot = Shot(Camera(128, 96, 110, 110, cx, cy), ALONG_Y)
    image = RayCaster(room, samples=64, threads=1, denoise=False).render(shot, 0).radiance[..., 1]
    coverage = (image - 0.25) / 0.75
    first, last = projected(shot, upper_left), projected(shot, lower_right)
    assert coverage.max(0).sum() == pytest.approx(last[0] - first[0], abs=0.1)
    assert coverage.max(1).sum() == pytest.approx(last[1] - first[1], abs=0.1)
    x, y = np.arange(128) + 0.5, np.arange(96) + 0.5
    center = np.array([(coverage.sum(0) * x).sum(), (coverage.sum(1) * y).sum()]) / coverage.sum()
    assert center == pytest.approx((first + last) / 2, abs=0.06)


def test_textures_have_u_to_the_right_and_v_up() -> None:
    shot = Shot(Camera.from_fov_deg(80, 32, 32), ALONG_Y)
    image = RayCaster(painted_quad(), samples=1, threads=1, denoise=False).render(shot, 0).radiance
    assert image[4, 4] == pytest.approx([1, 1, 1], abs=0.01)
    assert image[28, 4] == pytest.approx([0, 0, 0], abs=0.01)
    assert image[28, 28] == pytest.approx([1, 0, 0], abs=0.01)


def test_ambient_light_is_all_there_is_on_an_open_floor_without_lamps() -> None:
    floor = Part("floor", shapes.panel(20, 20), Material("floor", (0.5, 0.4, 0.3)))
    view = RayCaster(Room((floor,), (), (1, 1, 1), (0.2, 0.2, 0.2)), 1, 1, denoise=False).render(floor_shot()[0], 0)
    assert view.radiance == pytest.approx(np.tile([0.1, 0.08, 0.06], (24, 24, 1)), rel=1e-5)


def test_fine_textures_are_averaged_rather_than_sampled() -> None:
    checks = np.indices((256, 256)).sum(0) % 2 * 255
    texture = np.repeat(checks[..., None], 3, axis=2).astype(np.uint8)
    painted = painted_quad().parts[0]
    assert painted.uv is not None
    fine = Part("fine", painted.mesh, Material("fine", texture=texture, emission=(1, 1, 1)), 40 * painted.uv)
    shot = Shot(Camera.from_fov_deg(60, 32, 32), ALONG_Y)
    image = RayCaster(Room((fine,), (), (1, 1, 1)), 1, 1, denoise=False).render(shot, 0).radiance
    assert image == pytest.approx(np.full((32, 32, 3), 0.5), abs=0.02)


def test_a_seed_gives_one_view_whatever_the_threads() -> None:
    room, shot = lamp_over_floor(0.5, 1.0, 0.3, 10.0), floor_shot()[0]
    first = RayCaster(room, 2, threads=1, denoise=False).render(shot, 3).radiance
    assert np.array_equal(first, RayCaster(room, 2, threads=2, denoise=False).render(shot, 3).radiance)
    assert not np.array_equal(first, RayCaster(room, 2, threads=1, denoise=False).render(shot, 4).radiance)


def test_auto_is_ray_casting_without_mitsuba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert renderers.make_renderer("auto", signboard()[0], samples=1).name == "raycast"
    with pytest.raises(InputError, match="pip install"):
        renderers.make_renderer("mitsuba", signboard()[0])


def test_unknown_names_and_sample_counts_are_refused() -> None:
    with pytest.raises(InputError, match="auto, mitsuba, raycast"):
        renderers.resolved_renderer("blender")
    with pytest.raises(InputError, match="1 or more"):
        renderers.make_renderer("raycast", signboard()[0], samples=0)
