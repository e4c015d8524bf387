"""Which photos are compared: sequence, list, retrieval."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lotus_recon.errors import InputError
from lotus_recon.sfm import pairs
from lotus_recon.sfm.config import AdvancedSfm, SfmConfig
from lotus_recon.sfm.pairs import choose_pairs, natural_order, read_pairs, sequential_pairs
from lotus_recon.sfm.retrieval import most_similar, vlad_descriptors
from tests.sfm.helpers import images_of, synthesize

NAMES = ["a b.jpg", "ü.png", "c.jpg"]


def test_numbers_in_names_count_as_numbers() -> None:
    names = ["img_10.jpg", "img_9.jpg", "img_100.jpg", "a/2.jpg", "a/10.jpg"]
    assert [names[i] for i in natural_order(names)] == ["a/2.jpg", "a/10.jpg", "img_9.jpg", "img_10.jpg", "img_100.jpg"]


def test_sequence_has_near_and_powers_of_two() -> None:
    pairs = sequential_pairs(range(40), 3)
    assert sorted({b - a for a, b in pairs}) == [1, 2, 3, 4, 8]
    assert (36, 39) in pairs
    assert len(pairs) == sum(40 - step for step in (1, 2, 3, 4, 8))


def test_sequence_follows_the_order_given() -> None:
    # One place on: 2-0, 0-3, 3-1; two places on: 2-3, 0-1.
    assert sequential_pairs([2, 0, 3, 1], 1) == [(0, 1), (0, 2), (0, 3), (1, 3), (2, 3)]


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("a b.jpg\tü.png\n", [(0, 1)]),
        ("# comment\n\nc.jpg ü.png\nü.png\tc.jpg\n", [(1, 2)]),
        ("c.jpg\tc.jpg\nc.jpg\ta b.jpg", [(0, 2)]),
    ],
)
def test_pairs_file(tmp_path: Path, text: str, pairs: list[tuple[int, int]]) -> None:
    (tmp_path / "pairs.txt").write_text(text)
    assert read_pairs(tmp_path / "pairs.txt", NAMES) == pairs


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("c.jpg ü.png\na b.jpg c.jpg", "line 2.*separated by a tab"),
        ("c.jpg\tgone.jpg", r"line 1: there is no photo 'gone\.jpg'"),
        ("", "names no pair"),
        (None, "cannot be read"),
    ],
)
def test_bad_pairs_file(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "pairs.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        read_pairs(tmp_path / "pairs.txt", NAMES)


def ring(images: int, seed: int) -> list[np.ndarray]:
    """Descriptors of photos taken around an object: each sees an arc of a ring of 40 * images features."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(40 * images, 32))
    arcs = [np.arange(-80, 80) + 40 * i for i in range(images)]
    return [features[arc % len(features)] + rng.normal(0, 0.3, (160, 32)) for arc in arcs]


@pytest.mark.parametrize("seed", range(3))
def test_retrieval_finds_the_neighbours_on_a_ring(seed: int) -> None:
    count = 30
    pairs = most_similar(vlad_descriptors(ring(count, seed), seed), 2)
    expected = sorted((min(i, (i + 1) % count), max(i, (i + 1) % count)) for i in range(count))
    assert pairs == expected


def test_retrieval_copes_with_photos_without_features() -> None:
    features = [np.zeros((0, 32)), *ring(5, 0)]
    vectors = vlad_descriptors(features, 0)
    assert np.isfinite(vectors).all()
    assert not vectors[0].any()
    assert len(most_similar(vectors, 10)) == 15  # more neighbours than there are photos: every pair


def test_retrieval_repeats() -> None:
    np.testing.assert_array_equal(vlad_descriptors(ring(6, 0), 7), vlad_descriptors(ring(6, 0), 7))


def test_matcher_follows_from_number_and_options(tmp_path: Path) -> None:
    images = images_of(synthesize(tmp_path / "database.db", views=4, points=50))
    every = list(itertools.combinations(range(4), 2))
    (tmp_path / "pairs.txt").write_text(f"{images[0].name}\t{images[2].name}\n")
    given = SfmConfig(pairs=tmp_path / "pairs.txt")
    chosen = [
        choose_pairs(images, tmp_path / "database.db", config, 0)
        for config in (SfmConfig(), given, SfmConfig(matcher="sequential", advanced=AdvancedSfm(match_neighbors=1)))
    ]
    assert [choice.matcher for choice in chosen] == ["exhaustive", "pairs", "sequential"]
    assert chosen[0].pairs == every
    assert chosen[1].pairs == [(0, 2)]
    many = choose_pairs(images * 21, tmp_path / "database.db", SfmConfig(advanced=AdvancedSfm(match_neighbors=3)), 0)
    assert many.matcher == "retrieval"
    ordered = choose_pairs(
        images * 21, tmp_path / "database.db", SfmConfig(ordered=True, advanced=AdvancedSfm(match_neighbors=3)), 0
    )
    assert ordered.matcher == "sequential"
    order = natural_order([image.name for image in images * 21])
    assert set(sequential_pairs(order, 3)) < set(ordered.pairs), "and loops"
    assert not set(sequential_pairs(order, 3)) <= set(many.pairs)
    with pytest.raises(InputError, match="--pairs FILE"):
        choose_pairs(images, tmp_path / "database.db", SfmConfig(matcher="pairs"), 0)


def test_the_features_that_describe_an_image_are_its_largest(monkeypatch: pytest.MonkeyPatch) -> None:
    scales, turns = np.array([1.0, 4.0, 2.0, 3.0]), np.array([0.3, 1.4, 0.0, 2.0])
    affine = np.stack([np.cos(turns), -np.sin(turns), np.sin(turns), np.cos(turns)], axis=1) * scales[:, None]
    keypoints = np.column_stack([[[900.0, 9.0], [1.0, 2.0], [800.0, 1.0], [3.0, 700.0]], affine]).astype(np.float32)
    descriptors = np.repeat(np.arange(4, dtype=np.uint8)[:, None], 128, axis=1)
    monkeypatch.setattr(pairs, "_VLAD_FEATURES", 2)

    class Stored:
        def read_keypoints(self, image_id: int) -> np.ndarray:
            return keypoints

        def read_descriptors(self, image_id: int) -> SimpleNamespace:
            return SimpleNamespace(data=descriptors)

    strongest = pairs._strongest(Stored(), 1)  # type: ignore[arg-type]  # as much as is asked for
    assert strongest[:, 0].tolist() == [1, 3]
