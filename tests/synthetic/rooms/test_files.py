"""The encoding of depth: read back what was written, to half a step."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lotus_recon.io.images import read_png16, write_png
from lotus_recon.synthetic.rooms.files import (
    DEPTH_UNIT_M,
    SceneFolder,
    decode_depth,
    encode_depth,
    finished_scenes,
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
