"""Furniture of simple shapes."""

from __future__ import annotations

import numpy as np
import pytest

from lotus_recon.synthetic.rooms.catalog import GROUPS, TEXTURE_CATEGORIES
from lotus_recon.synthetic.rooms.procedural import ProceduralCatalog

NOT_COMPUTED = {"bathroom_wall", "door", "window", "other"}


@pytest.fixture(scope="module")
def catalog() -> ProceduralCatalog:
    return ProceduralCatalog()


def test_there_is_furniture_for_every_group(catalog: ProceduralCatalog) -> None:
    assert {item.category for item in catalog.furniture} == set(GROUPS) - NOT_COMPUTED
    assert len({item.id for item in catalog.furniture}) == len(catalog.furniture)


def test_models_have_their_size_and_stand_centred_on_the_floor(catalog: ProceduralCatalog) -> None:
    for item in catalog.furniture[::13]:
        parts = catalog.model(item)
        points = np.concatenate([part.mesh.vertices for part in parts])
        w, d, h = item.size_m
        np.testing.assert_allclose(points.min(0), [-w / 2, -d / 2, 0], atol=1e-5)
        np.testing.assert_allclose(points.max(0), [w / 2, d / 2, h], atol=1e-5)
        for part in parts:
            np.testing.assert_allclose(np.linalg.norm(part.mesh.normals, axis=1), 1, atol=1e-4)  # type: ignore[arg-type]
            assert (part.material.texture is None) == (part.uv is None)


def test_the_same_catalog_gives_the_same_models(catalog: ProceduralCatalog) -> None:
    again = ProceduralCatalog()
    assert catalog.furniture == again.furniture
    for a, b in zip(catalog.model(catalog.furniture[20]), again.model(again.furniture[20]), strict=True):
        np.testing.assert_array_equal(a.mesh.vertices, b.mesh.vertices)
        assert a.material.color == b.material.color


def test_seats_and_shelves_face_the_front(catalog: ProceduralCatalog) -> None:
    for item in catalog.furniture[::2]:
        if item.category in ("sofa", "armchair", "chair"):
            points = np.concatenate([part.mesh.vertices for part in catalog.model(item)])
            assert points[points[:, 2] > 0.9 * item.size_m[2], 1].mean() > 0  # the back is at the back


def test_textures_are_listed(catalog: ProceduralCatalog) -> None:
    assert {texture.category for texture in catalog.textures} == set(TEXTURE_CATEGORIES)
    texture = next(texture for texture in catalog.textures if texture.id == "wallpaper-1")
    bitmap = catalog.bitmap(texture)
    assert bitmap.dtype == np.uint8
    assert catalog.bitmap(texture) is bitmap
