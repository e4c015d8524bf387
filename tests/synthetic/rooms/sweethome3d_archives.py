"""Tiny archives as Sweet Home 3D has them."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from PIL import Image

from lotus_recon.synthetic.rooms.catalog import Catalog, Furniture

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
    """A file with one colour."""
    buffer = io.BytesIO()
    Image.new("RGB" if len(color) == 3 else "RGBA", size, color).save(buffer, kind)
    return buffer.getvalue()


def write_archives(folder: Path) -> None:
    """Write one archive of furniture and, in a folder below, a jar."""
    with zipfile.ZipFile(folder / "Test.sh3f", "w") as archive:
        archive.writestr("PluginFurnitureCatalog.properties", PROPERTIES.encode("latin-1"))
        archive.writestr("things/cube.obj", CUBE)
        archive.writestr("things/cube.mtl", MTL)
        archive.writestr("things/wood.png", picture("PNG", (200, 100, 50)))
    (folder / "below").mkdir()
    with zipfile.ZipFile(folder / "below" / "sweethome3d.jar", "w") as jar:
        jar.writestr("com/eteks/sweethome3d/io/DefaultTexturesCatalog.properties", TEXTURES)
        jar.writestr("com/eteks/sweethome3d/io/DefaultFurnitureCatalog.properties", JAR_FURNITURE)
        jar.writestr("com/eteks/sweethome3d/j3d/OBJLoader.class", JAR_MATERIALS)
        jar.writestr("textures/floor.jpg", picture("JPEG", (120, 120, 120), (1024, 512)))
        jar.writestr("chair.obj", CUBE.replace(b"mtllib cube.mtl", b"").replace(b"usemtl front", b"usemtl yellow"))


def by_id(catalog: Catalog, name: str) -> Furniture:
    """The furniture with an id."""
    return next(item for item in catalog.furniture if item.id == name)
