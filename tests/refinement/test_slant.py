from __future__ import annotations

import numpy as np
import pytest
import torch

from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.refinement.offsets import Edges
from lotus_recon.refinement.slant import slanted
from lotus_recon.types import Camera

CAMERA = Camera.from_fov_deg(60.0, 80, 60)
NORMAL = np.array([0.5, -0.3, -0.8]) / np.linalg.norm([0.5, -0.3, -0.8])
PLANE = torch.from_numpy(-3.0 / (rays_in_cam(CAMERA) @ NORMAL)).float()
EVERYWHERE = torch.ones(60, 80, dtype=torch.bool)
BOUND = Edges(torch.ones(60, 79), torch.ones(59, 80))


def normals() -> torch.Tensor:
    return torch.from_numpy(NORMAL).float()[:, None, None].expand(3, 60, 80)


def test_a_plane_with_its_own_normal_stays() -> None:
    assert slanted(PLANE, normals(), EVERYWHERE, CAMERA, BOUND, 10.0).abs().max() < 1e-4


@pytest.mark.parametrize("axis", [0, 1])
def test_bumps_of_the_depth_go_where_the_normals_have_none(axis: int) -> None:
    wave = 0.01 * torch.sin(torch.arange(PLANE.shape[axis]) * 2 * np.pi / 8)
    bumps = wave[:, None].expand(60, 80) if axis == 0 else wave.expand(60, 80)
    bumpy = PLANE * bumps.exp()
    offset = slanted(bumpy, normals(), EVERYWHERE, CAMERA, BOUND, 10.0)
    left = (bumpy * offset.exp() / PLANE).log()[8:-8, 8:-8]
    assert left.std() < 0.1 * bumps.std()


def test_depth_stays_over_long_distances() -> None:
    bent = 0.05 * torch.sin(torch.arange(80) * 2 * np.pi / 160).expand(60, 80)
    offset = slanted(PLANE * bent.exp(), normals(), EVERYWHERE, CAMERA, BOUND, 3.0)
    assert (offset + bent).std() > 0.8 * bent.std()


def test_nothing_moves_where_there_are_no_normals_or_edges_part_surfaces() -> None:
    bumpy = PLANE * (1 + 0.01 * torch.rand(60, 80, generator=torch.Generator().manual_seed(0)))
    assert slanted(bumpy, normals(), ~EVERYWHERE, CAMERA, BOUND, 10.0).abs().max() < 1e-6
    parted = Edges(torch.zeros(60, 79), torch.zeros(59, 80))
    assert slanted(bumpy, normals(), EVERYWHERE, CAMERA, parted, 10.0).abs().max() < 1e-6


def test_a_jump_of_the_depth_stays_although_the_normals_have_none() -> None:
    """Two boards one before the other look the same to normals; bumps are no jumps."""
    jump = 0.3 * (torch.arange(80) >= 40).float().expand(60, 80)
    assert slanted(PLANE * jump.exp(), normals(), EVERYWHERE, CAMERA, BOUND, 10.0).abs().max() < 1e-3
    assert slanted(PLANE * (jump / 30).exp(), normals(), EVERYWHERE, CAMERA, BOUND, 10.0).abs().max() > 3e-3
