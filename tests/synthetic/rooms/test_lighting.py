"""Lamps of rooms."""

from __future__ import annotations

import numpy as np
import pytest

from lotus_recon.synthetic.rooms.furnisher import Furnisher
from lotus_recon.synthetic.rooms.lighting import draw_mood, hang_lamps
from lotus_recon.synthetic.rooms.materials import draw_palette
from lotus_recon.synthetic.rooms.occupancy import Occupancy
from lotus_recon.synthetic.rooms.openings import sky_gradient
from lotus_recon.synthetic.rooms.plan import Ceiling, Plan
from lotus_recon.synthetic.rooms.things import AssetSampler
from tests.synthetic.rooms.plain_rooms import CATALOG


@pytest.mark.parametrize("seed", range(6))
def test_a_lamp_hangs_even_below_a_steep_gable(seed: int) -> None:
    random = np.random.default_rng(seed)
    palette, finishes = draw_palette(CATALOG, random)
    occupancy = Occupancy(Plan(2.2, 3.0, Ceiling(0, (0.0, 1.0, 2.2), (1.5, 3.4, 1.5))), 100_000)
    assets = AssetSampler(CATALOG, finishes, random, occupancy)
    hang_lamps(
        Furnisher(occupancy, assets, palette, sky_gradient(random), 1.0, random),
        draw_mood("storage", random, has_windows=False),
    )
    assert any(placed.thing.group == "ceiling_lamp" for placed in occupancy.placed)
