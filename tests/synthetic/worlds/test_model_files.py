"""Models of others, through assimp."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lotus_recon.errors import InputError
from lotus_recon.synthetic.rooms.solids import triangle_areas
from lotus_recon.synthetic.worlds import model_files
from lotus_recon.synthetic.worlds.model_files import ModelFile, Surface, has_assimp, read_model
from lotus_recon.synthetic.worlds.models import parts_of
from tests.synthetic.worlds.plain_worlds import disc_picture, square

needs_assimp = pytest.mark.skipif(not has_assimp(), reason="assimp is not installed")

# A square of 2 m that stands (y up), its picture upright, and one without a picture that lies on the ground.
AC3D = """AC3Db
MATERIAL "" rgb 0.2 0.4 0.6 amb 1 1 1 emis 0 0 0 spec 0 0 0 shi 10 trans 0
OBJECT world
kids 2
OBJECT poly
name "board"
texture "Board.rgb"{layer}
{further}numvert 4
-1 0 0
1 0 0
1 2 0
-1 2 0
numsurf 1
SURF 0x20
mat 0
refs 4
0 0 0
1 1 0
2 1 1
3 0 1
kids 0
OBJECT poly
name "floor"
numvert 3
0 0 0
0 0 1
1 0 0
numsurf 1
SURF 0x20
mat 0
refs 3
0 0 0
1 0 0
2 0 0
kids 0
"""


def write_board(folder: Path, name: str = "board.ac", layer: str = "", further: str = "") -> Path:
    picture = disc_picture()
    picture[:64, :, :3] = (0, 0, 255)  # blue above
    Image.fromarray(picture).save(folder / "board.rgb", "SGI")
    path = folder / name
    path.write_text(AC3D.format(layer=layer, further=further))
    return path


@needs_assimp
@pytest.mark.parametrize("layers", [("board.ac", "", ""), ("board.acc", " base", 'texture "other.rgb" tiled\n')])
def test_axes_picture_and_colour_arrive(layers: tuple[str, str, str], tmp_path: Path) -> None:
    model = read_model(write_board(tmp_path, *layers), tmp_path / "cache")
    board = next(surface for surface in model.surfaces if surface.texture >= 0)
    floor = next(surface for surface in model.surfaces if surface.texture < 0)
    assert np.allclose(board.points.reshape(-1, 3).min(0), [-1, 0, 0], atol=1e-6), "z is up"
    assert np.allclose(board.points.reshape(-1, 3).max(0), [1, 0, 2], atol=1e-6)
    assert np.allclose(board.uv[..., 1], board.points[..., 2] / 2, atol=1e-6), "v is up"
    assert np.allclose(floor.points[..., 2], 0, atol=1e-6)
    assert np.allclose(floor.color, (0.2, 0.4, 0.6), atol=0.01)
    picture = model.textures[board.texture]
    assert tuple(picture[40, 64]) == (0, 0, 255, 255), "SGI pictures are not upside down"
    assert picture[2, 2, 3] == 0


def test_level_ground_is_not_cut_out() -> None:
    points, uv = square(side=2.0)
    standing = points[..., [0, 2, 1]]
    surfaces = [Surface(corners, uv, (1, 1, 1), 1.0, 0) for corners in (points, standing)]
    areas = []
    for surface in surfaces:
        (part,) = parts_of(ModelFile((surface,), (disc_picture(),)))
        areas.append(triangle_areas(part.mesh).sum())
    assert np.isclose(areas[0], 4.0)
    assert areas[1] < 1.3


@needs_assimp
def test_parts_are_cut_out_and_kept(tmp_path: Path) -> None:
    path = write_board(tmp_path)
    parts = parts_of(read_model(path, tmp_path / "cache"))
    board = next(part for part in parts if part.material.fine)
    assert np.abs(board.mesh.vertices[:, 0]).max() < 0.66
    assert board.uv is not None
    kept = list((tmp_path / "cache").iterdir())
    assert len(kept) == 1
    read_model(path, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == kept, "converted once"


@needs_assimp
@pytest.mark.parametrize("content", [b"", b"AC3Db\n", b"\x00" * 100, AC3D.encode()[:200]])
def test_broken_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.ac"
    path.write_bytes(content)
    with pytest.raises(InputError, match="broken.ac"):
        read_model(path, tmp_path / "cache")


def test_without_assimp_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_files, "PROGRAM", "no-such-program")
    assert not has_assimp()
    with pytest.raises(InputError, match="apt-get install assimp-utils"):
        read_model(write_board(tmp_path), tmp_path / "cache")
