"""Furniture and textures of Sweet Home 3D, in tiny archives and in the installed ones, where there are some."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lotus_recon.errors import InputError
from lotus_recon.synthetic.rooms import assets, sweethome3d
from lotus_recon.synthetic.rooms.assets import GROUPS, load_catalog
from lotus_recon.synthetic.rooms.catalog import TEXTURE_CATEGORIES, model_bytes
from lotus_recon.synthetic.rooms.sweethome3d import SweetHome3D
from tests.synthetic.rooms.sweethome3d_archives import CUBE, MTL, PROPERTIES, by_id, write_archives

INSTALLED = assets.installed_archives()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with archives."""
    write_archives(tmp_path)
    return tmp_path


def test_a_catalog_lists_names_sizes_groups_and_credits(folder: Path) -> None:
    catalog = load_catalog(folder)
    assert catalog.name == "sweethome3d"
    table = by_id(catalog, "Test#cube")
    assert (table.name, table.category, table.size_m, table.elevation_m) == ("Café table", "table", (0.6, 0.4, 0.8), 0)
    assert (table.credit.creator, table.credit.licence) == ("Somebody", "CC-BY 3.0")
    assert by_id(catalog, "Test#window").elevation_m == 0.9
    assert "Test#tulips" not in {item.id for item in catalog.furniture}  # too heavy: left out by name


def test_a_model_has_its_size_stands_on_the_floor_and_faces_the_front(folder: Path) -> None:
    catalog = load_catalog(folder)
    parts = {part.material.name: part for part in catalog.model(by_id(catalog, "Test#cube"))}
    points = np.concatenate([part.mesh.vertices for part in parts.values()])
    np.testing.assert_allclose(points.min(0), [-0.3, -0.2, 0], atol=1e-6)
    np.testing.assert_allclose(points.max(0), [0.3, 0.2, 0.8], atol=1e-6)
    front = parts["front"]
    np.testing.assert_allclose(front.mesh.vertices[:, 1], -0.2, atol=1e-6)
    assert front.mesh.normals is not None
    np.testing.assert_allclose(front.mesh.normals, np.tile([0, -1, 0], (len(front.mesh.normals), 1)), atol=1e-6)
    np.testing.assert_allclose(front.material.color, [0.9, 0.01, 0.01], atol=1e-6)
    assert front.material.gloss == pytest.approx(0.25)


def test_a_texture_is_found_by_its_file_name_and_keeps_its_coordinates(folder: Path) -> None:
    catalog = load_catalog(folder)
    rest = next(part for part in catalog.model(by_id(catalog, "Test#cube")) if part.material.name == "rest")
    assert rest.material.texture is not None
    assert rest.uv is not None
    np.testing.assert_array_equal(rest.material.texture[0, 0], [200, 100, 50])
    assert len(rest.mesh.vertices) == 5 * 4  # corners of a cube stay apart, those within a face are shared
    left_top = np.isclose(rest.mesh.vertices, [-0.3, -0.2, 0.8], atol=1e-6).all(1) & (rest.mesh.normals[:, 2] > 0.9)  # type: ignore[index]
    np.testing.assert_allclose(rest.uv[left_top], [[0, 0]], atol=1e-6)


def test_a_model_is_turned_by_its_rotation(folder: Path) -> None:
    catalog = load_catalog(folder)
    front = catalog.model(by_id(catalog, "Test#turned"))[0]
    # The rotation takes OBJ's z to x: what was the front is on the right now.
    np.testing.assert_allclose(front.mesh.vertices[:, 0], 0.5, atol=1e-6)
    np.testing.assert_allclose(np.ptp(front.mesh.vertices, axis=0), [0, 0.8, 0.7], atol=1e-6)


def test_glass_is_left_out_of_windows_only(folder: Path) -> None:
    catalog = load_catalog(folder)
    assert "pane" not in [part.material.name for part in catalog.model(by_id(catalog, "Test#window"))]
    assert "pane" in [part.material.name for part in catalog.model(by_id(catalog, "Test#cube"))]


def test_models_of_the_jar_take_the_materials_of_the_program(folder: Path) -> None:
    catalog = load_catalog(folder)
    part = catalog.model(by_id(catalog, "eTeks#chair"))[0]
    assert part.material.name == "yellow"
    assert part.material.color == pytest.approx((0.4132, 0.2529, 0.01), abs=1e-4)  # sRGB 0.675, 0.54, 0


def test_textures_have_sizes_categories_and_small_bitmaps(folder: Path) -> None:
    catalog = load_catalog(folder)
    floor, sky = catalog.textures[:2]
    assert (floor.category, floor.size_m, floor.credit.licence) == ("floor", (0.425, 0.2), "GPL")
    assert sky.category == "outdoor"
    assert catalog.bitmap(floor).shape == (256, 512, 3)


