"""Rooms that are made quickly: the computed furniture with textures of one colour. Each is made once a session."""

from __future__ import annotations

import functools
from pathlib import Path
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from lotus_recon.synthetic.rooms import writing
from lotus_recon.synthetic.rooms.config import RoomsConfig
from lotus_recon.synthetic.rooms.layout import make_room
from lotus_recon.synthetic.rooms.procedural import ProceduralCatalog
from lotus_recon.synthetic.rooms.scene import Room


class PlainCatalog(ProceduralCatalog):
    """Furniture as in the procedural catalog."""

    def _bitmap(self, name: str) -> NDArray[np.uint8]:
        """(4, 4, 3), a grey."""
        return np.full((4, 4, 3), 60 + 10 * (len(name) % 15), np.uint8)


CATALOG = PlainCatalog()


@functools.cache
def plain_room(seed: int) -> Room:
    """The room of a seed."""
    return make_room(seed, CATALOG)


_make_scene = writing.make_scene  # what tests replace by the function below


def make_plain_scene(root: Path, config: RoomsConfig, number: int) -> str:
    """A job as ``writing.make_scene``, in whichever process, with the plain catalog."""
    with mock.patch.object(writing, "_catalog", return_value=CATALOG):
        return _make_scene(root, config, number)
