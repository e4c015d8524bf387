"""Light outdoors."""

from __future__ import annotations

import numpy as np

from lotus_recon.synthetic import shapes
from lotus_recon.synthetic.arrangement import look_at
from lotus_recon.synthetic.rooms.ray_casting import RayCaster
from lotus_recon.synthetic.rooms.scene import Material, Part, Room, Shot
from lotus_recon.synthetic.rooms.sky_light import Sky, draw_sky, with_haze
from lotus_recon.synthetic.rooms.solids import shifted
from lotus_recon.types import Camera

GREY = (0.3, 0.3, 0.3)
EVEN = Sky(to_sun=(0, 0.6, 0.8), sun=(1.0, 1.0, 1.0), zenith=GREY, horizon=GREY, clouds=0.0)
CAMERA = Camera.from_fov_deg(60, 24, 18)
DOWN = look_at(np.array([0.0, 0.0, 3.0]), np.zeros(3), up=(0, 1, 0))
LEVEL = look_at(np.array([0.0, 0.0, 3.0]), np.array([0.0, 10.0, 3.0]))


def floor(*more: Part, sky: Sky = EVEN) -> Room:
    ground = Part("floor", shapes.panel(400, 400), Material("floor", (0.5, 0.5, 0.5)))
    return Room((ground, *more), (), (1, 1, 1), sky=sky)


def test_a_matte_floor_sends_back_sun_and_sky() -> None:
    view = RayCaster(floor(), samples=64, threads=1, denoise=False).render(Shot(CAMERA, DOWN), 0)
    # The glow about the sun adds some to the even sky: at most a third of the sun's light at its centre.
    sky_alone = Sky(to_sun=EVEN.to_sun, sun=(0, 0, 0), zenith=GREY, horizon=GREY, clouds=0.0)
    dull = RayCaster(floor(sky=sky_alone), samples=64, threads=1, denoise=False).render(Shot(CAMERA, DOWN), 0)
    assert np.allclose(dull.radiance.mean(), 0.5 * 0.3, rtol=0.01)
    assert 0.5 * (0.8 + 0.3) < view.radiance.mean() < 0.5 * (0.8 + 0.3 + 0.35 * 0.25)


def test_what_stands_in_the_sun_casts_a_shadow() -> None:
    roof = Part("roof", shifted(shapes.panel(2, 2), (0, 1.5, 2.0)), Material("roof", (0.5, 0.5, 0.5)))
    side = look_at(np.array([0.0, -2.0, 0.5]), np.zeros(3))  # the shadow falls around the origin
    view = RayCaster(floor(roof), samples=32, threads=1, denoise=False).render(Shot(CAMERA, side), 0)
    assert view.radiance[9, 12].max() < 0.5 * 0.4 < view.radiance[17, 12].min()


def test_what_no_ray_meets_is_sky_without_depth() -> None:
    view = RayCaster(floor(), samples=2, threads=1, denoise=False).render(Shot(CAMERA, LEVEL), 0)
    assert view.sky[:9].all()
    assert not view.sky[10:].any()
    assert (view.sky == ~view.depth.valid).all()
    assert view.radiance[0, 12].min() > 0.29


def test_haze_keeps_a_share_by_the_length_of_the_ray() -> None:
    sky = Sky(horizon=(1.0, 1.0, 1.0), visibility_m=100.0)
    depth = np.full((18, 24), 50.0, np.float32)
    valid = np.ones((18, 24), bool)
    valid[:, 0] = False
    hazy = with_haze(sky, np.zeros((18, 24, 3), np.float32), depth, valid, CAMERA)
    length = 50 * np.hypot(1, np.hypot((20.5 - 12) / CAMERA.fx, (2.5 - 9) / CAMERA.fy))
    assert np.allclose(hazy[2, 20], 1 - np.exp(-length / 100), atol=1e-5)
    assert not hazy[:, 0].any()


def test_fine_things_have_depth_and_no_normals() -> None:
    leaf = Part("leaf", shifted(shapes.panel(1, 1), (0, 0, 1)), Material("leaf", fine=True))
    view = RayCaster(floor(leaf), samples=1, threads=1, denoise=False).render(Shot(CAMERA, DOWN), 0)
    assert view.depth.valid[9, 12]
    assert np.isclose(view.depth.values[9, 12], 2.0)
    assert not view.normals.valid[9, 12]
    assert view.normals.valid[0, 0]


def test_skies_differ_and_are_bright() -> None:
    skies = [draw_sky(np.random.default_rng(seed)) for seed in range(40)]
    directions = np.random.default_rng(0).normal(size=(200, 3)) * (1, 1, 0.5) + (0, 0, 0.5)
    light = [sky.radiance(directions) for sky in skies]
    assert all(np.isfinite(values).all() and values.min() > 0 for values in light)
    assert {max(sky.sun) > 0 for sky in skies} == {True, False}
