"""Catalogs of assets: tiny archives written by the test, and the installed ones where they are installed."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lotus_recon.errors import InputError
from lotus_recon.synthetic.rooms import assets
from lotus_recon.synthetic.rooms.assets import GROUPS, Catalog, Furniture, load_catalog
from lotus_recon.synthetic.rooms.catalog import TEXTURE_CATEGORIES, BoundedCache
from lotus_recon.synthetic.rooms.grouping import group_of
from lotus_recon.synthetic.rooms.sweethome3d import SweetHome3D

# A cube from 0 to 1 in OBJ axes (y up, z to the front): a red front at z = 1, the rest textured.
CUBE = b"""mtllib cube.mtl
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
v 0 0 1
v 1 0 1
v 1 1 1
v 0 1 1
vt 0 0
vt 1 0
vt 1 1
vt 0 1
usemtl front
f 5 6 7 8
usemtl rest
f 2/1 1/2 4/3 3/4
f 1/1 5/2 8/3 4/4
f 6/1 2/2 3/3 7/4
f 8/1 7/2 3/3 4/4
f 1/1 2/2 6/3 5/4
usemtl pane
f 5 6 7
"""
MTL = b"""newmtl front
Kd 1 0 0
Ks 0.5 0.5 0.5
Ns 50
newmtl rest
Kd 1 1 1
map_Kd C:/stale path/wood.png
newmtl pane
Kd 0.5 0.5 1
d 0.2
"""
PROPERTIES = """# a comment = nothing
license=CC-BY 3.0
id#1=Test#cube
name#1=Caf\\u00e9 table
category#1=Living room
model#1=/things/cube.obj
width#1=60
depth#1=40
height#1=80
creator#1=Somebody
id#2=Test#window
name#2=Window
category#2=Doors and windows
model#2=/things/cube.obj
width#2=60
depth#2=10
height#2=80
elevation#2=90
id#3=Test#turned
name#3=Couch
category#3=Living room
model#3=/things/cube.obj
modelRotation#3=0 0 1 0 1 0 -1 0 0
width#3=100
depth#3=80
height#3=70
id#4=Test#tulips
name#4=Tulips
category#4=Living room
model#4=/things/cube.obj
width#4=10
depth#4=10
height#4=10
"""
TEXTURES = """license=GPL
id#1=Test#floor
name#1=Wooden floor
category#1=Floor
image#1=/textures/floor.jpg
width#1=42.5
height#1=20
creator#1=eTeks
id#2=Test#sky
name#2=Blue sky
category#2=Sky
image#2=/textures/floor.jpg
width#2=100
height#2=40
"""
JAR_FURNITURE = """license=GPL
id#1=eTeks#chair
name#1=Chair
category#1=Living room
model#1=/chair.obj
width#1=40
depth#1=42
height#1=90
"""
JAR_MATERIALS = (
    b"\xca\xfe\xba\xbe\x01\x02newmtl yellow\nKa 0 0 0\nKd 0.5 0.4 0\nillum 2\n\nnewmtl white\nKd 0.6 0.6 0.6\n\x00\x07"
)


def picture(kind: str, color: tuple[int, ...], size: tuple[int, int] = (8, 4)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB" if len(color) == 3 else "RGBA", size, color).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one archive of furniture and a jar."""
    with zipfile.ZipFile(tmp_path / "Test.sh3f", "w") as archive:
        archive.writestr("PluginFurnitureCatalog.properties", PROPERTIES.encode("latin-1"))
        archive.writestr("things/cube.obj", CUBE)
        archive.writestr("things/cube.mtl", MTL)
        archive.writestr("things/wood.png", picture("PNG", (200, 100, 50)))
    (tmp_path / "below").mkdir()
    with zipfile.ZipFile(tmp_path / "below" / "sweethome3d.jar", "w") as jar:
        jar.writestr("com/eteks/sweethome3d/io/DefaultTexturesCatalog.properties", TEXTURES)
        jar.writestr("com/eteks/sweethome3d/io/DefaultFurnitureCatalog.properties", JAR_FURNITURE)
        jar.writestr("com/eteks/sweethome3d/j3d/OBJLoader.class", JAR_MATERIALS)
        jar.writestr("textures/floor.jpg", picture("JPEG", (120, 120, 120), (1024, 512)))
        jar.writestr("chair.obj", CUBE.replace(b"mtllib cube.mtl", b"").replace(b"usemtl front", b"usemtl yellow"))
    return tmp_path


def by_id(catalog: Catalog, name: str) -> Furniture:
    return next(item for item in catalog.furniture if item.id == name)


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
    assert part.material.color == pytest.approx((0.413, 0.258, 0.01), abs=5e-3)  # sRGB 0.675, 0.54, 0


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


def test_a_cache_forgets_what_was_not_used_for_long() -> None:
    cache: BoundedCache[str, bytes] = BoundedCache(10, len)
    made: list[str] = []

    def entry(key: str) -> bytes:
        return cache.get(key, lambda: made.append(key) or bytes(4))  # type: ignore[func-returns-value]

    for key in ("a", "b", "a", "c", "a", "b"):
        entry(key)
    assert made == ["a", "b", "c", "b"]


def test_a_folder_without_furniture_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no furniture"):
        load_catalog(tmp_path)
    monkeypatch.setenv(assets.ASSETS_VARIABLE, str(tmp_path / "missing"))
    with pytest.raises(InputError, match="missing"):
        load_catalog()


def test_the_environment_names_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(assets.ASSETS_VARIABLE, str(folder))
    assert by_id(load_catalog(), "Test#cube").name == "Café table"


def test_without_anything_installed_there_are_simple_shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(assets.ASSETS_VARIABLE, raising=False)
    monkeypatch.setenv("LOTUS_RECON_WORK", str(tmp_path))
    monkeypatch.setattr(assets, "_SYSTEM_FOLDER", tmp_path)
    assert load_catalog().name == "procedural"


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


@pytest.mark.parametrize(
    ("category", "name", "size", "elevation", "group"),
    [
        ("Living room", "TV remote control", (0.04, 0.18, 0.02), 0, "clutter"),
        ("Living room", "TV unit", (1.0, 0.5, 0.9), 0, "tv_unit"),
        ("Living room", "Wall flat TV", (1.0, 0.1, 0.7), 1.0, "wall_tv"),
        ("Living room", "Table", (1.2, 0.7, 0.5), 0, "coffee_table"),
        ("Office", "Armchair", (0.6, 0.6, 1.0), 0, "chair"),
        ("Kitchen", "Upper cabinet", (0.6, 0.4, 0.7), 1.45, "kitchen_wall"),
        ("Lights", "Pendant lamp", (0.6, 0.6, 0.8), 1.7, "ceiling_lamp"),
        ("Lights", "Lamp", (0.4, 0.6, 1.4), 0, "floor_lamp"),
        ("Doors and windows", "Exterior door", (1.0, 0.2, 2.0), 0, "door"),
        ("Doors and windows", "Garage door", (2.5, 0.2, 2.0), 0, "other"),
        ("Bathroom", "Washbasin", (0.7, 0.4, 0.5), 0.42, "bathroom_wall"),
        ("Vehicles", "Truck", (2.0, 6.0, 3.0), 0, "other"),
        ("New things", "Something", (1.0, 1.0, 1.0), 0, "other"),
    ],
)
def test_groups(category: str, name: str, size: tuple[float, float, float], elevation: float, group: str) -> None:
    assert group in GROUPS
    assert group_of(category, name, size, elevation) == group


INSTALLED = assets.installed_archives()


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
