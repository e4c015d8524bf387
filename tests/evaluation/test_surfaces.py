"""Distances of shapes that are known: planes, spheres, single points; what masks keep; the tables of benchmarks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from lotus_recon.errors import InputError
from lotus_recon.evaluation import surface_masks as masks
from lotus_recon.evaluation.surfaces import (
    Distances,
    distances,
    mixed_distances,
    nearest,
    subsampled,
    summary,
    tolerance_table,
    uniform_samples,
)
from lotus_recon.types import Camera, DepthKind, DepthMap, Mesh, View

RNG = np.random.default_rng(2)


def square(z: float, side: float = 1.0) -> Mesh:
    corners = np.array([[0, 0, z], [side, 0, z], [side, side, z], [0, side, z]], np.float32)
    return Mesh(corners, np.array([[0, 1, 2], [0, 2, 3]], np.int32))


def test_parallel_squares_are_their_gap_apart() -> None:
    a, b = square(0.0), square(0.1)
    samples = [uniform_samples(mesh, 0.02, 0) for mesh in (a, b)]
    found = mixed_distances(samples[0], samples[1], a, b)
    scores = summary(found)
    assert scores["accuracy"] == pytest.approx(0.1, rel=1e-5)
    assert scores["completeness_median"] == pytest.approx(0.1, rel=1e-5)
    assert scores["chamfer"] == pytest.approx(0.1, rel=1e-5)
    assert [row["fscore"] for row in tolerance_table(found, [0.05, 0.2])] == [0, 1]


def test_samples_are_as_dense_as_asked_and_on_the_surface() -> None:
    samples = uniform_samples(square(3.0, 2.0), 0.05, 0)
    assert len(samples) == pytest.approx((2 / 0.05) ** 2, rel=0.05)
    assert samples[:, 2] == pytest.approx(3.0)
    assert nearest(samples, samples + 0.0).max() == 0


def test_thinning_takes_the_mean_of_each_voxel() -> None:
    points = np.array([[0.0, 0, 0], [0.2, 0, 0], [0.4, 0.4, 0.2], [1.5, 0, 0]])
    assert subsampled(points, 1.0).tolist() == [[pytest.approx(0.2), pytest.approx(0.4 / 3), pytest.approx(0.2 / 3)],
                                             [1.5, 0, 0]]  # fmt: skip
    dense = np.concatenate([np.tile([[0.3, 0.3, 0.3]], (1000, 1)), [[5.0, 5, 5]]])
    assert len(subsampled(dense, 0.5)) == 2


def test_nearest_is_that_of_all_pairs() -> None:
    a, b = RNG.standard_normal((300, 3)), RNG.standard_normal((200, 3)) * [1, 1, 0]
    expected = np.linalg.norm(a[:, None] - b[None], axis=-1).min(1)
    assert nearest(a, b) == pytest.approx(expected)
    assert nearest(a[:1], b[:1]) == pytest.approx(np.linalg.norm(a[0] - b[0]))


def test_both_directions_change_places_with_the_sides() -> None:
    a, b = RNG.standard_normal((300, 3)), RNG.standard_normal((200, 3))
    one, other = summary(distances(a, b)), summary(distances(b, a))
    assert one["accuracy"] == pytest.approx(other["completeness"])
    assert one["chamfer"] == pytest.approx(other["chamfer"])
    rows = [tolerance_table(distances(*pair), [0.3])[0] for pair in ((a, b), (b, a))]
    assert rows[0]["precision"] == rows[1]["recall"]
    assert rows[0]["fscore"] == pytest.approx(rows[1]["fscore"])


def test_the_scores_by_hand() -> None:
    found = Distances(np.array([0.0, 1.0, 2.0, 30.0]), np.array([1.0, 3.0]))
    assert summary(found) == {
        "accuracy": 8.25, "accuracy_median": 1.5, "accuracy_share": 1.0,
        "completeness": 2.0, "completeness_median": 2.0, "completeness_share": 1.0, "chamfer": 5.125,
    }  # fmt: skip
    capped = summary(found, max_distance=20)
    assert (capped["accuracy"], capped["accuracy_share"]) == (1.0, 0.75)
    assert tolerance_table(found, [1.5]) == [{"threshold": 1.5, "precision": 0.5, "recall": 0.5, "fscore": 0.5}]
    with pytest.raises(InputError, match="the same frame"):
        summary(found, max_distance=0.5)
    with pytest.raises(InputError, match="threshold 0"):
        tolerance_table(found, [0])


def test_empty_and_infinite_sides_are_refused() -> None:
    with pytest.raises(InputError, match="prediction"):
        distances(np.zeros((0, 3)), np.zeros((1, 3)))
    with pytest.raises(InputError, match="reference"):
        distances(np.zeros((1, 3)), np.full((1, 3), np.nan))
    with pytest.raises(InputError, match="spacing"):
        uniform_samples(square(0), 0, 0)
    with pytest.raises(InputError, match="larger --spacing"):
        uniform_samples(square(0), 1e-6, 0)
    with pytest.raises(InputError, match="without points"):
        subsampled(np.zeros((0, 3)), 1)


def test_box_and_crop_volume(tmp_path: Path) -> None:
    points = np.array([[0.5, 0.5, 0.5], [0.5, 0.5, 1.5], [0.9, 0.9, 0.5], [-0.1, 0.5, 0.5]])
    assert masks.inside_box(points, [0, 0, 0, 1, 1, 1]).tolist() == [True, False, True, False]
    with pytest.raises(InputError, match="box"):
        masks.inside_box(points, [0, 0, 0, 1, 1])
    # A triangle in x and z, extruded along y as in the files of Tanks and Temples.
    crop = {"orthogonal_axis": "Y", "axis_min": 0.0, "axis_max": 0.8,
            "bounding_polygon": [[0, 0, 0], [1, 0, 0], [0, 0, 1]]}  # fmt: skip
    path = tmp_path / "crop.json"
    path.write_text(json.dumps(crop))
    inside = np.array([[0.2, 0.5, 0.2], [0.6, 0.5, 0.6], [0.2, 0.9, 0.2], [0.8, 0.1, 0.1]])
    assert masks.read_crop(path).contains(inside).tolist() == [True, False, False, True]
    path.write_text(json.dumps(crop | {"axis_max": -1}))
    with pytest.raises(InputError, match="low < high"):
        masks.read_crop(path)
    with pytest.raises(InputError, match="crop volume"):
        masks.read_crop(tmp_path / "none.json")


def test_dtus_masks(tmp_path: Path) -> None:
    seen = np.zeros((4, 3, 2), np.uint8)
    seen[1, 2, 0] = 1
    savemat(tmp_path / "ObsMask1_10.mat", {"ObsMask": seen, "BB": np.array([[10.0, 20, 30], [13, 22, 31]]), "Res": 1.0})
    volume = masks.read_dtu_mask(tmp_path / "ObsMask1_10.mat")
    points = np.array([[11.0, 22, 30], [11.4, 21.6, 30.4], [11.6, 22, 30], [9, 22, 30], [11, 22, 99]])
    assert volume.contains(points).tolist() == [True, True, False, False, False]
    assert volume.surrounds(np.array([[-49.0, 0, 0], [-51.0, 0, 0], [132, 0, 0], [133.0, 0, 0]])).tolist() == [
        True, False, True, False
    ]  # fmt: skip
    savemat(tmp_path / "Plane1.mat", {"P": np.array([[0.0], [0], [1], [-5]])})
    plane = masks.read_dtu_plane(tmp_path / "Plane1.mat")
    assert masks.above_plane(np.array([[0.0, 0, 6], [0, 0, 4]]), plane).tolist() == [True, False]
    with pytest.raises(InputError, match="ObsMask"):
        masks.read_dtu_mask(tmp_path / "Plane1.mat")
    with pytest.raises(InputError, match="does not exist"):
        masks.read_dtu_plane(tmp_path / "nothing.mat")


def test_seen_is_in_front_of_the_depth_and_a_little_behind() -> None:
    camera = Camera(20, 10, 10.0, 10.0, 10.0, 5.0)
    valid = np.ones((10, 20), bool)
    valid[:, :5] = False
    depth = DepthMap(np.full((10, 20), 4.0, np.float32), valid, DepthKind.METRIC)
    points = np.array([[0.0, 0, 2], [0, 0, 4.05], [0, 0, 4.2], [0, 0, -1], [-3.5, 0, 4], [50, 0, 4]])
    found = masks.seen_by(points, [(View("a.png", camera, np.eye(4)), depth)], tolerance=0.1)
    assert found.tolist() == [True, True, False, False, False, False]
