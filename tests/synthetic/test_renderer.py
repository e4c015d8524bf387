"""Rendered depth, normals and light against analytic answers."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.geometry.camera import rays_in_cam, unproject
from lotus_recon.geometry.normals import angle_deg, normals_from_depth
from lotus_recon.geometry.pose import invert_rigid, transform
from lotus_recon.synthetic import shapes
from lotus_recon.synthetic.arrangement import Arrangement, Item, Light, arc_of_poses, look_at, placed
from lotus_recon.synthetic.renderer import Quality, RayRenderer, to_srgb
from lotus_recon.types import Camera, Mesh

CAMERA = Camera(64, 48, 60.0, 55.0, 30.0, 25.0)
FAST = Quality(samples_per_axis=1, sky_rays=0)


def grey(points: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.full((len(points), 3), 0.5, np.float32)


def test_depth_and_normals_of_a_sphere() -> None:
    world = Arrangement((Item("ball", shapes.sphere(1.0, segments=256), grey, placed(0.3, 0, 0)),))
    pose = look_at(np.array([0.5, -4.0, 1.0]), np.zeros(3))
    view = RayRenderer(world, FAST).render(CAMERA, pose)
    rays, c = rays_in_cam(CAMERA), transform(pose, np.array([0.3, 0, 0]))
    a, b = (rays**2).sum(-1), rays @ c
    discriminant = b**2 - a * (c @ c - 1)
    inner = discriminant > 0.3
    truth = (b - np.sqrt(np.maximum(discriminant, 0))) / a
    assert view.depth.valid[inner].all()
    assert not view.depth.valid[discriminant < -0.1].any()
    assert np.abs(view.depth.values - truth)[inner].max() < 1e-3
    assert angle_deg(view.normals.values, rays * truth[..., None] - c)[inner].max() < 0.2


def test_unprojected_depth_lies_on_the_surface_in_the_world() -> None:
    world = Arrangement((Item("floor", shapes.panel(20, 20), grey, placed(0, 0, 0.7)),))
    pose = look_at(np.array([1.0, -3.0, 3.0]), np.array([0, 0, 0.5]))
    view = RayRenderer(world, FAST).render(CAMERA, pose)
    points = transform(invert_rigid(pose), unproject(view.depth.values, CAMERA))
    assert np.abs(points[..., 2] - 0.7)[view.depth.valid].max() < 1e-5
    assert angle_deg(view.normals.values, pose[:3, 2])[view.normals.valid].max() < 1e-3


@pytest.mark.parametrize(
    ("mesh", "volume"),
    [
        (shapes.box(1, 2, 3), 6),
        (shapes.sphere(1.0, 128), 4 / 3 * np.pi),
        (shapes.cylinder(0.5, 2.0, 256), np.pi / 2),
        (shapes.torus(1.0, 0.25, 256), 2 * np.pi**2 * 0.25**2),
        (shapes.lathe(np.array([[0, 0], [1, 0], [1, 1], [0, 1]])), np.pi),
        (shapes.trefoil(1.0, 0.1), None),
    ],
)
def test_solids_are_closed_and_face_outwards(mesh: Mesh, volume: float | None) -> None:
    """The divergence theorem gives the volume only when every face is there and looks outwards."""
    a, b, c = np.moveaxis(mesh.vertices.astype(np.float64)[mesh.triangles], 1, 0)
    enclosed = float((a * np.cross(b, c)).sum() / 6)
    assert (np.cross(a, b) + np.cross(b, c) + np.cross(c, a)).sum(0) == pytest.approx([0, 0, 0], abs=1e-4)
    if volume is None:  # a tube: its cross-section times its length
        centers = mesh.vertices.reshape(-1, 49, 3)[:, :-1].mean(1)
        volume = np.pi * 0.1**2 * float(np.linalg.norm(np.diff(centers, axis=0), axis=1).sum())
    assert enclosed == pytest.approx(volume, rel=0.03)
    assert mesh.normals is not None
    facing = (np.cross(b - a, c - a) * mesh.normals[mesh.triangles].mean(1)).sum(-1)
    assert (facing > 0).all()
    assert np.linalg.norm(mesh.normals, axis=1) == pytest.approx(1, abs=1e-5)


def test_normals_agree_with_the_depth_of_a_lathe() -> None:
    vase = shapes.lathe(np.array([[0, 0], [0.5, 0], [0.8, 0.6], [0.4, 1.2], [0.0, 1.2]]))
    view = RayRenderer(Arrangement((Item("vase", vase, grey),)), FAST).render(
        CAMERA.resized(256, 192), look_at(np.array([0.0, -3.0, 1.0]), np.array([0, 0, 0.6]))
    )
    measured, known = normals_from_depth(view.depth.values, view.depth.valid, view.camera)
    assert np.median(angle_deg(measured, view.normals.values)[known]) < 1.5


def ball_over_floor(light: Light) -> Arrangement:
    floor = Item("floor", shapes.panel(30, 30), grey)
    return Arrangement((floor, Item("ball", shapes.sphere(0.5), grey, placed(0, 0, 2))), light)


def looking_down(quality: Quality, light: Light) -> NDArray[np.uint8]:
    """The floor from a camera above it and beside the ball, which is outside the picture."""
    pose = look_at(np.array([0.0, 0.0, 1.2]), np.zeros(3), up=(0, 1, 0))
    return RayRenderer(ball_over_floor(light), quality).render(Camera.from_fov_deg(100, 60, 60), pose).rgb


def test_light_on_an_open_floor_is_the_sum_of_sun_and_sky() -> None:
    light = Light(to_sun=(0, 0.6, 0.8), sun=(0.5, 0.4, 0.3), sky=(0.2, 0.2, 0.2), sun_radius_deg=0.0)
    pose = look_at(np.array([3.0, 3.0, 1.2]), np.array([3.0, 3.0, 0.0]), up=(0, 1, 0))
    view = RayRenderer(ball_over_floor(light), FAST).render(CAMERA, pose)
    expected = to_srgb(0.5 * (0.8 * np.array([0.5, 0.4, 0.3]) + 0.2))
    assert np.array_equal(view.rgb[0, 0], expected)


def test_the_ball_throws_its_shadow_where_the_sun_says() -> None:
    light = Light(to_sun=(0.0, 0.0, 1.0), sun_radius_deg=0.0)
    picture = looking_down(FAST, light)[..., 1].astype(int)
    dark = picture < picture[0, 0]
    rays = rays_in_cam(Camera.from_fov_deg(100, 60, 60))
    distance = 1.2 * np.linalg.norm(rays[..., :2], axis=-1)  # on the floor, from the point below the ball
    assert dark[distance < 0.47].all()
    assert not dark[distance > 0.53].any()


def test_a_wide_sun_has_a_soft_shadow() -> None:
    picture = looking_down(Quality(4, 0), Light(to_sun=(0.0, 0.0, 1.0), sun_radius_deg=6))[30, :, 1]
    assert len(np.unique(picture)) > 4
    assert len(np.unique(looking_down(FAST, Light(to_sun=(0, 0, 1), sun_radius_deg=0))[30, :, 1])) == 2


def test_sky_is_darker_below_the_ball() -> None:
    light = Light(to_sun=(0, 0, 1), sun=(0, 0, 0), sky=(1, 1, 1), bounce=0.0)
    picture = looking_down(Quality(2, 64), light).astype(float)[..., 1]
    # The ball covers sin^2 of its angular radius of the sky above the point below it: (0.5 / 2)^2.
    below = picture[28:32, 28:32].mean()
    assert below == pytest.approx(float(to_srgb(np.array(0.5 * (1 - 0.0625)))), abs=1.0)


def test_the_same_seed_gives_the_same_photo() -> None:
    quality = Quality(2, 3)
    first = looking_down(quality, Light())
    assert np.array_equal(first, looking_down(quality, Light()))


def test_antialiasing_averages_a_fine_pattern() -> None:
    def stripes(points: NDArray[np.float32]) -> NDArray[np.float32]:
        on = np.floor(points[:, :1] * 87.3) % 2
        return np.repeat(on, 3, axis=1).astype(np.float32) * 0.6

    light = Light(to_sun=(0, 0, 1), sun=(1, 1, 1), sky=(0, 0, 0), sun_radius_deg=0)
    world = Arrangement((Item("floor", shapes.panel(9, 9), stripes),), light)
    pose = look_at(np.array([0.013, 0, 3.0]), np.array([0.013, 0, 0]), up=(0, 1, 0))
    once = RayRenderer(world, Quality(1, 0)).render(CAMERA, pose).rgb.astype(float)
    smooth = RayRenderer(world, Quality(6, 0)).render(CAMERA, pose).rgb.astype(float)
    assert once.std() > 70
    assert smooth.std() < 0.35 * once.std()


def test_cameras_on_an_arc_look_at_the_target_upright() -> None:
    target = np.array([1.0, 2.0, 0.5])
    poses = arc_of_poses(target, 3.0, 1.5, np.array([0.0, 90.0]))
    for pose, center in zip(poses, ([4, 2, 1.5], [1, 5, 1.5]), strict=True):
        assert invert_rigid(pose)[:3, 3] == pytest.approx(center)
        x, y, z = transform(pose, target)
        assert (x, y) == pytest.approx((0, 0), abs=1e-12)
        assert z == pytest.approx(np.sqrt(10))
        assert pose[1, 2] < 0  # world z points to the top of the image (-y)
        assert pose[0, 2] == pytest.approx(0)


def test_what_cannot_be_built() -> None:
    with pytest.raises(InputError, match="cannot look"):
        look_at(np.zeros(3), np.array([0, 0, 1.0]))
    with pytest.raises(InputError, match="samples_per_axis"):
        Quality(0, 1)
    bare = Mesh(np.zeros((3, 3), np.float32), np.array([[0, 1, 2]], np.int32))
    with pytest.raises(InputError, match="vertex normals"):
        Item("x", bare, grey)


def test_srgb() -> None:
    assert to_srgb(np.array([0.0, 0.0031308, 0.2140, 9.0])).tolist() == [0, 10, 127, 255]
