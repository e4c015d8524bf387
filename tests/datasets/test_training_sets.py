"""The registry: every kind hands out samples that keep the contract, and tells its files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lotus_recon.datasets.training_sets import KINDS, open_training_set
from lotus_recon.errors import InputError
from tests.datasets import test_hypersim, test_rgbd_folder, test_vkitti2

WRITERS: dict[str, Callable[[Path], object]] = {
    "hypersim": lambda root: test_hypersim.write_frame(root, "ai_001_001", 0),
    "hypersim_all_cameras": lambda root: test_hypersim.write_frame(root, "ai_001_001", 0),
    "vkitti2": lambda root: test_vkitti2.write_variation(root, "Scene02/clone"),
    "folder": test_rgbd_folder.write_folder,
}


def test_every_kind_is_tested() -> None:
    assert set(WRITERS) | {"rooms"} == set(KINDS), "rooms has its own tests"


@pytest.mark.parametrize("kind", WRITERS)
def test_samples_keep_the_contract(kind: str, tmp_path: Path) -> None:
    WRITERS[kind](tmp_path)
    training_set = open_training_set(kind, tmp_path, "all")
    sample = training_set.load(0)
    assert sample.name == training_set.name(0)
    assert sample.rgb.dtype == np.uint8
    assert sample.depth is not None
    assert sample.depth_valid is not None
    assert sample.depth.dtype == np.float32
    assert np.isfinite(sample.depth).all()
    assert (sample.depth[sample.depth_valid] > 0).all()
    assert sample.sky is None or not (sample.sky & sample.depth_valid).any()
    if sample.normals is not None and sample.normals_valid is not None:
        assert sample.normals.dtype == np.float32
        assert np.isfinite(sample.normals).all()
        np.testing.assert_allclose(np.linalg.norm(sample.normals[sample.normals_valid], axis=-1), 1, atol=1e-5)
        assert (sample.normals[sample.normals_valid][:, 2] < 0).mean() > 0.9


def test_unknown_kind(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'kitti': allowed are hypersim, .*vkitti2, rooms, folder"):
        open_training_set("kitti", tmp_path, "all")
