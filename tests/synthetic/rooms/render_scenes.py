"""Small rooms with known answers, for the tests of the renderers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lotus_recon.geometry.pose import transform
from lotus_recon.synthetic import shapes
from lotus_recon.synthetic.arrangement import look_at
from lotus_recon.synthetic.rooms.scene import Lamp, Material, Part, Room, Shot
from lotus_recon.synthetic.rooms.solids import shifted
from lotus_recon.types import Camera, Mesh

BLACK = (0.0, 0.0, 0.0)
ALONG_Y = look_at(np.zeros(3), np.array([0.0, 1.0, 0.0]))  # image right is world x, image down is world -z


def quad(center: tuple[float, float, float], right: float, up: float) -> tuple[Mesh, NDArray[np.float32]]:
    """A rectangle that faces -y, right x up metres in half sizes, with uv from its lower left corner."""
    signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32)
    corners = np.array(center) + np.stack([signs[:, 0] * right, 0 * signs[:, 0], signs[:, 1] * up], axis=1)
    facing = np.tile(np.array([[0, -1, 0]], np.float32), (4, 1))
    mesh = Mesh(corners.astype(np.float32), np.array([[0, 1, 2], [0, 2, 3]], np.int32), normals=facing)
    return mesh, np.asarray((signs + 1) / 2, np.float32)


def glowing(name: str, mesh: Mesh, radiance: float) -> Part:
    """A part that shines and reflects nothing."""
    return Part(name, mesh, Material(name, BLACK, emission=(radiance,) * 3))


def signboard() -> tuple[Room, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """A bright rectangle, up left, before a dim wall; and its upper left and lower right corners in the world."""
    board, _ = quad((-0.7, 3.0, 0.4), 0.3, 0.2)
    wall, _ = quad((0.0, 5.0, 0.0), 8.0, 8.0)
    corners = np.array([-1.0, 3.0, 0.6]), np.array([-0.4, 3.0, 0.2])
    return Room((glowing("board", board, 1.0), glowing("wall", wall, 0.25)), (), (1, 1, 1), BLACK), corners


def lamp_over_floor(albedo: float, height: float, radius: float, radiance: float) -> Room:
    """A glowing ball above a matte floor that reflects nothing else."""
    floor = Part("floor", shapes.panel(20, 20), Material("floor", (albedo,) * 3))
    ball = glowing("lamp", shifted(shapes.sphere(radius, 64), (0, 0, height)), radiance)
    lamp = Lamp((0, 0, height), radius, (np.pi * radius**2 * radiance,) * 3)
    return Room((floor, ball), (lamp,), (1, 1, 1), BLACK)


def floor_shot() -> tuple[Shot, NDArray[np.float64]]:
    """Looking straight down from above the lamp's height, beside it; and the (H, W) distances from below the lamp."""
    camera = Camera.from_fov_deg(60, 24, 24)
    pose = look_at(np.array([2.0, 0.0, 2.0]), np.array([2.0, 0.0, 0.0]), up=(0, 1, 0))
    x, y = np.meshgrid((np.arange(24) + 0.5 - 12) / camera.fx * 2.0, (np.arange(24) + 0.5 - 12) / camera.fy * 2.0)
    return Shot(camera, pose), np.hypot(2.0 + x, y)


def furnace(albedo: float, radiance: float) -> Room:
    """A closed box from the inside whose walls all shine and reflect alike."""
    box = shifted(shapes.box(2, 2, 2), (0, 0, -1))
    assert box.normals is not None
    inside = Mesh(box.vertices, box.triangles[:, ::-1].copy(), normals=-box.normals)
    material = Material("wall", (albedo,) * 3, emission=(radiance,) * 3)
    return Room((Part("wall", inside, material),), (), (2, 2, 2), BLACK)


def painted_quad() -> Room:
    """A quad over the whole view of ALONG_Y: white above, black lower left, red lower right."""
    texture = np.array([[[255] * 3, [255] * 3], [[0, 0, 0], [255, 0, 0]]], np.uint8).repeat(32, 0).repeat(32, 1)
    mesh, uv = quad((0, 2.0, 0), 2.0, 2.0)
    material = Material("paint", texture=texture, emission=(1, 1, 1))
    return Room((Part("paint", mesh, material, uv),), (), (1, 1, 1), BLACK)


def projected(shot: Shot, point: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2,) pixel of a world point."""
    x, y, z = transform(shot.cam_from_world, point)
    return np.array([shot.camera.fx * x / z + shot.camera.cx, shot.camera.fy * y / z + shot.camera.cy])
