"""The sample scene of this repository: a corner of a studio with a few objects, photographed from two heights.

``write_sample`` makes the folder ``data/sample`` again: photos, true poses and the true surface.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from lotus_recon.io.cameras import SourceCamera
from lotus_recon.io.images import write_jpeg
from lotus_recon.io.meshes import write_ply
from lotus_recon.io.transforms import write_transforms
from lotus_recon.progress import track
from lotus_recon.synthetic import shapes, textures
from lotus_recon.synthetic.arrangement import Arrangement, Item, arc_of_poses, placed
from lotus_recon.synthetic.renderer import Quality, RayRenderer
from lotus_recon.types import Camera, Mesh

# 640 x 480 with the field of view of a 32 mm lens on 24 x 36 mm film (CIPA: by the diagonal), so that EXIF is exact.
FOCAL_35MM = 32
FOCAL_PX = FOCAL_35MM * float(np.hypot(640, 480) / np.hypot(36, 24))
CAMERA = Camera(640, 480, FOCAL_PX, FOCAL_PX, 320.0, 240.0)
_JPEG_QUALITY = 92

_TARGET = np.array([-0.12, 0.12, 0.44])
_ROOM = 5.2  # side of the floor
_WALL = 3.2  # height of the walls
_CORNER = 1.35  # distance of the walls from the origin


def sample_arrangement() -> Arrangement:
    """The objects, the two walls and the floor. Unit: metre; z up; the corner of the room is at (-x, +y)."""
    return Arrangement((*_room(), *_plinth_and_knot(), *_pottery(), *_books_and_crate(), *_floor_things()))


def sample_poses() -> list[NDArray[np.float64]]:
    """cam_from_world (4, 4) of the 18 photos: ten at the height of a standing child, eight from above."""
    low = arc_of_poses(_TARGET, 2.35, 0.72, np.linspace(-92, 2, 10))
    high = arc_of_poses(_TARGET, 2.25, 1.55, np.linspace(-84, -6, 8))
    return low + high


def _room() -> list[Item]:
    brick = textures.bricks(
        11, 0.21, 0.075, 0.012, ("#5b2a1f", "#8a4029", "#a4533a", "#bf7a55", "#6d3b31"), mortar="#b3a894"
    )
    teal = textures.plaster(12, ("#2f5d62", "#3f7d7c", "#6ba292", "#a9c2a4", "#39676f"), 0.5)
    ochre = textures.plaster(13, ("#b5803a", "#d1a35c", "#e3c48a", "#a5683a", "#c9924a"), 0.6)
    floor = textures.planks(14, 0.13, 1.3, ("#3b2414", "#6b4223", "#94622f", "#c39055"))
    center = _ROOM / 2 - _CORNER
    left = placed(-_CORNER, -center, _WALL / 2) @ _turned((0, 1, 0), (0, 0, 1))
    back = placed(center, _CORNER, _WALL / 2) @ _turned((1, 0, 0), (0, 0, 1))
    return [
        Item("floor", shapes.panel(_ROOM, _ROOM), floor, placed(center, -center, 0)),
        Item("left wall", shapes.panel(_ROOM, _WALL), textures.peeling(15, teal, brick, 0.55, 0.42), left),
        Item("back wall", shapes.panel(_ROOM, _WALL), textures.peeling(16, ochre, brick, 0.6, 0.3), back),
        *_pictures(),
    ]


def _pictures() -> list[Item]:
    warm = textures.painting(21, 0.5, ("#1d2b53", "#c0392b", "#f2c14e", "#f6efe0", "#2a9d8f", "#10151f"))
    cool = textures.painting(22, 0.4, ("#f4f1de", "#3d405b", "#81b29a", "#e07a5f", "#f2cc8f", "#202437"))
    frame = textures.planks(23, 0.03, 0.5, ("#1d130b", "#3a2717", "#5b3d22"))
    on_back = placed(0.18, _CORNER, 1.28) @ _turned((1, 0, 0), (0, 0, 1))
    on_left = placed(-_CORNER, 0.1, 1.22) @ _turned((0, 1, 0), (0, 0, 1))
    return [
        Item("frame of the large picture", shapes.box(0.86, 0.64, 0.03), frame, on_back),
        Item("large picture", shapes.box(0.78, 0.56, 0.035), warm, on_back),
        Item("frame of the small picture", shapes.box(0.52, 0.68, 0.03), frame, on_left),
        Item("small picture", shapes.box(0.45, 0.61, 0.035), cool, on_left),
    ]


def _turned(x_axis: tuple[int, int, int], y_axis: tuple[int, int, int]) -> NDArray[np.float64]:
    """Rotation (4, 4) that lays the x and y axes of an item along these directions of the world."""
    pose = np.eye(4)
    pose[:3, :3] = np.stack([x_axis, y_axis, np.cross(x_axis, y_axis)], axis=1)
    return pose


def _plinth_and_knot() -> list[Item]:
    stone = textures.marble(31, 0.35)
    granite = textures.mosaic(32, 0.045, ("#3c4048", "#6d6a68", "#a39a8e", "#7b5b52", "#25282e"), "#8a857c")
    bronze = textures.marble(33, 0.16, ("#14352f", "#2c7a68", "#b9853f", "#e2b866", "#7a4a1e"))
    knot = placed(-0.62, 0.62, 0.905, turn_deg=-45) @ placed(0, 0, 0, tilt_deg=78)
    return [
        Item("plinth", shapes.box(0.42, 0.42, 0.56), stone, placed(-0.62, 0.62, 0, turn_deg=12)),
        Item("slab", shapes.box(0.5, 0.5, 0.06), granite, placed(-0.62, 0.62, 0.56, turn_deg=12)),
        Item("knot", shapes.trefoil(0.25, 0.055), bronze, knot),
    ]


def _pottery() -> list[Item]:
    clay = textures.banded_clay(41, 0.62, ("#8a3f22", "#b4582f", "#cf7c4a", "#dd9a68"), "#231815")
    profile = np.array(
        [[0.0, 0.0], [0.1, 0.0], [0.12, 0.03], [0.2, 0.22], [0.19, 0.36], [0.09, 0.5], [0.075, 0.55], [0.115, 0.62]]
    )
    inside = np.array([[0.1, 0.61], [0.06, 0.54], [0.0, 0.4]])
    vase = shapes.lathe(np.concatenate([profile, inside]), steps=160)
    tiles = textures.mosaic(42, 0.05, ("#e9c46a", "#f4a261", "#e76f51", "#264653", "#2a9d8f", "#f1faee"))
    return [
        Item("vase", vase, clay, placed(0.3, 0.78, 0.0)),
        Item("ball", shapes.sphere(0.2), tiles, placed(-0.78, -0.28, 0.2, turn_deg=30)),
    ]


def _books_and_crate() -> list[Item]:
    board = textures.folded(textures.planks(51, 0.085, 0.9, ("#6e5333", "#9b7a4b", "#c8a873", "#e0c894")), 0.02)
    books = [
        ("#7a1f2b", "#e8d9a8", 0.30, 0.21, 0.045, 8),
        ("#1f3a5f", "#e9e4d4", 0.27, 0.20, 0.06, -14),
        ("#2f5d3a", "#f0c75e", 0.25, 0.18, 0.035, 20),
        ("#d9cbb0", "#5a2d1c", 0.22, 0.16, 0.05, -4),
    ]
    items = [Item("crate", shapes.box(0.46, 0.34, 0.32), board, placed(0.02, 0.08, 0, turn_deg=28))]
    height = 0.32
    for number, (base, ink, width, depth, thickness, turn) in enumerate(books):
        texture = textures.cover(52 + number, base, ink, width)
        pose = placed(-0.03, 0.1, height, turn_deg=28 + turn)
        items.append(Item(f"book {number + 1}", shapes.box(width, depth, thickness), texture, pose))
        height += thickness
    return items


def _floor_things() -> list[Item]:
    weave = textures.rug(61, 0.12, ("#6b1d1d", "#a83a32", "#e0b15a", "#22304f", "#e9dcc0", "#3d5a4a"))
    glaze = textures.marble(62, 0.12, ("#0f2a4a", "#2364aa", "#73bfb8", "#fdfaf0", "#2a5d9a"))
    label = textures.banded_clay(63, 0.34, ("#e8e0cb", "#f2ead8", "#d8c9a5"), "#a32638")
    return [
        Item("rug", shapes.box(1.5, 1.1, 0.012), weave, placed(0.1, -0.1, 0, turn_deg=-38)),
        Item("ring", shapes.torus(0.17, 0.055), glaze, placed(0.52, -0.02, 0.067, turn_deg=15)),
        Item("drum", shapes.cylinder(0.13, 0.34), label, placed(-0.28, -0.5, 0.012)),
    ]


def write_sample(out: Path, quality: Quality | None = None, photos: int | None = None) -> None:
    """Write images/ and truth/ into folder ``out``; the same folder each time.

    ``quality`` sets the rays per pixel; ``photos`` writes only the first so many (for a quick look).
    """
    arrangement = sample_arrangement()
    renderer = RayRenderer(arrangement, quality or Quality(samples_per_axis=4, sky_rays=6))
    poses = dict(zip(photo_names(), sample_poses(), strict=True))
    rendered = dict(list(poses.items())[:photos])
    for seed, (name, pose) in enumerate(track(rendered.items(), "rendering the sample", len(rendered))):
        view = renderer.render(CAMERA, pose, seed)
        write_photo(out / "images" / name, view.rgb)
    camera = SourceCamera.of_pinhole(CAMERA)
    write_transforms(out / "truth" / "transforms.json", dict.fromkeys(rendered, camera), rendered, "../images")
    surface = arrangement.mesh
    write_ply(out / "truth" / "mesh.ply", Mesh(surface.vertices, surface.triangles))


def photo_names() -> list[str]:
    """File names of the photos, in the order of ``sample_poses``."""
    return [f"studio_{number:02d}.jpg" for number in range(1, len(sample_poses()) + 1)]


def write_photo(path: Path, rgb: NDArray[np.uint8]) -> None:
    """Write an image (H, W, 3) as JPEG with its focal length in EXIF."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "lotus_recon"
    exif[ExifTags.Base.Model] = "synthetic"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = FOCAL_35MM
    write_jpeg(path, rgb, _JPEG_QUALITY, exif=exif)
