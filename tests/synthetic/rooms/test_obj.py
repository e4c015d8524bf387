"""OBJ and MTL text."""

from __future__ import annotations

import numpy as np
import pytest

from lotus_recon.errors import InputError
from lotus_recon.synthetic.rooms.obj import MtlMaterial, read_mtl, read_obj


def test_all_ways_to_write_a_face() -> None:
    text = b"v 0 0 0 1 0 0\nv 1 0 0 1 0 0\nv 1 1 0 1 0 0\nv 0 1 0 1 0 0\nvt 0.25 0.5 0\nvn 0 0 2\n"
    text += b"f 1 2 3\nusemtl a b \nf 1/1 2/1 \\\n3/1\nf 1//1 2//1 3//1\nf 1/1/1 2/1/1 3/1/1 4/1/1\r\nf 1 2\n"
    plain, named = read_obj(text)
    assert (plain.material, named.material) == ("", "a b")
    np.testing.assert_array_equal(plain.points, [[[0, 0, 0], [1, 0, 0], [1, 1, 0]]])
    assert np.isnan(plain.uv).all()
    np.testing.assert_array_equal(named.points[-1], [[0, 0, 0], [1, 1, 0], [0, 1, 0]])  # the quad as a fan
    assert np.isnan(named.uv[:, 0, 0]).tolist() == [False, True, False, False]
    np.testing.assert_array_equal(named.uv[0, 0], [0.25, 0.5])
    assert np.isnan(named.normals[:, 0, 0]).tolist() == [True, False, False, False]
    np.testing.assert_array_equal(named.normals[1, 0], [0, 0, 2])


@pytest.mark.parametrize(
    "text",
    [
        b"v 0 0 0\nf 1 2 3\n",
        b"v 0 0 0\nf -1 -1 -1\n",
        b"v 0 0 0\nf 1/1 1 1\n",
        b"v 0 0\nf 1 1 1\n",
        b"v 0 0 zero\nf 1 1 1\n",
        b"v 0 0 0\nf 0 0 0\n",
    ],
)
def test_broken_faces_are_refused(text: bytes) -> None:
    with pytest.raises(InputError, match="OBJ file"):
        read_obj(text)


def test_materials() -> None:
    text = (
        b"# Kd 9 9 9\nKd 9 9 9\nnewmtl wood\nKd 0.1 0.2 0.3\nks 1 1 1\nNs 12\nTr 0.75\nmap_Kd a b.jpg\nKe x\nillum 2\n"
    )
    wood = MtlMaterial((0.1, 0.2, 0.3), (1, 1, 1), 12, opacity=0.25, texture="a b.jpg")
    assert read_mtl(text + b"newmtl other\nd 0.5\n") == {"wood": wood, "other": MtlMaterial(opacity=0.5)}
