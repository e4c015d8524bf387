"""Acceptance of textures: beside photos that took no part, beside vertex colours and a plain way to texture."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lotus_recon.fusion.stage import FusionResult
from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.io.cameras import read_colmap_scene, read_source_cameras
from lotus_recon.io.images import list_photos, read_rgb
from lotus_recon.io.meshes import read_mesh
from lotus_recon.texturing.blending import Contribution
from lotus_recon.texturing.charts import AtlasLimits, make_charts
from lotus_recon.texturing.measuring import Comparison, Shade, compared, means, seams, texture_shade, vertex_shade
from lotus_recon.texturing.painting import Painter, exposed
from lotus_recon.texturing.photos import TexturePhotos
from lotus_recon.texturing.preparing import prepared
from lotus_recon.texturing.sightings import sighting_of
from lotus_recon.texturing.surface import Surface
from lotus_recon.texturing.table import SightingTable
from lotus_recon.texturing.texture import Texture, make_texture
from lotus_recon.types import IntArray, View
from tests.acceptance.command import ROOT, multi_view
from tests.acceptance.rows import Row

FACES = 200_000
EVERY = 6  # photos of which one takes no part
LIMITS = AtlasLimits(None, 8192, 8192**2)
_SMOOTHING_ROUNDS = 3
_SAME_DEPTH = 0.01  # relative
_PASSER_BY = (0.0, -0.1, 0.0), 0.9, 0.35  # foot, height and width, in metres of the sample


@dataclass(frozen=True, eq=False)
class Case:
    """A surface, photos that colour it and photos that are compared with it."""

    name: str
    surface: Surface
    photos: TexturePhotos
    views: Sequence[View]
    held: Sequence[View]

    def with_photos(self, folder: Path) -> Case:
        """The same with other photos of the same names."""
        return replace(self, photos=replace(self.photos, photos=list_photos(folder)))

    def texture(self) -> Texture:
        """Ours."""
        return make_texture(self.surface, self.views, self.photos, LIMITS)

    def scores(self, texture: Texture, truth: Surface | None = None) -> dict[str, float]:
        """PSNR and SSIM beside the held-out photos; with ``truth`` only where the surface is where it is in truth."""
        return self._scores(texture, texture_shade(texture.charts, texture.pages), truth)

    def vertex_scores(self, texture: Texture) -> dict[str, float]:
        """The same of the vertex colours, over the same pixels."""
        colors = self.surface.mesh.colors
        assert colors is not None
        return self._scores(texture, vertex_shade(colors.astype(np.float32), self.surface))

    def _scores(self, texture: Texture, shade: Shade, truth: Surface | None = None) -> dict[str, float]:
        rows: list[Comparison] = []
        for view in self.held:
            photo = self.photos.read(view)
            if truth is not None:
                photo = replace(photo, usable=_same_depth(view, self.surface, truth))
            rows += compared(photo, texture.labels >= 0, [shade], self.surface)
        return means(rows)


def _same_depth(view: View, surface: Surface, truth: Surface) -> NDArray[np.bool_]:
    """(H, W) pixels at which two surfaces are at the same depth, within 1 %."""
    rays = rays_in_cam(view.camera).reshape(-1, 3) @ view.cam_from_world[:3, :3]
    one, other = (shape.cast(view.center_in_world, rays)["t_hit"] for shape in (surface, truth))
    with np.errstate(invalid="ignore"):
        same = np.abs(one / other - 1) < _SAME_DEPTH
    return np.asarray(same.reshape(view.camera.height, view.camera.width), bool)


def case_of(name: str, run: Path, photos: Path) -> Case:
    """The case of a finished run of ``multi_view`` on ``photos``."""
    scene = read_colmap_scene(run / "sfm/sparse")
    sources = read_source_cameras(run / "sfm/distorted.json")
    texture_photos = TexturePhotos(scene, list_photos(photos), sources)
    mesh = prepared(read_mesh(run / "mesh/mesh.ply"), FACES)
    tolerance = float(FusionResult.load(run / "fusion/tsdf").figures["voxel_size"])
    views = texture_photos.views()
    held = views[EVERY // 2 :: EVERY]
    return Case(name, Surface(mesh, tolerance), texture_photos, [v for v in views if v not in held], held)


def plain_texture(case: Case) -> Texture:
    """From the same parts: the photo in which a triangle is largest, smoothed by majority; nothing is blended."""
    loaded = [case.photos.read(view) for view in case.views]
    sightings = [sighting_of(photo.view, photo.rgb, photo.usable, case.surface) for photo in loaded]
    table = SightingTable.of(sightings, len(case.surface.mesh.triangles))
    labels = _largest(table, case.surface)
    charts = make_charts(labels, np.ones(len(labels), bool), case.views, case.surface, LIMITS)
    painter = Painter(charts, case.surface)
    for number, photo in enumerate(loaded):
        faces = np.flatnonzero(labels == number)
        once, none = np.ones((len(faces), 3), np.float32), np.zeros((len(faces), 3, 3), np.float32)
        painter.add(photo.view, photo.rgb, np.ones(3), Contribution(faces, once, none))
    unseen = np.flatnonzero(labels < 0)
    gray = np.full((len(case.surface.mesh.vertices), 3), 128, np.float32)
    pages = painter.pages(unseen, gray, level=False)
    n_views = len(case.views)
    return Texture(charts, pages, labels, table.count, np.ones((n_views, 3)), np.zeros(n_views))


def _largest(table: SightingTable, surface: Surface) -> NDArray[np.int32]:
    order = np.lexsort((table.area_px * np.where(table.whole, 1, 1e-3), table.face))
    labels = np.full(len(table.start) - 1, -1, np.int32)
    labels[table.face[order]] = table.view[order]
    sees = np.zeros((len(labels), int(table.view.max()) + 1), bool)
    sees[table.face, table.view] = True
    for _ in range(_SMOOTHING_ROUNDS):
        around: IntArray = np.where(surface.neighbors >= 0, labels[surface.neighbors], -1)
        for one, other in ((0, 1), (0, 2), (1, 2)):
            most = around[:, one]
            agreed = (most == around[:, other]) & (most >= 0)
            agreed &= sees[np.arange(len(labels)), np.maximum(most, 0)]
            labels = np.where(agreed, most, labels).astype(np.int32)
    return labels


def quality_rows(case: Case, truth: Path | None = None) -> list[Row]:
    """The table of the README: ours beside vertex colours and the plain way; ``truth`` is the true mesh, if known."""
    started = time.monotonic()
    texture = case.texture()
    seconds = time.monotonic() - started
    ours, vertex = case.scores(texture), case.vertex_scores(texture)
    plain = plain_texture(case)
    base = case.scores(plain)
    ratios = [seams(t.charts, t.pages, t.labels >= 0, case.surface).ratio for t in (texture, plain)]
    without = int(((texture.photos_seeing > 0) & (texture.labels < 0)).sum())
    above_vertex, above_plain = ours["psnr_db"] - vertex["psnr_db"], ours["psnr_db"] - base["psnr_db"]
    held = f"{len(case.held)} photos left out: "
    rows = [
        Row(case.name, f"{held}PSNR; SSIM", f"{ours['psnr_db']:.2f} dB; {ours['ssim']:.3f}", "", None, seconds),
        Row(case.name, "PSNR above vertex colours", f"{above_vertex:+.2f} dB", ">= 1.5 dB", above_vertex >= 1.5),
        Row(case.name, "PSNR above largest area and majority", f"{above_plain:+.2f} dB", ">= 1 dB", above_plain >= 1),
        Row(case.name, "seam ratio (plain way)", f"{ratios[0]:.3f} ({ratios[1]:.3f})", "<= 1.1", ratios[0] <= 1.1),
        Row(case.name, "seen triangles without a photo", str(without), "0", without == 0),
    ]
    return rows + (_true_surface_rows(case, texture, plain, truth) if truth is not None else [])


def _true_surface_rows(case: Case, texture: Texture, plain: Texture, truth: Path) -> list[Row]:
    """What no texture can change left out: where the mesh shows something else than there is."""
    surface = Surface(read_mesh(truth), case.surface.tolerance)
    ours, base = (case.scores(each, surface)["psnr_db"] for each in (texture, plain))
    figure = "where the mesh is within 1 % of the truth: PSNR; above largest area and majority"
    return [Row(case.name, figure, f"{ours:.2f} dB; {ours - base:+.2f} dB", "", None)]


def exposure_rows(case: Case, work: Path) -> list[Row]:
    """Steps of +1 and -1 EV in every other photo."""
    for number, photo in enumerate(case.photos.photos):
        gain = 1.0 if number % 2 == 0 else 2.0 if number % 4 == 1 else 0.5
        _write(work / photo.name, exposed(read_rgb(photo.path), np.full(3, gain)))
    stepped = case.with_photos(work)
    found = [(one, one.texture()) for one in (case, stepped)]
    jumps = [seams(t.charts, t.pages, t.labels >= 0, one.surface).across for one, t in found]
    bary, face = np.full((FACES, 3), 1 / 3), np.arange(len(case.surface.mesh.triangles))
    colors = [texture_shade(t.charts, t.pages)(bary[: len(face)], face)[t.labels >= 0].mean(0) for _, t in found]
    more, shift = jumps[1] - jumps[0], float(np.abs(colors[1] - colors[0]).max())
    return [
        Row(case.name, "exposure steps: seams, more grey levels", f"{more:+.2f}", "<= 2", more <= 2),
        Row(case.name, "exposure steps: mean colour, largest change", f"{shift:.2f}", "<= 2", shift <= 2),
    ]


def _write(path: Path, rgb: NDArray[np.floating]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb.round().clip(0, 255).astype(np.uint8)).save(path, quality=95, subsampling=0)


def passer_by_rows(case: Case, work: Path) -> list[Row]:
    """A magenta figure at one place of the scene in 3 photos; photos are flat there, as on a board that was put up."""
    covered = {case.views[i].name for i in (2, 5, 8)}
    for photo in case.photos.photos:
        rgb = read_rgb(photo.path).astype(np.float64)
        if photo.name in covered:
            view = next(v for v in case.views if v.name == photo.name)
            rgb[_figure(view)] = (255, 0, 255)
        _write(work / photo.name, rgb)
    crossed = case.with_photos(work)
    texture = crossed.texture()
    left = float(np.mean([_magenta(texture, view, case.surface) for view in case.held]))
    return [Row(case.name, "passer-by in 3 photos: share of magenta pixels", f"{left:.5f}", "0", left < 1e-4)]


def _figure(view: View) -> NDArray[np.bool_]:
    """(H, W) the pixels of an upright ellipse that stands at one place."""
    foot, height, width = _PASSER_BY
    center = view.cam_from_world[:3, :3] @ np.add(foot, (0, 0, height / 2)) + view.cam_from_world[:3, 3]
    camera = view.camera
    x, y = camera.fx * center[0] / center[2] + camera.cx, camera.fy * center[1] / center[2] + camera.cy
    rows, cols = np.mgrid[: camera.height, : camera.width] + 0.5
    radius_x, radius_y = camera.fx * width / 2 / center[2], camera.fy * height / 2 / center[2]
    return np.asarray(((cols - x) / radius_x) ** 2 + ((rows - y) / radius_y) ** 2 < 1)


def _magenta(texture: Texture, view: View, surface: Surface) -> float:
    from lotus_recon.texturing.rendering import hits

    _, bary, face = hits(view, surface)
    color = texture_shade(texture.charts, texture.pages)(bary, face)
    return float(((color[:, 0] > 200) & (color[:, 1] < 60) & (color[:, 2] > 200)).mean())


def texture_rows(shared: Path, work: Path) -> list[Row]:
    """The sample scene and the fountain, their meshes from nano."""
    sample, fountain = work / "sample", work / "fountain"
    multi_view(
        ROOT / "data/sample/images", sample, "--no-texture", "--poses", str(ROOT / "data/sample/truth/transforms.json")
    )
    multi_view(shared / "data/fountain_p11/images", fountain, "--no-texture")
    studio = case_of("sample, textured", sample, ROOT / "data/sample/images")
    rows = quality_rows(studio, ROOT / "data/sample/truth/mesh.ply")
    rows += exposure_rows(studio, work / "exposed") + passer_by_rows(studio, work / "crossed")
    rows += quality_rows(case_of("fountain, textured", fountain, shared / "data/fountain_p11/images"))
    shutil.rmtree(work / "exposed")
    return rows
