"""A texture for a surface, from photos: what ``stage`` writes and measures."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.io.textured_meshes import TexturedMesh
from lotus_recon.texturing.blending import Bands, Blender
from lotus_recon.texturing.charts import AtlasLimits, Charts, make_charts
from lotus_recon.texturing.diffusion import diffused
from lotus_recon.texturing.exposure import exposure_gains
from lotus_recon.texturing.painting import Painter
from lotus_recon.texturing.photos import TexturePhotos
from lotus_recon.texturing.selection import agreement_of, select_views
from lotus_recon.texturing.sightings import Sighting, sighting_of
from lotus_recon.texturing.surface import Surface
from lotus_recon.texturing.table import SightingTable
from lotus_recon.types import View

log = logging.getLogger(__name__)

_ONE_COLOR = 0.5  # grey levels per pixel, mean over a triangle, that noise of a photo without a motif does not reach
_DARKENED = 0.9  # gain from which a clipped highlight is told from a bright surface


@dataclass(frozen=True, eq=False)
class Texture:
    """The charts of a surface, the pages of the atlas, and what led to them."""

    charts: Charts
    pages: list[NDArray[np.uint8]]
    labels: NDArray[np.int32]  # (F,) index of the view that colours each triangle, -1 for none
    photos_seeing: NDArray[np.int64]  # (F,)
    gains: NDArray[np.float64]  # (views, 3) on linear light
    rejected: NDArray[np.float64]  # (views,) share of the triangles that a photo sees and shows otherwise than others

    def textured_mesh(self, surface: Surface) -> TexturedMesh:
        """What is written to files."""
        mesh, charts = surface.mesh, self.charts
        assert mesh.normals is not None  # by preparing
        uv = np.asarray(charts.uv / np.array(charts.size), np.float32)
        return TexturedMesh(
            mesh.vertices[charts.vertex], mesh.normals[charts.vertex], uv, charts.triangles, charts.page,
            tuple(self.pages),
        )  # fmt: skip


def make_texture(
    surface: Surface, views: Sequence[View], photos: TexturePhotos, limits: AtlasLimits, bands: Bands | None = None
) -> Texture:
    """Colour a surface from the photos of ``views``; two passes over them, one photo in memory at a time.

    Raises InputError when no photo sees any of it.
    """
    loaded = photos.stream(views, "looking at photos")
    sightings = [sighting_of(photo.view, photo.rgb, photo.usable, surface) for photo in loaded]
    raw = SightingTable.of(sightings, len(surface.mesh.triangles))
    if len(raw.face) == 0:
        raise InputError(
            f"none of the {len(views)} photos sees a triangle of the mesh: all are behind the cameras, outside of "
            "the pictures, or face away; is it in the frame of the poses?"
        )
    _warn(views, sightings)
    gains = exposure_gains(raw, len(views))
    clipped = raw.is_clipped() & (gains[raw.view].min(1) < _DARKENED)
    table = raw.exposed(gains)
    agreement = agreement_of(table, clipped, surface, len(views))
    chosen = select_views(table, agreement, surface)
    blender = Blender(table, agreement, chosen, surface, bands or Bands())
    whole = np.where(chosen >= 0, table.whole[chosen], True)
    charts = make_charts(blender.labels, whole, views, surface, limits)
    painter = Painter(charts, surface)
    for index, photo in enumerate(photos.stream(views, "painting the texture")):
        painter.add(photo.view, photo.rgb, gains[index], blender.contribution(index))
    unseen = np.flatnonzero(chosen < 0)
    pages = painter.pages(unseen, diffused(agreement.color, chosen >= 0, surface))
    seen_by = np.bincount(table.view, minlength=len(views))
    rejected = np.bincount(table.view, agreement.disagrees, minlength=len(views)) / np.maximum(seen_by, 1)
    return Texture(charts, pages, blender.labels, table.count, gains, rejected)


def _warn(views: Sequence[View], sightings: Sequence[Sighting]) -> None:
    """Say what photos cannot tell: one by itself, and those that show a single colour."""
    if len(views) == 1:
        log.warning("one photo colours the mesh: nothing tells whether it shows what does not belong there")
    flat = [
        view.name
        for view, sighting in zip(views, sightings, strict=True)
        if len(sighting.faces) and sighting.detail.max() < _ONE_COLOR
    ]
    if flat:
        log.warning("%d of %d photos show the mesh in a single colour: %s", len(flat), len(views), ", ".join(flat[:5]))
