"""multi_view on maps that another program wrote: the command line, start to end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lotus_recon.errors import InputError
from lotus_recon.io.images import write_png
from lotus_recon.io.maps import load_prediction
from lotus_recon.io.meshes import read_mesh
from pipelines.multi_view import run
from tests.recipes.scenes import RADIUS, write_scene


def test_a_sphere_from_millimetres_in_png(tmp_path: Path) -> None:
    """Depth of 16 bits gives the sphere in metres; without its unit nothing is begun."""
    scene = write_scene(tmp_path)
    for path in scene.predictions.glob("*.npz"):
        depth = load_prediction(path).depth
        assert depth is not None
        write_png(path.with_suffix(".png"), np.where(depth.valid, np.rint(depth.values * 1000), 0).astype(np.uint16))
        path.unlink()
    with pytest.raises(InputError, match=r"does not say what its numbers mean: give --depth-unit m, cm, mm"):
        run(scene.arguments())
    assert not scene.out.exists()
    assert run(scene.arguments("--depth-unit", "mm", "--no-view")) == 0
    vertices = read_mesh(scene.out / "mesh/mesh.ply").vertices
    off = np.minimum(np.abs(np.linalg.norm(vertices, axis=1) - RADIUS), np.abs(vertices[:, 2] + RADIUS))
    assert np.quantile(off, 0.9) < json.loads((scene.out / "fusion/tsdf/fusion.json").read_text())["voxel_size"]


def test_a_box_that_is_none_is_said_before_photos_are_decoded(tmp_path: Path) -> None:
    scene = write_scene(tmp_path)
    photo = next(scene.photos.iterdir())
    photo.write_bytes(photo.read_bytes()[:500])
    with pytest.raises(InputError, match=r"--crop 1,2: allowed are six numbers"):
        run(scene.arguments("--crop", "1,2"))
    with pytest.raises(InputError, match="1 of 6 photos cannot be used"):
        run(scene.arguments())
