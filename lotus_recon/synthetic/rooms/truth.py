"""What is true of a shot of a room: depth, normals and sky along the rays through the pixel centres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lotus_recon.synthetic.rooms.scene import Room, Shot
from lotus_recon.synthetic.surfaces import Surfaces, true_maps, world_rays
from lotus_recon.types import DepthKind, DepthMap, NormalMap


@dataclass(frozen=True, eq=False)
class Truth:
    """Exact geometry of a shot."""

    depth: DepthMap  # METRIC z-depth; invalid in the sky and where a ray leaves the room
    normals: (
        NormalMap  # smooth shading normals, camera axes, facing the camera; valid as depth, but not on what is fine
    )
    sky: NDArray[np.bool_]  # (H, W)


def room_surfaces(room: Room, threads: int = 0) -> Surfaces:
    """All parts of a room, the sky too, as a target for rays; mesh i is part i."""
    return Surfaces([part.mesh for part in room.parts], threads)


def true_geometry(room: Room, surfaces: Surfaces, shot: Shot) -> Truth:
    """The truth of a shot; ``surfaces`` are those of the room."""
    hits = surfaces.cast(*world_rays(shot.camera, shot.cam_from_world))
    depth, normals = true_maps(hits, shot.camera, shot.cam_from_world, DepthKind.METRIC)
    is_sky = np.array([part.is_sky for part in room.parts])
    sky = np.zeros(depth.shape, bool)
    sky[depth.valid] = is_sky[hits.mesh]
    solid = depth.valid & ~sky
    smooth = solid.copy()
    smooth[depth.valid] &= ~np.array([part.material.fine for part in room.parts])[hits.mesh]
    if room.sky is not None:
        sky |= ~depth.valid
    return Truth(DepthMap(depth.values, solid, DepthKind.METRIC), NormalMap(normals.values, smooth), sky)
