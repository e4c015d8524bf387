"""What fusion accepts and refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lotus_recon.errors import FusionError, InputError
from lotus_recon.fusion.views import FusionViews
from lotus_recon.io.images import write_png
from lotus_recon.io.maps import save_arrays, save_maps
from lotus_recon.types import DepthKind, DepthMap, Scene, SparsePoints
from tests.fusion import scenes

DEPTH = np.full((90, 120), 2.0)


def views_of(root: Path, metric: bool = False, min_confidence: float = 0.0, n: int = 1) -> FusionViews:
    scene = Scene(tuple(scenes.plane_view(f"{i}.png") for i in range(n)), SparsePoints.empty(), metric)
    return FusionViews(scene, root / "depth", root / "images", min_confidence)


@pytest.mark.parametrize("kind", ["SCALE_FREE", "AFFINE", "AFFINE_DISPARITY"])
def test_depth_that_was_not_aligned_is_refused(tmp_path: Path, kind: str) -> None:
    scenes.write_view(tmp_path, scenes.plane_view("0.png"), DEPTH, kind=kind)
    with pytest.raises(FusionError, match=rf"'0\.png' cannot be fused: its depth is {kind}; allowed: SCENE"):
        views_of(tmp_path).scan(5.0)


def test_metric_depth_needs_metric_poses(tmp_path: Path) -> None:
    scenes.write_view(tmp_path, scenes.plane_view("0.png"), DEPTH, kind="METRIC")
    with pytest.raises(FusionError, match="poses are not in metres"):
        views_of(tmp_path).scan(5.0)
    assert views_of(tmp_path, metric=True).scan(5.0).cuts.pixels == DEPTH.size


def test_views_without_a_map_are_left_out(tmp_path: Path) -> None:
    scenes.write_view(tmp_path, scenes.plane_view("1.png"), DEPTH)
    assert [view.name for view in views_of(tmp_path, n=3).scan(5.0).views] == ["1.png"]


def test_no_map_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FusionError, match="none of the 3 views"):
        views_of(tmp_path, n=3)


def test_sizes_must_agree(tmp_path: Path) -> None:
    for depth, confidence, what in ((DEPTH[:45], None, "depth"), (DEPTH, DEPTH[:45], "confidence")):
        scenes.write_view(tmp_path, scenes.plane_view("0.png"), depth, confidence)
        with pytest.raises(InputError, match=rf"0\.npz: {what} is 120x45 pixels, the camera of 0\.png 120x90"):
            views_of(tmp_path).scan(5.0)
    scenes.write_view(tmp_path, scenes.plane_view("0.png"), DEPTH)
    write_png(tmp_path / "images" / "0.png", np.zeros((45, 60, 3), np.uint8))
    with pytest.raises(FusionError, match=r"'0\.png': photo is 60x45 pixels, its camera 120x90"):
        list(views_of(tmp_path).maps(10.0))


def test_maps_without_meta_or_depth_are_named(tmp_path: Path) -> None:
    save_arrays(tmp_path / "depth" / "0.npz", depth=DEPTH)
    with pytest.raises(InputError, match=r"0\.npz has no 'meta'"):
        views_of(tmp_path).scan(5.0)
    save_maps(tmp_path / "depth" / "0.npz", confidence=DEPTH)
    with pytest.raises(InputError, match="has no 'depth'"):
        views_of(tmp_path).scan(5.0)


def test_unusable_pixels_are_cut_and_counted(tmp_path: Path) -> None:
    depth, confidence = DEPTH.copy(), np.ones_like(DEPTH)
    depth[:9] = np.nan
    depth[9:18] = -1
    confidence[18:36] = 0.2
    depth[36:54] = 40
    scenes.write_view(tmp_path, scenes.plane_view("0.png"), depth, confidence)
    views = views_of(tmp_path, min_confidence=0.3)
    scan = views.scan(5.0)
    cuts = scan.cuts
    assert (cuts.pixels, cuts.invalid, cuts.unconfident) == (DEPTH.size, 18 * 120, 18 * 120)
    assert cuts.far == pytest.approx(18 * 120, rel=0.2)  # from every 16th pixel
    assert scan.max_depth == 10.0
    _, depth_map, rgb = next(views.maps(scan.max_depth))
    np.testing.assert_array_equal(depth_map.depth > 0, np.arange(90)[:, None].repeat(120, 1) >= 54)
    assert rgb.shape == (90, 120, 3)


def test_footprint_is_depth_over_focal_length(tmp_path: Path) -> None:
    scenes.write_view(tmp_path, scenes.plane_view("0.png"), DEPTH)
    assert views_of(tmp_path).scan(5.0).footprint == pytest.approx(2.0 / 150)


@pytest.mark.parametrize(("confidence", "weighted"), [(None, False), (1.0, False), (0.7, True)])
def test_weights_are_used_where_they_are_not_one(tmp_path: Path, confidence: float | None, weighted: bool) -> None:
    values = None if confidence is None else np.full(DEPTH.shape, confidence)
    scenes.write_view(tmp_path, scenes.plane_view("0.png"), DEPTH, values)
    assert views_of(tmp_path).scan(5.0).weighted == weighted


def test_what_is_marked_invalid_is_not_fused(tmp_path: Path) -> None:
    valid = np.arange(90)[:, None].repeat(120, 1) < 30
    depth = DepthMap(DEPTH.astype(np.float32), valid, DepthKind.SCENE)
    save_maps(tmp_path / "depth" / "0.npz", depth)
    write_png(tmp_path / "images" / "0.png", np.zeros((90, 120, 3), np.uint8))
    _, depth_map, _ = next(views_of(tmp_path).maps(10.0))
    np.testing.assert_array_equal(depth_map.depth > 0, valid)


def test_one_uncertain_view_calls_for_weights(tmp_path: Path) -> None:
    for i, confidence in enumerate((1.0, 0.5, 1.0)):
        scenes.write_view(tmp_path, scenes.plane_view(f"{i}.png"), DEPTH, np.full(DEPTH.shape, confidence))
    assert views_of(tmp_path, n=3).scan(5.0).weighted
