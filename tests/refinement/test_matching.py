from __future__ import annotations

import numpy as np
import torch

from lotus_recon.geometry.camera import project, rays_in_cam
from lotus_recon.geometry.pose import invert_rigid, transform
from lotus_recon.refinement.matching import SourceDepth, Sources, Windows, blurred, rays
from tests.alignment.analytic import true_depth
from tests.refinement.scenes import gray_of, photo, views

SEEN = views()
HERE, OTHERS = SEEN[2], [SEEN[1], SEEN[3]]
DEPTH = torch.from_numpy(true_depth(HERE)).float()


def correlations(gains: tuple[float, float] = (1.0, 0.0), factor: float = 1.0) -> torch.Tensor:
    photos = [photo(view, gray_of(view) * gains[0] + gains[1]) for view in OTHERS]
    sources = Sources.of(HERE, photos)
    xy, _ = sources.pixels(rays(HERE.camera, DEPTH.device), (DEPTH * factor)[None])
    warped, _ = sources.look_up(xy)
    windows = Windows(photo(HERE).gray, torch.ones_like(DEPTH, dtype=torch.bool), sigma=1.8)
    return windows.correlation(warped[0])


def test_pixels_in_the_sources_are_those_of_the_cameras() -> None:
    world = transform(invert_rigid(HERE.cam_from_world), rays_in_cam(HERE.camera) * true_depth(HERE)[..., None])
    xy, z = Sources.of(HERE, [photo(v) for v in OTHERS]).pixels(rays(HERE.camera, DEPTH.device), DEPTH[None])
    for found, depth, view in zip(xy[0], z[0], OTHERS, strict=True):
        in_cam = transform(view.cam_from_world, world)
        np.testing.assert_allclose(found, project(in_cam, view.camera), atol=2e-3)
        np.testing.assert_allclose(depth, in_cam[..., 2], rtol=1e-5)


def test_photos_agree_at_the_true_depth_and_not_beside_it() -> None:
    right, wrong = correlations(), correlations(factor=1.5)
    assert right.median() > 0.97
    assert wrong.median() < 0.6


def test_exposure_has_no_effect() -> None:
    torch.testing.assert_close(correlations((0.7, 0.1)).median(), correlations().median(), atol=0.02, rtol=0)


def test_points_behind_a_source_or_beside_it_are_not_in_it() -> None:
    sources = Sources.of(HERE, [photo(v) for v in OTHERS])
    behind = torch.full_like(DEPTH, -1.0)
    xy, _ = sources.pixels(rays(HERE.camera, DEPTH.device), behind[None])
    assert not sources.look_up(xy)[1].any()
    xy, _ = sources.pixels(rays(HERE.camera, DEPTH.device), DEPTH[None])
    inside = sources.look_up(xy)[1]
    assert 0.6 < inside.float().mean() < 1


def test_sources_of_several_sizes_are_looked_up_in_their_own() -> None:
    small = photo(OTHERS[0], np.full((60, 80), 0.25))
    large = photo(OTHERS[1], np.full((120, 160), 0.75))
    sources = Sources.of(HERE, [small, large])
    xy = torch.tensor([[[[[79.5, 59.5]]], [[[159.5, 119.5]]]]])  # L N H W 2
    values, inside = sources.look_up(xy)
    assert inside.all()
    torch.testing.assert_close(values[0, :, 0, 0], torch.tensor([0.25, 0.75]))


def test_a_window_weighs_as_a_gaussian() -> None:
    impulse = torch.zeros(1, 31, 31)
    impulse[0, 15, 15] = 1
    window = blurred(impulse, 2.0)[0]
    assert abs(float(window.sum()) - 1) < 1e-5
    assert abs(float(window[15, 17] / window[15, 15]) - np.exp(-0.5)) < 1e-5


def test_unknown_pixels_count_in_no_window() -> None:
    gray = torch.rand(40, 40, generator=torch.Generator().manual_seed(0))
    known = torch.ones(40, 40, dtype=torch.bool)
    known[:, 20:] = False
    spoiled = torch.where(known, gray, 1 - gray)
    same = Windows(gray, known, 1.8).correlation(spoiled[None])[0]
    assert same[:, :20].min() > 0.9


def test_a_surface_in_front_hides_and_another_depth_disagrees() -> None:
    depth = torch.full((2, 4, 4), 2.0)
    depth[1] = 0  # the second source knows nothing
    judge = SourceDepth.of(list(depth), [torch.ones(4, 4), torch.zeros(4, 4)], weight=0.3, tolerance=0.1, hidden=0.2)
    fraction = torch.full((3, 2, 1, 1, 2), 0.5)
    z = torch.tensor([2.0, 2.1, 3.0])[:, None, None, None].expand(3, 2, 1, 1)
    disagreement, in_sight = judge.judge(fraction, z)
    expected = torch.tensor([[0.0, 0.0], [0.3 * np.log(1.05) / 0.1, 0.0], [0.3, 0.0]])
    torch.testing.assert_close(disagreement[..., 0, 0], expected.float(), atol=1e-5, rtol=1e-4)
    assert in_sight[..., 0, 0].tolist() == [[True, True], [True, True], [False, True]]


def test_depth_is_that_of_the_pixel_in_which_a_point_lies() -> None:
    """Of sources of two sizes, up to the rim and beyond it."""
    large, small = 1 + torch.arange(20.0).reshape(4, 5), 1 + torch.arange(6.0).reshape(2, 3)
    judge = SourceDepth.of([large, small], [torch.ones(4, 5), torch.ones(2, 3)], 1.0, tolerance=100.0, hidden=0.0)
    fraction = torch.tensor([[0.1, 0.1], [0.9, 0.9], [-0.5, 0.6], [1.5, 2.0], [0.5, np.nan]]).float()
    disagreement, _ = judge.judge(fraction[:, None, None, None].expand(5, 2, 1, 1, 2), torch.ones(5, 2, 1, 1))
    found = (100 * disagreement[..., 0, 0]).exp()  # points at depth 1: the ratio is the depth of the pixel
    expected = [[1, 1], [20, 6], [11, 4], [20, 6], [3, 2]]
    torch.testing.assert_close(found, torch.tensor(expected).float(), rtol=1e-4, atol=1e-4)
