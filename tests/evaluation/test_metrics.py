"""Scores against values worked out by hand, and against known motions of simple shapes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.evaluation.metrics import (
    DepthAlignment,
    aligned_depth,
    depth_metrics,
    fitted_columns,
    mesh_metrics,
    normal_metrics,
    point_to_mesh_distance,
    pose_metrics,
    sample_mesh,
)
from lotus_recon.types import Mesh

GT = np.array([[1.0, 2.0], [4.0, 8.0]])
PRED = np.array([[1.1, 1.0], [4.0, 4.0]])  # ratios 1.1, 2, 1, 2
ALL = np.ones((2, 2), bool)


def test_depth_by_hand() -> None:
    scores = depth_metrics(PRED, GT, ALL)
    l1, l2 = np.log(1.1), np.log(2.0)
    assert scores["abs_rel"] == pytest.approx((0.1 + 0.5 + 0 + 0.5) / 4)
    assert scores["sq_rel"] == pytest.approx((0.01 + 0.5 + 0 + 2) / 4)
    assert scores["rmse"] == pytest.approx(np.sqrt((0.01 + 1 + 0 + 16) / 4))
    assert scores["rmse_log"] == pytest.approx(np.sqrt((l1**2 + 2 * l2**2) / 4))
    assert scores["log10"] == pytest.approx((np.log10(1.1) + 2 * np.log10(2)) / 4)
    assert (scores["delta1"], scores["delta2"], scores["delta3"]) == (0.5, 0.5, 0.5)
    assert scores["i_rmse"] == pytest.approx(np.sqrt(((1 / 1.1 - 1) ** 2 + 0.5**2 + 0.125**2) / 4))
    mean = (l1 - 2 * l2) / 4
    assert scores["silog"] == pytest.approx(100 * np.sqrt((l1**2 + 2 * l2**2) / 4 - mean**2))


def test_deltas_are_strict_powers_of_1_25() -> None:
    scores = depth_metrics(np.array([[1.2, 1.3], [1.6, 2.0]]), np.ones((2, 2)), ALL)
    assert (scores["delta1"], scores["delta2"], scores["delta3"]) == (0.25, 0.5, 0.75)


def test_the_mask_and_missing_truth_are_left_out() -> None:
    gt = np.array([[1.0, np.nan], [0.0, 8.0]])
    valid = np.array([[True, True], [True, False]])
    assert depth_metrics(PRED, gt, valid)["abs_rel"] == pytest.approx(0.1)


def test_affine_recovers_a_planted_scale_and_shift() -> None:
    assert depth_metrics((GT - 3) / 5, GT, ALL, align="affine")["rmse"] < 1e-12
    assert depth_metrics((GT - 3) / 5, GT, ALL, align="none")["rmse"] > 1
    assert depth_metrics(GT / 7, GT, ALL, align="scale")["rmse"] < 1e-12


def test_affine_is_least_squares_in_depth() -> None:
    slope, shift = np.polyfit(PRED.ravel(), GT.ravel(), 1)
    expected = np.sqrt(((slope * PRED + shift - GT) ** 2).mean())
    assert depth_metrics(PRED, GT, ALL, align="affine")["rmse"] == pytest.approx(expected)


def test_scale_is_least_squares_in_depth() -> None:
    scale = (PRED * GT).sum() / (PRED**2).sum()
    expected = np.sqrt(((scale * PRED - GT) ** 2).mean())
    assert depth_metrics(PRED, GT, ALL, align="scale")["rmse"] == pytest.approx(expected)


def test_affine_disparity_fits_positive_pixels_and_clips_at_a_thousandth() -> None:
    gt = np.array([[1.0, 2.0], [4.0, 500.0]])
    pred = np.array(
        [[1.1, 0.6], [0.35, -5.0]]
    )  # 1 / gt + 0.1, and one that is not positive: disparity -5.1 after the fit
    scores = depth_metrics(pred, gt, ALL, align="affine_disparity")
    assert scores["rmse"] == pytest.approx(250)  # three are exact, the clipped one is at 1,000
    clipped = depth_metrics(pred, gt, ALL, align="affine_disparity", max_depth=600)
    assert clipped["rmse"] == pytest.approx(50)


def test_limits_clip_the_prediction_not_the_truth() -> None:
    scores = depth_metrics(np.full((2, 2), 100.0), GT, ALL, max_depth=8.0)
    assert scores["rmse"] == pytest.approx(np.sqrt((49 + 36 + 16 + 0) / 4))
    scores = depth_metrics(np.zeros((2, 2)), GT, ALL, min_depth=1.0)
    assert scores["rmse"] == pytest.approx(np.sqrt((0 + 1 + 9 + 49) / 4))


def test_sums_are_in_float64() -> None:
    gt = np.full((1000, 1000), 1.0, np.float32)
    pred = gt + np.float32(1e-3)
    assert depth_metrics(pred, gt, gt > 0)["abs_rel"] == pytest.approx(float(pred[0, 0]) - 1, rel=1e-9)


@pytest.mark.parametrize(
    ("pred", "gt", "valid", "message"),
    [
        (PRED, GT, ~ALL, "no valid pixel"),
        (PRED, -GT, ALL, "no valid pixel"),
        (PRED[:1], GT, ALL, "same size"),
        (PRED, GT, ALL[0], "same size"),
        (np.full((2, 2), np.nan), GT, ALL, "NaN"),
    ],
)
def test_depth_that_cannot_be_compared(pred: NDArray, gt: NDArray, valid: NDArray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        depth_metrics(pred, gt, valid)


def test_unknown_alignment() -> None:
    with pytest.raises(InputError, match="allowed: none"):
        depth_metrics(PRED, GT, ALL, align="median")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="positive"):
        depth_metrics(-PRED, GT, ALL, align="affine_disparity")


def tilted(*angles_deg: float) -> NDArray[np.float64]:
    """(2, 2, 3) normals at these angles from the z axis."""
    angle = np.radians(np.array(angles_deg).reshape(2, 2))
    return np.stack([np.sin(angle), np.zeros((2, 2)), -np.cos(angle)], axis=-1)


def test_normals_by_hand() -> None:
    scores = normal_metrics(tilted(0, 6, 10, 40), tilted(0, 0, 0, 0), ALL)
    assert scores["mean"] == pytest.approx(14)
    assert scores["median"] == pytest.approx(8)
    assert scores["rmse"] == pytest.approx(np.sqrt((36 + 100 + 1600) / 4))
    shares = [scores[f"pct_{name}"] for name in ("5", "7_5", "11_25", "22_5", "30")]
    assert shares == [25, 50, 75, 75, 75]


def test_normals_of_other_lengths_and_missing_truth() -> None:
    gt = tilted(0, 0, 0, 0)
    gt[0, 0] = 0
    scores = normal_metrics(3 * tilted(50, 6, 6, 6), gt, ALL)
    assert scores["mean"] == pytest.approx(6)
    with pytest.raises(InputError, match="length zero"):
        normal_metrics(np.zeros((2, 2, 3)), gt, ALL)
    with pytest.raises(InputError, match="no valid pixel"):
        normal_metrics(gt, gt, ~ALL)
    with pytest.raises(InputError, match="same size"):
        normal_metrics(gt, gt, np.ones((3, 2), bool))


def square(height: float, side: float = 1.0) -> Mesh:
    """A horizontal square of two triangles."""
    corners = np.array([[0, 0, height], [side, 0, height], [side, side, height], [0, side, height]], np.float32)
    return Mesh(corners, np.array([[0, 1, 2], [0, 2, 3]], np.int32))


def test_points_by_hand() -> None:
    pred = np.array([[0.0, 0, 0], [1, 0, 0]])
    gt = np.array([[0.0, 0, 0.1], [1, 0, 0], [5, 0, 0]])
    scores = mesh_metrics(pred, gt, threshold=0.5)
    assert scores["accuracy"] == pytest.approx(0.05)
    assert scores["completeness"] == pytest.approx(4.1 / 3)
    assert scores["precision"] == 1
    assert scores["recall"] == pytest.approx(2 / 3)
    assert scores["fscore"] == pytest.approx(0.8)


def test_mesh_against_itself_and_lifted() -> None:
    assert mesh_metrics(square(0), square(0), 0.1)["accuracy"] < 1e-6
    lifted = mesh_metrics(square(0.2), square(0), 0.1)
    assert lifted["accuracy"] == pytest.approx(0.2)
    assert lifted["fscore"] == 0


def test_half_of_a_mesh_has_full_precision_and_half_recall() -> None:
    whole = square(0)
    half = Mesh(whole.vertices, whole.triangles[:1])
    scores = mesh_metrics(half, whole, 1e-3)
    assert scores["precision"] == 1
    assert scores["recall"] == pytest.approx(0.5, abs=0.01)


def test_mesh_far_from_the_origin_keeps_its_precision() -> None:
    far = Mesh(square(0).vertices + np.float32(2**20), square(0).triangles)
    points = np.array([[0.5, 0.5, 0.01]]) + 2.0**20
    assert point_to_mesh_distance(points, far)[0] == pytest.approx(0.01, abs=1e-6)


def test_sampling_is_uniform_by_area_and_repeatable() -> None:
    big, small = square(0, side=3), square(5, side=1)
    both = Mesh(np.concatenate([big.vertices, small.vertices]), np.concatenate([big.triangles, small.triangles + 4]))
    points = sample_mesh(both, 20_000, seed=0)
    assert (points[:, 2] < 1).mean() == pytest.approx(0.9, abs=0.01)
    on_big = points[points[:, 2] < 1, :2]
    assert on_big.mean(0) == pytest.approx([1.5, 1.5], abs=0.03)
    assert on_big.var(0) == pytest.approx([9 / 12, 9 / 12], abs=0.02)
    assert np.array_equal(points, sample_mesh(both, 20_000, seed=0))


def test_meshes_that_cannot_be_compared() -> None:
    empty = Mesh(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32))
    with pytest.raises(InputError, match="pred"):
        mesh_metrics(empty, square(0), 0.1)
    with pytest.raises(InputError, match="gt"):
        mesh_metrics(square(0), np.zeros((0, 3)), 0.1)
    with pytest.raises(InputError, match="positive"):
        mesh_metrics(square(0), square(0), 0)
    with pytest.raises(InputError, match="without triangles"):
        point_to_mesh_distance(np.zeros((1, 3)), empty)
    with pytest.raises(InputError, match="no area"):
        sample_mesh(Mesh(np.zeros((3, 3), np.float32), np.array([[0, 1, 2]], np.int32)), 5, 0)


def rotation_z(angle_deg: float) -> NDArray[np.float64]:
    c, s = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def pose_at(center: NDArray[np.float64], R: NDArray[np.float64]) -> NDArray[np.float64]:
    pose = np.eye(4)
    pose[:3, :3] = R
    pose[:3, 3] = -R @ center
    return pose


def test_poses_in_another_world_are_perfect() -> None:
    random = np.random.default_rng(0)
    centers = random.normal(size=(6, 3))
    world = rotation_z(70)
    gt = {str(i): pose_at(c, rotation_z(20 * i)) for i, c in enumerate(centers)}
    pred = {str(i): pose_at(world @ c / 4 + 1, rotation_z(20 * i) @ world.T) for i, c in enumerate(centers[:3])}
    scores = pose_metrics(pred, gt)
    assert scores["position_max"] < 1e-9
    assert scores["rotation_median_deg"] < 1e-6
    assert scores["scale"] == pytest.approx(4)
    assert scores["registered"] == 0.5


def test_pose_errors_by_hand() -> None:
    # Four centres on a cross; two opposite ones move outwards and inwards so that no similarity explains it.
    cross = np.array([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]])
    moved = cross + np.array([[0, 0, 0.1], [0, 0, 0.1], [0, 0, -0.1], [0, 0, -0.1]])
    gt = {str(i): pose_at(c, np.eye(3)) for i, c in enumerate(cross)}
    pred = {str(i): pose_at(c, np.eye(3)) for i, c in enumerate(moved)}
    scores = pose_metrics(pred, gt)
    scale = 4 / (4 + 4 * 0.01)  # least squares: sum(s . t) / sum(s . s)
    expected = np.sqrt((1 - scale) ** 2 + (0.1 * scale) ** 2)
    assert scores["position_rms"] == pytest.approx(expected)
    assert scores["position_max"] == pytest.approx(expected)


def test_rotation_error_of_cameras_on_a_line() -> None:
    turns = (0.0, 0.0, 0.0, 2.0, -2.0)
    gt = {str(i): pose_at(np.array([0, 0, float(i)]), rotation_z(10 * i)) for i in range(5)}
    pred = {str(i): pose_at(np.array([0, 0, float(i)]), rotation_z(10 * i + turns[i])) for i in range(5)}
    scores = pose_metrics(pred, gt)
    assert scores["rotation_median_deg"] < 1e-6
    worse = {name: pose_at(np.array([0, 0, float(name)]), rotation_z(2 * int(name))) for name in pred}
    assert pose_metrics(worse, gt)["rotation_median_deg"] == pytest.approx(8)  # 0, 8, 8, 16, 16 about their mean


def test_too_few_common_poses() -> None:
    with pytest.raises(InputError, match="2 of 2"):
        pose_metrics({"a": np.eye(4), "b": np.eye(4)}, {"a": np.eye(4), "b": np.eye(4)})


RNG = np.random.default_rng(11)


@pytest.mark.parametrize(
    ("align", "change"),
    [
        ("scale", lambda d: 17.0 * d),
        ("affine", lambda d: -3.0 * d + 40.0),
        ("affine_disparity", lambda d: 9.0 * d),
        ("affine_disparity", lambda d: 4.0 * d + 2.0),
    ],
)
def test_aligned_scores_do_not_depend_on_what_alignment_removes(
    align: DepthAlignment, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    gt = RNG.uniform(1, 8, (20, 30))
    pred = (1 / gt if align == "affine_disparity" else gt) * RNG.uniform(0.9, 1.1, gt.shape)
    one = depth_metrics(pred, gt, gt > 0, align, 0.5, 10)
    other = depth_metrics(change(pred), gt, gt > 0, align, 0.5, 10)
    assert one == pytest.approx(other, rel=1e-9)


def test_scores_of_ratios_are_symmetric() -> None:
    a, b = RNG.uniform(1, 8, (2, 20, 30))
    one, other = depth_metrics(a, b, a > 0), depth_metrics(b, a, a > 0)
    for name in ("rmse", "rmse_log", "log10", "delta1", "delta2", "delta3", "i_rmse", "silog"):
        assert one[name] == pytest.approx(other[name], rel=1e-12)
    assert one["abs_rel"] != pytest.approx(other["abs_rel"], rel=1e-3)


def test_silog_does_not_see_scale() -> None:
    a, b = RNG.uniform(1, 8, (2, 20, 30))
    assert depth_metrics(3 * a, b, a > 0)["silog"] == pytest.approx(depth_metrics(a, b, a > 0)["silog"], rel=1e-9)


@pytest.mark.parametrize(("align", "value"), [("affine", 3.75), ("affine_disparity", 4 / 1.875)])
def test_a_constant_prediction_becomes_the_mean(align: DepthAlignment, value: float) -> None:
    # mean of 1, 2, 4, 8 and of their inverses 1, .5, .25, .125
    scores = depth_metrics(np.full((2, 2), 0.1), GT, ALL, align)
    assert scores["abs_rel"] == pytest.approx(np.mean(np.abs(value - GT) / GT))


@pytest.mark.parametrize(("shape", "resolution"), [((403, 605), 102), ((48, 31), 20), ((10, 64), 7), ((30, 20), 64)])
def test_the_cap_of_the_fit_sees_what_the_official_resampling_leaves(shape: tuple[int, int], resolution: int) -> None:
    import torch

    factor = np.min(resolution / np.array(shape))
    column = torch.arange(shape[1], dtype=torch.float32).expand(shape)[None]
    expected = np.arange(shape[1])
    if factor < 1:
        expected = torch.nn.Upsample(scale_factor=factor, mode="nearest")(column)[0, 0].numpy().astype(int)
    assert np.flatnonzero(fitted_columns(shape, resolution)).tolist() == np.unique(expected).tolist()


def test_only_capped_pixels_are_fitted_but_all_are_scored() -> None:
    gt = np.tile([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], (2, 1))
    kept = fitted_columns(gt.shape, 3)
    assert kept.tolist() == [True, False] * 3
    pred = gt + np.where(kept, 0.0, 5.0)
    assert depth_metrics(pred, gt, gt > 0, "affine", alignment_resolution=3)["abs_rel"] == pytest.approx(
        np.mean([5 / 2, 5 / 4, 5 / 6]) / 2
    )
    with pytest.raises(InputError, match="alignment resolution"):
        depth_metrics(gt, gt, kept & np.zeros((2, 1), bool) | (~kept & np.ones((2, 1), bool)), "affine",
                      alignment_resolution=3)  # fmt: skip


def test_the_aligned_map_is_what_is_scored() -> None:
    gt = RNG.uniform(1, 8, (20, 30))
    pred, valid = RNG.uniform(0.1, 1, gt.shape), RNG.random(gt.shape) < 0.6
    depth = aligned_depth(pred, gt, valid, "affine_disparity", 1.5, 6.0)
    assert np.isnan(depth[~valid]).all()
    found = np.mean(np.abs(depth[valid] - gt[valid]) / gt[valid])
    assert found == pytest.approx(depth_metrics(pred, gt, valid, "affine_disparity", 1.5, 6.0)["abs_rel"])


def official(pred: np.ndarray, gt: np.ndarray, valid: np.ndarray) -> dict[str, float]:
    """The definitions once more, in float32 on whole maps as the papers' evaluations compute them."""
    n = valid.sum()
    pred, gt = pred.astype(np.float32), gt.astype(np.float32)
    log = np.where(valid, np.log(pred) - np.log(gt), 0)
    return {
        "abs_rel": float(np.where(valid, np.abs(pred - gt) / gt, 0).sum() / n),
        "sq_rel": float(np.where(valid, (pred - gt) ** 2 / gt, 0).sum() / n),
        "rmse": float(np.sqrt(np.where(valid, (pred - gt) ** 2, 0).sum() / n)),
        "rmse_log": float(np.sqrt((log**2).sum() / n)),
        "i_rmse": float(np.sqrt(np.where(valid, (1 / pred - 1 / gt) ** 2, 0).sum() / n)),
        "silog": float(100 * np.sqrt((log**2).sum() / n - log.sum() ** 2 / n**2)),
    }


def test_scores_are_those_of_the_definitions_on_whole_maps() -> None:
    gt = RNG.uniform(0.5, 9, (120, 160)).astype(np.float32)
    pred, valid = gt * RNG.uniform(0.7, 1.4, gt.shape).astype(np.float32), RNG.random(gt.shape) < 0.8
    scores = depth_metrics(pred, gt, valid)
    for name, value in official(pred, gt, valid).items():
        assert scores[name] == pytest.approx(value, rel=1e-5)
