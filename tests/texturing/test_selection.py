"""Agreement and the choice of photos, each against what was planted or brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from lotus_recon.texturing.selection import agreement_of, select_views
from lotus_recon.texturing.selection_kernels import label_faces
from lotus_recon.texturing.sightings import sighting_of
from lotus_recon.texturing.surface import Surface
from lotus_recon.texturing.table import SightingTable
from lotus_recon.types import View
from tests.texturing import scenes


def table_of(images: list[np.ndarray], seen: list[View], surface: Surface) -> SightingTable:
    sightings = [sighting_of(view, rgb, None, surface) for view, rgb in zip(seen, images, strict=True)]
    return SightingTable.of(sightings, len(surface.mesh.triangles))


def test_the_table_is_sorted_by_triangle_and_complete() -> None:
    seen, surface = scenes.views(3), scenes.surface()
    table = table_of([scenes.photo_of(view) for view in seen], seen, surface)
    assert (np.diff(table.face) >= 0).all()
    for face in (0, 300, 700):
        rows = slice(table.start[face], table.start[face + 1])
        assert (table.face[rows] == face).all()
    assert table.count.sum() == len(table.face)


def passer_by(seen: list[View], images: list[np.ndarray], which: set[int]) -> list[np.ndarray]:
    """A magenta person before the same place of the wall in some photos."""
    changed = [image.copy() for image in images]
    for number in which:
        row, col = scenes.pixel_of(seen[number], (0.0, 0.0, 0.0))
        changed[number][row - 25 : row + 25, col - 12 : col + 12] = (255, 0, 255)
    return changed


def test_a_passer_by_does_not_colour_the_wall() -> None:
    seen, surface = scenes.views(7), scenes.surface()
    images = passer_by(seen, [scenes.photo_of(view) for view in seen], {2, 3})
    table = table_of(images, seen, surface)
    agreement = agreement_of(table, np.zeros(len(table.face), bool), surface, 7)
    chosen = select_views(table, agreement, surface)
    magenta = (table.color[:, 0] > 220) & (table.color[:, 1] < 60)
    assert magenta.sum() > 100
    assert agreement.disagrees[magenta].all()
    assert agreement.disagrees[~magenta].mean() < 0.05
    used = chosen >= 0
    true = scenes.pattern(*surface.centers[used, :2].T)
    np.testing.assert_allclose(table.color[chosen[used]], true, atol=12)
    np.testing.assert_allclose(agreement.color[used], true, atol=12)


def test_the_only_photo_of_a_place_colours_it_even_if_it_disagrees() -> None:
    seen, surface = scenes.views(2), scenes.surface()
    images = passer_by(seen, [scenes.photo_of(view) for view in seen], {0, 1})
    table = table_of(images, seen, surface)
    chosen = select_views(table, agreement_of(table, np.ones(len(table.face), bool), surface, 2), surface)
    np.testing.assert_array_equal(chosen >= 0, table.count > 0)


def test_near_and_sharp_beats_far_and_blurred() -> None:
    far, near, blurred = scenes.view_from(0, 0.0, z=3.4), scenes.view_from(1, 0.05, z=2.4), scenes.view_from(2, 0.0)
    surface = scenes.surface()
    images = [scenes.photo_of(view) for view in (far, near, blurred)]
    images[2] = gaussian_filter(images[2], (8, 8, 0))
    table = table_of(images, [far, near, blurred], surface)
    agreement = agreement_of(table, np.zeros(len(table.face), bool), surface, 3)
    chosen = select_views(table, agreement, surface)
    middle = np.abs(surface.centers[:, :2]).max(1) < 0.6
    assert (table.view[chosen[middle]] == 1).mean() > 0.9


def brute_force(labels: np.ndarray, costs: np.ndarray, neighbors: np.ndarray, smoothness: float) -> float:
    best = np.inf
    for choice in itertools.product(range(labels.shape[1]), repeat=len(labels)):
        best = min(best, energy(np.array(choice), labels, costs, neighbors, smoothness))
    return best


def energy(
    choice: np.ndarray, labels: np.ndarray, costs: np.ndarray, neighbors: np.ndarray, smoothness: float
) -> float:
    faces = np.arange(len(labels))
    chosen = labels[faces, choice]
    pairs = sum(int(chosen[f] != chosen[g]) for f in faces for g in neighbors[f] if g > f)
    return float(costs[faces, choice].sum() + smoothness * pairs)


@pytest.mark.parametrize("seed", range(5))
def test_labels_have_the_least_energy_there_is(seed: int) -> None:
    """On a strip of triangles, where belief propagation is exact."""
    random = np.random.default_rng(seed)
    F = 7
    neighbors = np.full((F, 3), -1, np.int32)
    neighbors[:-1, 0], neighbors[1:, 1] = np.arange(1, F), np.arange(F - 1)
    labels = np.stack([random.permutation(4)[:3] for _ in range(F)]).astype(np.int32)
    costs = random.random((F, 3)).astype(np.float32) * 2
    chosen = label_faces(labels, costs, neighbors, 0.6, 8)
    assert energy(chosen, labels, costs, neighbors, 0.6) == pytest.approx(brute_force(labels, costs, neighbors, 0.6))


def test_neighbours_take_the_same_photo_unless_it_costs_too_much() -> None:
    surface = scenes.surface(scenes.grid(12))
    F = len(surface.mesh.triangles)
    labels = np.tile(np.array([[0, 1]], np.int32), (F, 1))
    costs = np.random.default_rng(0).random((F, 2)).astype(np.float32) * 0.5
    costs[:, 1] += 0.02
    chosen = label_faces(labels, costs, surface.neighbors, 1.0, 100)
    assert len(np.unique(chosen)) == 1
    assert len(np.unique(label_faces(labels, costs, surface.neighbors, 0.0, 12))) == 2
    assert (label_faces(np.full((F, 2), -1, np.int32), costs, surface.neighbors, 1.0, 2) == -1).all()
