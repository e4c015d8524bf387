"""Lamps of rooms."""

from __future__ import annotations

import numpy as np
import pytest

from lotus_recon.synthetic.rooms.furnisher import Furnisher
from lotus_recon.synthetic.rooms.lighting import draw_mood, hang_lamps
from lotus_recon.synthetic.rooms.materials import draw_palette
from lotus_recon.synthetic.rooms.openings import sky_gradient
from lotus_recon.synthetic.rooms.plan import Ceiling, Plan
from lotus_recon.synthetic.rooms.staging import Stage
from lotus_recon.synthetic.rooms.things import Shop
from tests.synthetic.rooms.plain_rooms import CATALOG


@pytest.mark.parametrize("seed", range(6))
def test_a_lamp_hangs_even_below_a_steep_gable(seed: int) -> None:
    random = np.random.default_rng(seed)
    palette, finishes = draw_palette(CATALOG, random)
    stage = Stage(Plan(2.2, 3.0, Ceiling(0, (0.0, 1.0, 2.2), (1.5, 3.4, 1.5))), 100_000)
    shop = Shop(CATALOG, finishes, random, stage)
    hang_lamps(
        Furnisher(stage, shop, palette, sky_gradient(random), 1.0, random),
        draw_mood("storage", random, has_windows=False),
    )
    assert any(placed.thing.group == "ceiling_lamp" for placed in stage.placed)
