"""Items placed in a world, their lighting, and cameras around them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from lotus_recon.errors import InputError
from lotus_recon.geometry.normals import normalized
from lotus_recon.geometry.pose import transform
from lotus_recon.synthetic.shapes import joined
from lotus_recon.types import FloatArray, Mesh, check_rigid

# Linear RGB albedo (N, 3) in [0, 1] at points (N, 3) in the axes of the item.
Texture = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Item:
    """A textured solid. ``mesh`` has vertex normals and is in the item's own axes."""

    name: str
    mesh: Mesh
    texture: Texture
    world_from_item: NDArray[np.float64] = field(default_factory=lambda: np.eye(4))

    def __post_init__(self) -> None:
        check_rigid(self.world_from_item, f"pose of item {self.name!r}")
        if self.mesh.normals is None:
            raise InputError(f"item {self.name!r}: its mesh needs vertex normals")

    @property
    def mesh_in_world(self) -> Mesh:
        """The mesh at its place."""
        assert self.mesh.normals is not None  # by __post_init__
        vertices = transform(self.world_from_item, self.mesh.vertices).astype(np.float32)
        normals = (self.mesh.normals @ self.world_from_item[:3, :3].T).astype(np.float32)
        return Mesh(vertices, self.mesh.triangles, normals=normals)


@dataclass(frozen=True)
class Light:
    """A sun and a uniform sky. Colours are linear RGB."""

    to_sun: tuple[float, float, float] = (0.35, -0.55, 0.75)  # direction, any length
    sun: tuple[float, float, float] = (1.45, 1.3, 1.08)  # light on a surface that faces the sun
    sun_radius_deg: float = 2.5  # half the angle that the sun spans: the softness of shadows
    sky: tuple[float, float, float] = (0.42, 0.45, 0.5)  # light on a surface that sees the whole sky
    # What a ray to something else than the sky brings, as a share of the sky: light that bounced between surfaces.
    bounce: float = 0.35


@dataclass(frozen=True, eq=False)
class Arrangement:
    """A world: items and light."""

    items: tuple[Item, ...]
    light: Light = field(default_factory=Light)

    @property
    def mesh(self) -> Mesh:
        """All items as one mesh in world coordinates: the true surface."""
        return joined([item.mesh_in_world for item in self.items])


def placed(
    x: float, y: float, z: float, turn_deg: float = 0.0, tilt_deg: float = 0.0, roll_deg: float = 0.0
) -> NDArray[np.float64]:
    """world_from_item (4, 4): rolled about y, tilted about x, turned about z, then moved to (x, y, z)."""
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("yxz", [roll_deg, tilt_deg, turn_deg], degrees=True).as_matrix()
    pose[:3, 3] = (x, y, z)
    return pose


def look_at(
    center: FloatArray, target: FloatArray, up: tuple[float, float, float] = (0.0, 0.0, 1.0)
) -> NDArray[np.float64]:
    """cam_from_world (4, 4) of a camera at ``center`` (3,) that looks at ``target`` with ``up`` towards the image top.

    Raises InputError when the camera would look along ``up`` or at its own centre.
    """
    center = np.asarray(center, np.float64)
    forward = normalized(np.asarray(target, np.float64) - center)
    right = normalized(np.cross(forward, up))
    if not right.any():
        raise InputError(
            f"a camera at {center} cannot look at {target}: along the up direction, or no direction at all"
        )
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward])
    pose[:3, 3] = -pose[:3, :3] @ center
    return pose


def arc_of_poses(
    target: FloatArray, radius: float, height: float, azimuths_deg: FloatArray
) -> list[NDArray[np.float64]]:
    """cam_from_world (4, 4) on a horizontal arc around ``target`` (3,) at ``height`` (world z), per azimuth (N,)."""
    target = np.asarray(target, np.float64)
    angles = np.radians(np.asarray(azimuths_deg, np.float64))
    centers = [np.array([target[0] + radius * np.cos(a), target[1] + radius * np.sin(a), height]) for a in angles]
    return [look_at(center, target) for center in centers]
