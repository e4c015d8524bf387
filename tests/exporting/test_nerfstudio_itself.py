"""What nerfstudio's own parser makes of the export; skipped where nerfstudio is not installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lotus_recon.exporting import stage
from tests.exporting.room import CUT_OUT, EMPTY, NAMES, make_room


def test_its_parser_puts_known_points_on_their_pixels_at_their_depth(tmp_path: Path) -> None:
    """It turns, moves and scales the poses: points, cloud and depth must follow."""
    pytest.importorskip("nerfstudio")
    from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
    from nerfstudio.data.utils.data_utils import get_depth_image_from_path, get_image_mask_tensor_from_path

    room = make_room(tmp_path)
    (tmp_path / "export").mkdir()
    flat = stage.run(room.export_scene(), ["nerfstudio"], tmp_path / "export").report["views"]
    parser = NerfstudioDataParserConfig(
        data=tmp_path / "export/nerfstudio", eval_mode="all", load_3D_points=True
    ).setup()
    parsed = parser.get_dataparser_outputs("train")
    order = {path.name: i for i, path in enumerate(parsed.image_filenames)}
    turn, scale = parsed.dataparser_transform.numpy().astype(np.float64), parsed.dataparser_scale
    for name in NAMES:
        if name == EMPTY:
            continue
        i, cameras = order[flat[name]], parsed.cameras
        pixels, world = room.known_points(name)
        pose = cameras.camera_to_worlds[i].numpy().astype(np.float64)
        in_cam = (scale * (world @ turn[:, :3].T + turn[:, 3]) - pose[:, 3]) @ pose[:, :3]
        z = -in_cam[:, 2]
        x = float(cameras.fx[i]) * in_cam[:, 0] / z + float(cameras.cx[i])
        y = -float(cameras.fy[i]) * in_cam[:, 1] / z + float(cameras.cy[i])
        assert np.abs(np.stack([x, y], 1) - (pixels + 0.5)).max() < 0.01
        size = int(cameras.height[i]), int(cameras.width[i])
        unit = parsed.metadata["depth_unit_scale_factor"] * scale
        depth = get_depth_image_from_path(parsed.metadata["depth_filenames"][i], *size, unit).numpy()[..., 0]
        assert np.abs(depth[pixels[:, 1], pixels[:, 0]] / z - 1).max() < 1e-3
        used = get_image_mask_tensor_from_path(parsed.mask_filenames[i]).numpy()[..., 0]
        expected = np.ones(size, bool)
        expected[CUT_OUT.get(name, (slice(0), slice(0)))] = False
        assert np.array_equal(used, expected)
    cloud = parsed.metadata["points3D_xyz"].numpy() / scale
    corners = np.array([room.scene.points.xyz.min(0), room.scene.points.xyz.max(0)]) @ turn[:, :3].T + turn[:, 3]
    middle = (cloud.max(0) + cloud.min(0)) / 2
    assert np.abs(middle - corners.mean(0)).max() < 0.25, "the cloud is moved along"
