"""The rounds of ``sweep`` on a GPU: the same steps in the same order, on all pixels of a colour at once.

M pixels of one colour, N sources, K of them chosen at a pixel. Random numbers are those of ``hypotheses``, so results
differ from the CPU's by rounding only, which decides between planes that cost the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lotus_recon.mvs import sweep
from lotus_recon.mvs.device_cost import DeviceView
from lotus_recon.mvs.hypotheses import Pinhole
from lotus_recon.mvs.matching import Goal
from lotus_recon.mvs.sources import CENTER, FOCAL, Floats
from lotus_recon.mvs.sweep import State, Turn

_WORD = 0xFFFFFFFF
_GRAZING, _AWAY = 0.1, 0.7
_SPREAD, _DOUBT, _SAME_PX, _STEP_PX, _FLAT, _MUCH = 0.3, 0.01, 0.05, 0.4, 1e-4, 1e9


@dataclass(frozen=True, eq=False)
class _Pixels:
    """M pixels: numbers, row, column, and the position of their centres."""

    number: Tensor
    row: Tensor
    col: Tensor

    @property
    def x(self) -> Tensor:
        return self.col.float() + 0.5

    @property
    def y(self) -> Tensor:
        return self.row.float() + 0.5


class DeviceSearch:
    """One view at one scale. ``view`` as for ``sweep``."""

    def __init__(self, view: sweep.View, goal: Goal, device: torch.device) -> None:
        self.camera, self.goal, self.best_cosine = view.camera, goal, view.best_cosine
        self.view = DeviceView.of(view.gray, view.window, view.sources, device)
        self.H, self.W = view.gray.shape
        self.N = len(view.sources.place)
        self.K = min(goal.best_sources, self.N)
        self.regions = torch.from_numpy(view.regions).to(device).long()
        self.device = device
        self.planes = torch.zeros(self.H * self.W, 3, device=device)
        self.cost = torch.zeros(self.H * self.W, device=device)
        self.support = torch.zeros(self.H * self.W, self.N, device=device)

    def state(self) -> State:
        """What was found, on the CPU."""
        H, W = self.H, self.W
        return State(*(t.reshape(H, W, *t.shape[1:]).cpu().numpy() for t in (self.planes, self.cost, self.support)))

    def score_starts(self, starts: Floats, turn: Turn) -> None:
        """See ``sweep.score_starts``; starts (S, H, W, 3)."""
        pixels = self._pixels(torch.arange(self.H * self.W, device=self.device))
        w = turn.far + random_at(pixels.number, 0, turn) * (turn.near - turn.far)
        flat = torch.stack([w, torch.zeros_like(w), torch.zeros_like(w)], dim=1)
        chance = self._tilted(pixels, 1, turn, 1.0, flat)
        self.cost.fill_(_MUCH)
        for i in range(len(starts) + 1):
            planes = torch.from_numpy(starts[i]).to(self.device).reshape(-1, 3) if i < len(starts) else chance
            costs = self._each(pixels, planes)
            total = costs.topk(self.K, dim=1, largest=False).values.mean(dim=1)
            better = (planes[:, 0] > 0) & (total < self.cost)
            self.cost = torch.where(better, total, self.cost)
            self.planes = torch.where(better[:, None], planes, self.planes)
            self.support = torch.where(better[:, None], support_of(costs), self.support)

    def sweep(self, colour: int, turn: Turn) -> None:
        """See ``sweep.visit``."""
        number = torch.arange(self.H * self.W, device=self.device)
        number = number[(number // self.W + number % self.W) % 2 == colour]
        pixels = self._pixels(number)
        around = self._best_in_regions(pixels)
        best = self.planes[number]
        tries = _Tries(self, pixels, turn, *self._chosen(pixels, around, best), best)
        self._propagate(tries, around)
        self._perturb(tries)
        self._polish(tries)
        self.planes[number], self.cost[number] = tries.best, tries.cost
        self.support[number] = support_of(self._each(pixels, tries.best))

    def _pixels(self, number: Tensor) -> _Pixels:
        return _Pixels(number, number // self.W, number % self.W)

    def _each(self, pixels: _Pixels, planes: Tensor) -> Tensor:
        """(M, N) costs with every source."""
        every = torch.arange(self.N, device=self.device, dtype=torch.int32).expand(len(planes), -1).contiguous()
        return self.view.costs(pixels.number, planes.contiguous(), every, self.goal)

    def _best_in_regions(self, pixels: _Pixels) -> Tensor:
        """(M, 8) numbers of the pixels that cost least; -1 where a region lies outside."""
        found = []
        for region in self.regions:
            row, col = pixels.row[:, None] + region[:, 0], pixels.col[:, None] + region[:, 1]
            inside = (row >= 0) & (row < self.H) & (col >= 0) & (col < self.W)
            number = torch.where(inside, row * self.W + col, 0)
            cost, index = torch.where(inside, self.cost[number], _MUCH).min(dim=1)
            found.append(torch.where(cost < _MUCH, number.gather(1, index[:, None])[:, 0], -1))
        return torch.stack(found, dim=1)

    def _chosen(self, pixels: _Pixels, around: Tensor, planes: Tensor) -> tuple[Tensor, Tensor]:
        """(M, K) sources and their weights."""
        total, count = self.support[pixels.number], torch.ones_like(planes[:, :1])
        for number in around.T:
            there = (number >= 0)[:, None]
            total = total + torch.where(there, self.support[number.clamp(min=0)], 0)
            count = count + there
        weight = (total / count + _DOUBT) * (self._worth(pixels, planes) + _DOUBT)
        trust, chosen = weight.sort(dim=1, descending=True, stable=True)
        trust = trust[:, : self.K]
        return chosen[:, : self.K].int().contiguous(), trust / trust.sum(dim=1, keepdim=True)

    def _worth(self, pixels: _Pixels, planes: Tensor) -> Tensor:
        """(M, N) see ``sweep.source_worth``."""
        here = self._rays(pixels) / planes[:, :1]
        there = here[:, None] - self.view.geometry[:, CENTER : CENTER + 3]
        near, far = here.norm(dim=1, keepdim=True), there.norm(dim=2)
        cosine = (here[:, None] * there).sum(dim=2) / (near * far)
        parallax = ((1 - cosine) / (1 - self.best_cosine)).clamp(0, 1)
        resolution = self.view.geometry[:, FOCAL] * near / far
        return parallax.sqrt() * torch.minimum(resolution, 1 / resolution)

    def _rays(self, pixels: _Pixels) -> Tensor:
        c = self.camera
        return torch.stack([(pixels.x - c.cx) / c.fx, (pixels.y - c.cy) / c.fy, torch.ones_like(pixels.x)], dim=1)

    def _propagate(self, tries: _Tries, around: Tensor) -> None:
        pixels, turn = tries.pixels, tries.turn
        for number in around.T:
            planes = self.planes[number.clamp(min=0)]
            other = self._pixels(number.clamp(min=0))
            w = planes[:, 0] + planes[:, 1] * (pixels.col - other.col) + planes[:, 2] * (pixels.row - other.row)
            planes = torch.stack([w, planes[:, 1], planes[:, 2]], dim=1)
            change = (planes - tries.best).abs() * torch.tensor([1.0, 2.0, 2.0], device=self.device)
            tries.add(planes, (number >= 0) & (change.sum(dim=1) * turn.pixels > _SAME_PX))

    def _perturb(self, tries: _Tries) -> None:
        pixels, turn = tries.pixels, tries.turn
        start = tries.best
        move = turn.reach_px / turn.pixels * (2 * random_at(pixels.number, 10, turn) - 1)
        scale = (1 + move / start[:, 0])[:, None]
        turned = self._tilted(pixels, 11, turn, turn.tilt, start)
        tries.add(start * scale)
        tries.add(turned)
        tries.add(turned * scale)
        inner = (pixels.row > 0) & (pixels.row < self.H - 1) & (pixels.col > 0) & (pixels.col < self.W - 1)
        w, at = self.planes[:, 0], torch.where(inner, pixels.number, self.W + 1)
        slope = [(w[at + 1] - w[at - 1]) / 2, (w[at + self.W] - w[at - self.W]) / 2]
        tries.add(torch.stack([tries.best[:, 0], *slope], dim=1), inner)
        if turn.anywhere:
            self._anywhere(tries)

    def _anywhere(self, tries: _Tries) -> None:
        pixels, turn = tries.pixels, tries.turn
        w = turn.far + random_at(pixels.number, 14, turn) * (turn.near - turn.far)
        flat = torch.stack([w, torch.zeros_like(w), torch.zeros_like(w)], dim=1)
        tries.add(self._tilted(pixels, 15, turn, 1.0, flat))
        tries.add(tries.best * (w / tries.best[:, 0])[:, None])
        tries.add(self._tilted(pixels, 18, turn, 1.0, tries.best))

    def _polish(self, tries: _Tries) -> None:
        step = _STEP_PX / tries.turn.pixels
        aside = torch.tensor([step, 0.0, 0.0], device=self.device)
        before, after = tries.costs(tries.best - aside), tries.costs(tries.best + aside)
        curvature = before + after - 2 * tries.cost
        shift = (0.5 * (before - after) / curvature.clamp(min=_FLAT)).clamp(-1, 1)
        tries.add(tries.best + shift[:, None] * aside, curvature > _FLAT)

    def _tilted(self, pixels: _Pixels, draw: int, turn: Turn, tilt: float, planes: Tensor) -> Tensor:
        """(M, 3) see ``hypotheses.tilted``."""
        camera, rays = self.camera, self._rays(pixels)
        length = rays.norm(dim=1, keepdim=True)
        normal = -rays / length * _AWAY if tilt >= 1 else normals_of(planes, rays, camera)
        chance = torch.stack([random_at(pixels.number, draw + i, turn) for i in range(3)], dim=1)
        normal = normal + tilt * (2 * chance - 1)
        normal = normal / normal.norm(dim=1, keepdim=True)
        toward = torch.minimum((normal * rays).sum(dim=1), -_GRAZING * length[:, 0])
        w = planes[:, 0]
        return torch.stack([w, w * normal[:, 0] / (camera.fx * toward), w * normal[:, 1] / (camera.fy * toward)], dim=1)


class _Tries:
    """The best planes of M pixels so far (M, 3), their cost (M,), and the sources that judge them."""

    def __init__(
        self, search: DeviceSearch, pixels: _Pixels, turn: Turn, chosen: Tensor, trust: Tensor, best: Tensor
    ) -> None:
        self.search, self.pixels, self.turn, self.chosen, self.trust = search, pixels, turn, chosen, trust
        self.best = best
        self.cost = self.costs(best)

    def costs(self, planes: Tensor) -> Tensor:
        """(M,)"""
        each = self.search.view.costs(self.pixels.number, planes.contiguous(), self.chosen, self.search.goal)
        return (each * self.trust).sum(dim=1)

    def add(self, planes: Tensor, where: Tensor | None = None) -> None:
        """Keep planes (M, 3) that cost less and lie in the range of depth."""
        cost = self.costs(planes)
        better = (cost < self.cost) & (planes[:, 0] >= self.turn.far) & (planes[:, 0] <= self.turn.near)
        better = better if where is None else better & where
        self.cost = torch.where(better, cost, self.cost)
        self.best = torch.where(better[:, None], planes, self.best)


def support_of(costs: Tensor) -> Tensor:
    """See ``sweep.support_of``."""
    return torch.exp(-(costs**2) / (2 * _SPREAD**2))


def normals_of(planes: Tensor, rays: Tensor, camera: Pinhole) -> Tensor:
    """(M, 3) unit normals of planes (M, 3) at rays (M, 3)."""
    nx, ny = -camera.fx * planes[:, 1], -camera.fy * planes[:, 2]
    nz = -(planes[:, 0] + nx * rays[:, 0] + ny * rays[:, 1])
    normals = torch.stack([nx, ny, nz], dim=1)
    return normals / normals.norm(dim=1, keepdim=True)


def random_at(pixel: Tensor, draw: int, turn: Turn) -> Tensor:
    """(M,) see ``hypotheses.random_at``: 32 bits at a time in numbers of 64."""
    x = (pixel * 0x9E3779B1 & _WORD) ^ (turn.seed * 1000003 + turn.number * 64 + draw + 1 & _WORD)
    for _ in range(2):
        x = x ^ (x >> 16)
        x = x * 0x85EBCA6B & _WORD
        x = x ^ (x >> 13)
        x = x * 0xC2B2AE35 & _WORD
        x = x ^ (x >> 16)
    return (x >> 8).float() * (1 / 16777216)
