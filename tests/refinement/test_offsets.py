from __future__ import annotations

import numpy as np
import torch

from lotus_recon.refinement.offsets import Edges, FieldPrior, lowest, semi_global, smooth_field

EVERYWHERE = Edges(torch.ones(20, 29), torch.ones(19, 30))
REST = FieldPrior(torch.zeros(20, 30), 1e-4)


def noise(*size: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*size, generator=torch.Generator().manual_seed(seed))


def test_a_slanted_plane_has_no_edges_and_a_jump_has() -> None:
    y, x = torch.meshgrid(torch.arange(20.0), torch.arange(30.0), indexing="ij")
    log_depth = 0.02 * x - 0.01 * y + 0.3 * (x > 14)
    edges = Edges.of(log_depth, torch.ones(20, 30, dtype=torch.bool), width=0.01)
    assert edges.right[:, 14].max() < 1e-6
    assert edges.right[:, :13].min() > 0.99
    assert edges.right[:, 16:].min() > 0.99
    assert edges.below.min() > 0.99


def test_a_crease_between_two_planes_is_no_edge_and_a_step_is_one_between_two_pixels() -> None:
    crease = torch.tensor([[0.0, 0.02, 0.04, 0.04, 0.04, 0.06, 0.08]])
    jump = torch.tensor([[0.0, 0.0, 0.0, 0.02, 0.02, 0.02]])
    for log_depth, expected in ((crease, [1, 1, 1, 1, 1, 1]), (jump, [1, 1, float(np.exp(-2)), 1, 1])):
        known = torch.ones_like(log_depth, dtype=torch.bool)
        edges = Edges.of(log_depth, known, width=0.01)
        torch.testing.assert_close(edges.right, torch.tensor([expected]).float())
        torch.testing.assert_close(Edges.of(log_depth.T, known.T, width=0.01).below, edges.right.T)


def test_nothing_is_bound_to_unknown_pixels() -> None:
    known = torch.ones(20, 30, dtype=torch.bool)
    known[5, 7] = False
    edges = Edges.of(torch.zeros(20, 30), known, width=0.01)
    assert edges.right[5, 6] == edges.right[5, 7] == edges.below[4, 7] == edges.below[5, 7] == 0


def test_paths_without_penalty_leave_the_cost() -> None:
    cost = noise(7, 20, 30)
    torch.testing.assert_close(semi_global(cost, EVERYWHERE, 0.0, 0.0), cost)
    nowhere = Edges(torch.zeros(20, 29), torch.zeros(19, 30))
    torch.testing.assert_close(semi_global(cost, nowhere, 0.1, 0.5), cost)


def test_path_costs_of_a_row_are_those_worked_out_by_hand() -> None:
    # Two pixels, three hypotheses; from the left: 1 + min(0, 2 + 0.1, 3 + 0.5, 0 + 0.5) - 0 and so on.
    cost = torch.tensor([[0.0, 1.0], [2.0, 0.0], [3.0, 5.0]])[:, None]
    edges = Edges(torch.ones(1, 1), torch.ones(0, 2))
    right_to = torch.tensor([1.0, 0.1, 5.5])  # least of before: 0 at the first
    left_to = torch.tensor([0.1, 2.0, 3.1])  # least of before: 0 at the second
    expected_first = (cost[:, 0, 0] * 3 + left_to) / 4
    expected_second = (cost[:, 0, 1] * 3 + right_to) / 4
    found = semi_global(cost, edges, 0.1, 0.5)
    torch.testing.assert_close(found[:, 0, 0], expected_first)
    torch.testing.assert_close(found[:, 0, 1], expected_second)


def test_pixels_without_a_clear_cost_follow_their_neighbours() -> None:
    cost = torch.full((9, 20, 30), 0.5)
    cost[6, :, :10] = 0.0
    position, _ = lowest(semi_global(cost, EVERYWHERE, 0.03, 0.15))
    assert (position[:, 10:].round() == 6).all()


def test_a_parabola_is_found_exactly() -> None:
    vertex = 2 + 4 * noise(20, 30)
    cost = (torch.arange(9.0)[:, None, None] - vertex) ** 2
    position, inside = lowest(cost)
    torch.testing.assert_close(position, vertex, atol=1e-4, rtol=0)
    assert inside.all()


def test_the_end_of_the_range_is_not_inside() -> None:
    position, inside = lowest(torch.arange(5.0)[:, None, None].expand(5, 2, 2))
    assert not inside.any()
    assert (position == 0).all()


def test_the_field_fills_in_what_is_unknown_and_stops_at_edges() -> None:
    data, weight = torch.zeros(20, 30), torch.zeros(20, 30)
    data[:, :5], weight[:, :5] = 1.0, 1.0
    data[:, 25:], weight[:, 25:] = -1.0, 1.0
    edges = Edges(torch.ones(20, 29), torch.ones(19, 30))
    edges.right[:, 14] = 0
    field = smooth_field(data, weight, edges, REST, smoothness=1.0, width=1.0)
    torch.testing.assert_close(field[:, :15], torch.ones(20, 15), atol=0.05, rtol=0)
    torch.testing.assert_close(field[:, 15:], -torch.ones(20, 15), atol=0.05, rtol=0)


def test_a_confident_outlier_among_many_has_no_say() -> None:
    data, weight = 0.1 * noise(20, 30), torch.ones(20, 30)
    data[10, 15] = 8.0
    field = smooth_field(data, weight, EVERYWHERE, REST, smoothness=2.0, width=1.0)
    assert field[10, 15] < 0.3


def test_without_weight_the_prior_stays() -> None:
    field = smooth_field(noise(20, 30), torch.zeros(20, 30), EVERYWHERE, REST, smoothness=1.0, width=1.0)
    assert (field == 0).all()
