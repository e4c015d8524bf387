"""Windows and what is behind them."""

from __future__ import annotations

import numpy as np
import pytest

from lotus_recon.synthetic.rooms.openings import SUN_DISTANCE_M, SUNLIT_SHARE, Outdoors, sun_center, sun_part
from lotus_recon.synthetic.rooms.plan import Opening
from lotus_recon.synthetic.rooms.solids import triangle_areas

WINDOW = Opening("window", 0, 1.0, 1.2, 0.9, 1.4)
OUTDOORS = Outdoors(np.zeros((2, 2, 3), np.uint8), (1, 1, 1), sun=(20.0, 18.0, 15.0), to_sun=(0.5, 1.0, 0.7))


def test_the_sun_faces_the_window_and_lights_it_as_asked() -> None:
    part = sun_part(WINDOW, 0.2, OUTDOORS)
    to_window = np.array([1.6, 0.2, 1.6]) - sun_center(WINDOW, 0.2, OUTDOORS)
    assert np.linalg.norm(to_window) == pytest.approx(SUN_DISTANCE_M)
    assert part.mesh.normals is not None
    assert part.mesh.normals[0] == pytest.approx(to_window / SUN_DISTANCE_M, abs=1e-6)
    irradiance = np.array(part.material.emission) * triangle_areas(part.mesh).sum() / SUN_DISTANCE_M**2
    assert irradiance == pytest.approx(np.array(OUTDOORS.sun), rel=1e-5)
    assert np.array(part.material.emission) * SUNLIT_SHARE == pytest.approx(irradiance / np.pi, rel=1e-5)
