"""What a renderer gives of a shot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lotus_recon.types import DepthMap, NormalMap


@dataclass(frozen=True, eq=False)
class RoomView:
    """A shot as taken: light that arrives, and what is true of the scene."""

    radiance: NDArray[np.float32]  # (H, W, 3) linear RGB
    depth: DepthMap  # METRIC z-depth
    normals: NormalMap  # camera axes, facing the camera
    sky: NDArray[np.bool_]  # (H, W)