def test_what_is_transparent_in_a_picture_takes_the_colour_of_the_rest(folder: Path) -> None:
    leaf = Image.new("RGBA", (2, 1), (10, 200, 10, 255))
    leaf.putpixel((1, 0), (255, 0, 255, 0))
    buffer = io.BytesIO()
    leaf.save(buffer, "PNG")
    with zipfile.ZipFile(folder / "Leaf.sh3f", "w") as archive:
        archive.writestr("PluginFurnitureCatalog.properties", PROPERTIES.replace("Test#", "Leaf#").encode("latin-1"))
        archive.writestr("things/cube.obj", CUBE)
        archive.writestr("things/cube.mtl", MTL)
        archive.writestr("things/wood.png", buffer.getvalue())
    catalog = load_catalog(folder)
    rest = next(part for part in catalog.model(by_id(catalog, "Leaf#cube")) if part.material.name == "rest")
    np.testing.assert_array_equal(rest.material.texture, [[[10, 200, 10]] * 2])


def test_models_are_kept(folder: Path) -> None:
    catalog = load_catalog(folder)
    table = by_id(catalog, "Test#cube")
    assert catalog.model(table) is catalog.model(table)


def test_no_more_models_are_kept_than_fit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, other = (by_id(load_catalog(folder), name) for name in ("Test#cube", "Test#turned"))
    monkeypatch.setattr(sweethome3d, "_MODELS_BYTES", model_bytes(load_catalog(folder).model(table)))
    catalog = load_catalog(folder)
    first = catalog.model(table)
    assert catalog.model(table) is first
    catalog.model(other)
    assert catalog.model(table) is not first


def test_a_broken_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / "Broken.sh3f").write_bytes(b"not a zip file")
    with pytest.raises(InputError, match=r"Broken\.sh3f"):
        load_catalog(tmp_path)


def test_a_model_that_is_missing_is_named(folder: Path) -> None:
    with zipfile.ZipFile(folder / "Empty.sh3f", "w") as archive:
        archive.writestr("PluginFurnitureCatalog.properties", PROPERTIES.replace("Test#", "Empty#"))
    catalog = load_catalog(folder)
    with pytest.raises(InputError, match=r"things/cube\.obj"):
        catalog.model(by_id(catalog, "Empty#cube"))


def test_a_model_of_lines_is_named(folder: Path) -> None:
    with zipfile.ZipFile(folder / "Lines.sh3f", "w") as archive:
        archive.writestr("PluginFurnitureCatalog.properties", PROPERTIES.replace("Test#", "Lines#").encode("latin-1"))
        archive.writestr("things/cube.obj", "v 0 0 0\nv 1 0 0\nl 1 2\n")
    catalog = load_catalog(folder)
    with pytest.raises(InputError, match=r"things/cube\.obj has no triangles"):
        catalog.model(by_id(catalog, "Lines#cube"))


@pytest.mark.skipif(not INSTALLED.furniture, reason="sweethome3d-furniture is not installed (make assets)")
def test_the_installed_furniture_fills_the_groups_and_is_read() -> None:
    catalog = SweetHome3D(INSTALLED)
    count = {group: sum(item.category == group for item in catalog.furniture) for group in GROUPS}
    enough = {"bed": 10, "sofa": 15, "armchair": 10, "chair": 30, "table": 15, "shelf": 5, "plant": 10, "clutter": 100}
    assert {group: count[group] >= least for group, least in enough.items()} == dict.fromkeys(enough, True)
    assert all(item.credit.creator and item.credit.licence for item in catalog.furniture)
    for item in [item for item in catalog.furniture if item.category != "other"][::40]:
        parts = catalog.model(item)
        points = np.concatenate([part.mesh.vertices for part in parts])
        np.testing.assert_allclose(np.ptp(points, axis=0), item.size_m, atol=2e-3 * max(item.size_m))
        for part in parts:
            np.testing.assert_allclose(np.linalg.norm(part.mesh.normals, axis=1), 1, atol=1e-3)  # type: ignore[arg-type]
            assert part.material.texture is None or part.uv is not None


@pytest.mark.skipif(INSTALLED.jar is None, reason="sweethome3d.jar is not installed (make assets)")
def test_the_installed_textures_are_read() -> None:
    catalog = SweetHome3D(INSTALLED)
    assert {texture.category for texture in catalog.textures} <= set(TEXTURE_CATEGORIES)
    assert all(catalog.bitmap(texture).ndim == 3 for texture in catalog.textures)
