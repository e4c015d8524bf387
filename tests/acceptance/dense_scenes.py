"""Rendered scenes with exact surfaces, hard for dense stereo: what stands out, is thin, repeats or shows nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from lotus_recon.io.cameras import SourceCamera
from lotus_recon.io.images import write_png
from lotus_recon.io.maps import save_maps
from lotus_recon.io.meshes import write_ply
from lotus_recon.io.transforms import write_transforms
from lotus_recon.synthetic import shapes, textures
from lotus_recon.synthetic.arrangement import Arrangement, Item, arc_of_poses, look_at, placed
from lotus_recon.synthetic.renderer import Quality, RayRenderer
from lotus_recon.types import Camera, Mesh

CAMERA = Camera(576, 432, 520.0, 520.0, 288.0, 216.0)
_QUALITY = Quality(samples_per_axis=3, sky_rays=4)


def write_scene(
    folder: Path, make: Callable[[], tuple[Arrangement, Sequence[NDArray[np.float64]]]], black: bool
) -> None:
    """Photos, poses, true depth and mesh of a scene; ``black``: what no ray meets is black, not sky."""
    arrangement, poses = make()
    renderer = RayRenderer(arrangement, _QUALITY)
    named = {f"{number:02d}.png": pose for number, pose in enumerate(poses)}
    for number, (name, pose) in enumerate(named.items()):
        view = renderer.render(CAMERA, pose, number)
        rgb = view.rgb.copy()
        if black:
            rgb[binary_dilation(~view.depth.valid)] = 0
        (folder / "images").mkdir(parents=True, exist_ok=True)
        write_png(folder / "images" / name, rgb)
        save_maps(folder / "truth" / f"{Path(name).stem}.npz", view.depth)
    write_transforms(folder / "transforms.json", dict.fromkeys(named, SourceCamera.of_pinhole(CAMERA)), named, "images")
    write_ply(folder / "mesh.ply", Mesh(arrangement.mesh.vertices, arrangement.mesh.triangles))


def _plain(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Nothing to match."""
    return np.full((len(points), 3), 0.5, np.float32)


def object_before_black() -> tuple[Arrangement, list[NDArray[np.float64]]]:
    """A vase and a knot on a slab, from 16 places on a ring."""
    clay = textures.banded_clay(41, 0.62, ("#8a3f22", "#b4582f", "#cf7c4a", "#dd9a68"), "#231815")
    profile = np.array([[0.0, 0.0], [0.1, 0.0], [0.12, 0.03], [0.2, 0.22], [0.19, 0.36], [0.09, 0.5], [0.0, 0.5]])
    bronze = textures.marble(33, 0.16, ("#14352f", "#2c7a68", "#b9853f", "#e2b866", "#7a4a1e"))
    granite = textures.mosaic(32, 0.045, ("#3c4048", "#6d6a68", "#a39a8e", "#7b5b52", "#25282e"), "#8a857c")
    items = (
        Item("slab", shapes.box(0.9, 0.6, 0.06), granite, placed(0, 0, 0, turn_deg=20)),
        Item("vase", shapes.lathe(profile, steps=160), clay, placed(-0.2, -0.08, 0.06)),
        Item("knot", shapes.trefoil(0.17, 0.045), bronze, placed(0.22, 0.1, 0.28, tilt_deg=70)),
    )
    return Arrangement(items), arc_of_poses(np.array([0.0, 0.0, 0.2]), 1.5, 0.75, np.arange(16) * 22.5)


def facade() -> tuple[Arrangement, list[NDArray[np.float64]]]:
    """A house with a balcony, a portico, equal windows and a wall without texture; two rows of cameras before it."""
    brick = textures.bricks(11, 0.5, 0.18, 0.03, ("#5b2a1f", "#8a4029", "#a4533a", "#bf7a55"), mortar="#b3a894")
    ochre = textures.plaster(13, ("#b5803a", "#d1a35c", "#e3c48a", "#a5683a", "#c9924a"), 1.2)
    stone, roof = textures.marble(31, 0.7), textures.planks(23, 0.2, 1.5, ("#3a2717", "#5b3d22", "#7b5b32"))
    earth = textures.plaster(15, ("#4f4a3a", "#6d6347", "#8a7f5c", "#39372c"), 0.9)
    wood = textures.folded(textures.planks(51, 0.1, 0.9, ("#6e5333", "#9b7a4b", "#c8a873")), 0.02)
    upright = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])  # a panel that faces -y
    items = [
        Item("ground", shapes.panel(24, 16), earth, placed(0, -4, 0)),
        Item("wall", shapes.panel(6, 6), brick, placed(-2, 0, 3) @ upright),
        Item("plastered wall", shapes.panel(3, 6), ochre, placed(2.5, 0, 3) @ upright),
        Item("plain wall", shapes.panel(3, 6), _plain, placed(5.5, 0, 3) @ upright),
        Item("balcony", shapes.box(2.2, 1.1, 0.15), stone, placed(-2, -0.55, 3.0)),
        Item("rail", shapes.box(2.2, 0.06, 0.08), wood, placed(-2, -1.05, 3.9)),
        Item("portico roof", shapes.box(2.6, 1.6, 0.25), roof, placed(2.4, -0.8, 2.7)),
        Item("steps", shapes.box(2.6, 1.8, 0.3), stone, placed(2.4, -0.9, 0)),
        Item("slanted roof", shapes.panel(9.5, 3), roof, placed(0, 1.2, 6.8, tilt_deg=35)),
    ]
    items += [
        Item(f"bar {i}", shapes.box(0.05, 0.05, 0.75), wood, placed(-3 + 0.25 * i, -1.05, 3.15)) for i in range(9)
    ]
    items += [Item(f"column {x}", shapes.cylinder(0.14, 2.4), stone, placed(x, -1.4, 0.3)) for x in (1.4, 3.4)]
    for x in (-4.2, -2.0, 0.2):
        for z in (1.0, 4.0):
            items.append(
                Item(
                    f"window {x} {z}",
                    shapes.box(0.9, 0.1, 1.3),
                    textures.cover(60, "#26323f", "#c9c3b0", 1.0),
                    placed(x, 0, z),
                )
            )
    eyes = [(x, -8.5, z) for z in (1.6, 3.4) for x in np.linspace(-5.5, 6, 9)]
    return Arrangement(tuple(items)), [look_at(np.array(eye), np.array((0.55 * eye[0] + 0.4, 0, 2.9))) for eye in eyes]
