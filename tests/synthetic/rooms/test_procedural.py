"""Furniture of simple shapes."""

from __future__ import annotations

import numpy as np

from lotus_recon.synthetic.rooms.catalog import GROUPS, TEXTURE_CATEGORIES
from lotus_recon.synthetic.rooms.procedural import ProceduralCatalog
from tests.synthetic.rooms.plain_rooms import CATALOG, PlainCatalog

NOT_COMPUTED = {"bathroom_wall", "door", "window", "other"}


def test_there_is_furniture_for_every_group() -> None:
    assert {item.category for item in CATALOG.furniture} == set(GROUPS) - NOT_COMPUTED
    assert len({item.id for item in CATALOG.furniture}) == len(CATALOG.furniture)


def test_models_have_their_size_and_stand_centred_on_the_floor() -> None:
    for item in CATALOG.furniture[::13]:
        parts = CATALOG.model(item)
        points = np.concatenate([part.mesh.vertices for part in parts])
        w, d, h = item.size_m
        np.testing.assert_allclose(points.min(0), [-w / 2, -d / 2, 0], atol=1e-5)
        np.testing.assert_allclose(points.max(0), [w / 2, d / 2, h], atol=1e-5)
        for part in parts:
            np.testing.assert_allclose(np.linalg.norm(part.mesh.normals, axis=1), 1, atol=1e-4)  # type: ignore[arg-type]
            assert (part.material.texture is None) == (part.uv is None)


def test_the_same_catalog_gives_the_same_models() -> None:
    again = PlainCatalog()
    assert CATALOG.furniture == again.furniture
    for a, b in zip(CATALOG.model(CATALOG.furniture[20]), again.model(again.furniture[20]), strict=True):
        np.testing.assert_array_equal(a.mesh.vertices, b.mesh.vertices)
        assert a.material.color == b.material.color


def test_seats_and_shelves_face_the_front() -> None:
    for item in CATALOG.furniture[::2]:
        if item.category in ("sofa", "armchair", "chair"):
            points = np.concatenate([part.mesh.vertices for part in CATALOG.model(item)])
            assert points[points[:, 2] > 0.9 * item.size_m[2], 1].mean() > 0  # the back is at the back


def test_textures_are_listed() -> None:
    catalog = ProceduralCatalog()
    assert {texture.category for texture in catalog.textures} == set(TEXTURE_CATEGORIES)
    texture = next(texture for texture in catalog.textures if texture.id == "wallpaper-1")
    bitmap = catalog.bitmap(texture)
    assert bitmap.dtype == np.uint8
    assert catalog.bitmap(texture) is bitmap
