"""The texture stage: the mesh and the photos in; textured files out, and how good they are."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lotus_recon.errors import InputError
from lotus_recon.io.meshes import read_mesh
from lotus_recon.io.textured_meshes import write_textured_glb, write_textured_obj, write_usdz
from lotus_recon.meshing.stage import gltf_from_views
from lotus_recon.texturing import measuring
from lotus_recon.texturing.charts import PADDING, AtlasLimits
from lotus_recon.texturing.config import TextureConfig
from lotus_recon.texturing.photos import Loaded, TexturePhotos, held_out
from lotus_recon.texturing.preparing import prepared, with_closed_holes
from lotus_recon.texturing.surface import Surface
from lotus_recon.texturing.texture import Texture, make_texture
from lotus_recon.types import Mesh, View
from lotus_recon.workspace import write_json

log = logging.getLogger(__name__)

GLB_FILE, OBJ_FILE, USDZ_FILE, FIGURES_FILE = "mesh.glb", "mesh.obj", "mesh.usdz", "texture.json"
LARGEST_PAGE = 8192  # texels on a side: what every graphics card of today takes
_BYTES_PER_TEXEL = 3
_COARSE = 0.9  # of the resolution of the photos, below which a warning says so


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the stage reads. ``depth_dir`` holds the maps that were fused.

    The surface may be off by ``tolerance``, in units of the scene.
    """

    mesh: Path
    photos: TexturePhotos
    depth_dir: Path
    tolerance: float
    outliers: frozenset[str] = frozenset()  # names of photos that show something else than the others, or elsewhere


@dataclass(frozen=True)
class TextureResult:
    """The files and their figures (see texture.json)."""

    folder: Path
    figures: dict[str, Any]

    @property
    def glb_path(self) -> Path:
        """The textured mesh as binary glTF."""
        return self.folder / GLB_FILE

    @classmethod
    def load(cls, out_dir: Path) -> TextureResult:
        """The result in a folder. Raises InputError when it is not there."""
        path = out_dir / FIGURES_FILE
        try:
            return cls(out_dir, json.loads(path.read_text()))
        except (OSError, json.JSONDecodeError) as error:
            raise InputError(f"{path} is not a readable result of the texture stage: {error}") from None


def run(inputs: Inputs, config: TextureConfig, out_dir: Path) -> TextureResult:
    """Write mesh.glb, mesh.obj (with mesh.mtl and PNG), mesh.usdz if asked for (all with y up) and texture.json.

    Raises InputError for files that cannot be read, and when no photo sees the mesh.
    """
    clock = _Clock()
    used, kept_out = _split(inputs, config)
    surface, closed = _surface(inputs, config)
    clock.lap("preparing")
    texture = make_texture(surface, used, inputs.photos, _limits(config))
    clock.lap("texturing")
    _write(texture, surface, inputs, config, out_dir)
    clock.lap("writing")
    figures = {
        "triangles": len(surface.mesh.triangles),
        "edges_of_three_or_more_triangles": surface.edges_of_many,
        "holes_closed": closed,
        **_figures(texture, surface, used),
        "holdout": _comparison(texture, surface, (inputs.photos.read(view) for view in kept_out)),
        "outlier_photos": sorted(inputs.outliers),
    }
    clock.lap("measuring")
    write_json(out_dir / FIGURES_FILE, figures | {"seconds": clock.seconds})
    return TextureResult.load(out_dir)


class _Clock:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, what: str) -> None:
        now = time.monotonic()
        self.seconds[what], self._last = now - self._last, now


def _split(inputs: Inputs, config: TextureConfig) -> tuple[list[View], list[View]]:
    """The views that colour, and those held out."""
    views = inputs.photos.views(without=inputs.outliers)
    if not views:
        raise InputError(f"all {len(inputs.outliers)} photos were marked as outliers: none is left to colour the mesh")
    names = held_out(views, config.holdout_photos)
    return [view for view in views if view.name not in names], [view for view in views if view.name in names]


def _surface(inputs: Inputs, config: TextureConfig) -> tuple[Surface, int]:
    """The mesh that is textured, and how many of its holes were closed."""
    mesh, closed = read_mesh(inputs.mesh), 0
    if config.advanced.max_hole > 0:
        size = config.advanced.max_hole * float(np.linalg.norm(np.ptp(mesh.vertices, axis=0)))
        views = inputs.photos.scene.views
        mesh, closed = with_closed_holes(mesh, size, views, inputs.depth_dir, 2 * inputs.tolerance)
    return Surface(prepared(mesh, config.texture_faces), inputs.tolerance), closed


def _limits(config: TextureConfig) -> AtlasLimits:
    return AtlasLimits(config.texture_size, LARGEST_PAGE, config.texture_budget * 10**6 // _BYTES_PER_TEXEL)


def _write(texture: Texture, surface: Surface, inputs: Inputs, config: TextureConfig, out_dir: Path) -> None:
    mesh = texture.textured_mesh(surface).turned(gltf_from_views(inputs.photos.scene.views))
    write_textured_glb(out_dir / GLB_FILE, mesh, config.texture_format, config.unlit)
    write_textured_obj(out_dir / OBJ_FILE, mesh)
    if config.usdz:
        write_usdz(out_dir / USDZ_FILE, mesh, config.texture_format)
    if texture.charts.scale < _COARSE:
        log.warning(
            "the texture has %.2f of the resolution of the photos (%s pixels): a larger --texture-size or "
            "--texture-budget would show more",
            texture.charts.scale,
            " x ".join(map(str, texture.charts.size)),
        )


def _figures(texture: Texture, surface: Surface, views: Collection[View]) -> dict[str, Any]:
    charts, labels = texture.charts, texture.labels
    seen = texture.photos_seeing > 0
    area = np.linalg.norm(np.cross(*_edges(surface.mesh)), axis=1)
    seams = measuring.seams(charts, texture.pages, labels >= 0, surface)
    names = [view.name for view in views]
    return {
        "photos": len(names),
        "seen_ratio": float(area[seen].sum() / area.sum()),
        "textured_ratio": float(area[seen & (labels >= 0)].sum() / max(area[seen].sum(), 1e-30)),
        "seen_without_texture": int((seen & (labels < 0)).sum()),
        "charts": int(charts.chart.max()) + 1,
        "pages": charts.pages,
        "page_size": list(charts.size),
        "padding": PADDING,
        "texels_per_pixel": charts.scale,
        "seam_ratio": seams.ratio,
        "seam_jump": seams.across,
        "exposure": [
            {"name": name, "gain": gain.round(4).tolist(), "rejected": round(float(share), 4)}
            for name, gain, share in zip(names, texture.gains, texture.rejected, strict=True)
        ],
    }


def _edges(mesh: Mesh) -> tuple[Any, Any]:
    corners = mesh.vertices[mesh.triangles].astype(np.float64)
    return corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]


def _comparison(texture: Texture, surface: Surface, photos: Iterable[Loaded]) -> dict[str, Any]:
    """The textured mesh and the vertex colours of the same triangles beside photos that took no part."""
    shades = {"texture": measuring.texture_shade(texture.charts, texture.pages)}
    if surface.mesh.colors is not None:
        shades["vertex_colors"] = measuring.vertex_shade(surface.mesh.colors.astype(np.float32), surface)
    rows = [measuring.compared(photo, texture.labels >= 0, list(shades.values()), surface) for photo in photos]
    shown = [row for row in rows if row]
    scores = {name: measuring.means(row[i] for row in shown) for i, name in enumerate(shades)}
    return {"photos": len(rows), **scores} if rows else {}
