"""A catalog that is quick: the computed furniture with textures of one colour."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lotus_recon.synthetic.rooms.catalog import Texture
from lotus_recon.synthetic.rooms.procedural import ProceduralCatalog


class PlainCatalog(ProceduralCatalog):
    """Furniture as in the procedural catalog."""

    def bitmap(self, texture: Texture) -> NDArray[np.uint8]:
        """(4, 4, 3), a grey of its own."""
        return np.full((4, 4, 3), 60 + 10 * (len(texture.id) % 15), np.uint8)
