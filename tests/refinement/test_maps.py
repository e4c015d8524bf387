"""Maps of a pass on disk and as tensors."""

from __future__ import annotations

from pathlib import Path

import torch

from lotus_recon.refinement.maps import Map, Maps, save_map
from tests.refinement.scenes import views


def test_what_is_saved_comes_back_whatever_the_unit(tmp_path: Path) -> None:
    """Depth far below 1 is depth all the same; 0 is none, and has no confidence."""
    view = views(2)[0]
    shape = (view.camera.height, view.camera.width)
    depth = torch.full(shape, 1e-3)
    depth[:10] = 0
    confidence = torch.linspace(0, 1, shape[1]).expand(shape).contiguous()
    save_map(tmp_path, view, Map(depth, confidence))
    maps = Maps(tmp_path, torch.device("cpu"), kept=1)
    found = maps.map(view)
    torch.testing.assert_close(found.depth, depth)
    torch.testing.assert_close(found.confidence, confidence * (depth > 0))
    assert maps.has(view)


def test_a_view_without_a_map_is_unknown(tmp_path: Path) -> None:
    maps = Maps(tmp_path, torch.device("cpu"), kept=1)
    view = views(2)[1]
    assert not maps.has(view)
    assert not maps.map(view).depth.any()
    assert not maps.map(view).confidence.any()
