"""The smallest scene with everything that rooms are rendered with. Run in a process of its own: it may abort it."""

from __future__ import annotations

import numpy as np

from lotus_recon.errors import ModelError
from lotus_recon.synthetic import shapes
from lotus_recon.synthetic.arrangement import look_at
from lotus_recon.synthetic.rooms.mitsuba_scene import path_integrator, scene_of, sensor_of
from lotus_recon.synthetic.rooms.scene import Material, Part, Room, Shot
from lotus_recon.synthetic.rooms.solids import shifted
from lotus_recon.types import Camera

_SHINING = Material("lamp", (0.0, 0.0, 0.0), emission=(1.0, 0.5, 0.25))
_OTHERS = (Material("matte"), Material("coated", gloss=0.5), Material("metal", metal=True))
_SIDE = 8  # pixels


def check_variant(name: str) -> None:
    """Take a photo of a lamp with a variant of Mitsuba. Raises ModelError when it shows anything else."""
    import mitsuba

    mitsuba.set_variant(name)
    lamp = Part("lamp", shapes.panel(4, 4), _SHINING)
    hidden = [Part(m.name, shifted(shapes.panel(4, 4), (0, 0, -1)), m) for m in _OTHERS]
    scene = scene_of(mitsuba, Room((lamp, *hidden), (), (4, 4, 4)))
    pose = look_at(np.array([0.0, 0.0, 1.0]), np.zeros(3), up=(0, 1, 0))
    sensor = mitsuba.load_dict(sensor_of(mitsuba, Shot(Camera.from_fov_deg(60, _SIDE, _SIDE), pose)))
    image = mitsuba.render(scene, sensor=sensor, integrator=path_integrator(mitsuba), spp=1)
    if not np.allclose(np.array(image), _SHINING.emission, atol=1e-5):
        raise ModelError(f"Mitsuba's variant {name} computes wrong values")
