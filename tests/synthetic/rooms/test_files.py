"""The encoding of depth: read back what was written, to half a step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lotus_recon.errors import InputError
from lotus_recon.io.images import read_png16, write_png
from lotus_recon.synthetic.rooms.files import (
    DEPTH_UNIT_M,
    SceneFolder,
    decode_depth,
    decode_far_depth,
    encode_depth,
    encode_far_depth,
    finished_scenes,
    is_far,
)
from lotus_recon.types import DepthKind, DepthMap

MAX_DEPTH_M = 65535 * DEPTH_UNIT_M


def test_depth_survives_to_half_a_step(tmp_path: Path) -> None:
    values = np.array([[0.3, 1.23456, MAX_DEPTH_M - 1e-3], [2.0, 5.0, MAX_DEPTH_M + 1.0]], np.float32)
    valid = np.array([[True, True, True], [True, False, True]])
    write_png(tmp_path / "d.png", encode_depth(DepthMap(values, valid, DepthKind.METRIC)))
    read = decode_depth(read_png16(tmp_path / "d.png"))
    assert read.valid.tolist() == [[True, True, True], [True, False, False]], "invalid, and too far"
    assert np.abs(read.values - values)[read.valid].max() <= DEPTH_UNIT_M / 2 + 1e-6
    assert read.kind is DepthKind.METRIC


def test_only_whole_rooms_count(tmp_path: Path) -> None:
    for name in ("scene_000012", "scene_000002", "scene_1000000", ".part-ab-3", "scene_old", "log.txt"):
        (tmp_path / name).mkdir()
    assert [folder.number for folder in finished_scenes(tmp_path)] == [2, 12, 1000000]
    assert SceneFolder.of_number(tmp_path, 12).path == tmp_path / "scene_000012"


def test_far_depth_is_exact_to_a_share_from_near_to_far() -> None:
    values = np.array([[0.04, 0.05, 0.3, 2.0], [16.5, 200.0, 500.0, 501.0]], np.float32)
    valid = np.array([[True, True, True, True], [True, True, True, True]])
    valid[0, 3] = False
    again = decode_far_depth(encode_far_depth(DepthMap(values, valid, DepthKind.METRIC)))
    assert (again.valid == [[False, True, True, False], [True, True, True, False]]).all()
    assert np.allclose(again.values[again.valid], values[again.valid], rtol=7.1e-5)


def test_a_scene_says_how_its_depth_is_written(tmp_path: Path) -> None:
    texts = {"far": '{"depth": "log"}', "near": "{}", "broken": "[", "odd": "[]"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    assert is_far(tmp_path / "far")
    assert not is_far(tmp_path / "near")
    assert not is_far(tmp_path / "none")
    for name in ("broken", "odd"):
        with pytest.raises(InputError, match=f"{name} is not the description"):
            is_far(tmp_path / name)
