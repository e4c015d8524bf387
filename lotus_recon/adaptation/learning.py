"""The network learns the depth that is known of some photos, and stops when depth kept aside gets no better.

The values of every photo are fitted to its known depth by a scale and a shift, robustly; what is left is the error
that is learnt from. Where nothing is known the network holds on to the shapes that it saw before: the steps of its
values from pixel to pixel. B photos of h x w pixels.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lotus_recon.adaptation.config import AdaptationConfig
from lotus_recon.adaptation.networks import Learner
from lotus_recon.adaptation.targets import Targets
from lotus_recon.models.losses import gradient_error
from lotus_recon.progress import track
from lotus_recon.types import DepthKind
from lotus_recon.workspace import write_atomically

log = logging.getLogger(__name__)

STEPS_PER_PHOTO, FEWEST_STEPS, MOST_STEPS = 10, 240, 400
_EVERY = 20  # steps from one check, and checkpoint, to the next
_PATIENCE = 3  # checks in a row without a better one, after which it stops
_WARM_UP = 20  # steps over which the step size grows to its full size
_KNOWN = 0.1  # weight of the error where depth is known
_SPREAD = 0.03  # relative error at which a pixel counts half (log loss, of Cauchy-distributed errors)
_PULL = 0.01  # weight decay towards the weights that came
_AVERAGE = 0.9  # of the weights of past steps in the average that is kept
_LARGEST_GRADIENT = 1.0
_RANGE, _BEYOND = 0.95, 10.0  # of the values of a map, which end at 1; weight of what is beyond
_CHECKED_PHOTOS = 32
_LARGEST_CHECKED = 0.1  # relative error beyond which a pixel kept aside counts no more: some depth is wrong
_ROUNDS, _FIT_SPREAD = 5, 0.05  # of the robust fit of scale and shift


@dataclass(frozen=True)
class Learnt:
    """What came of it. Errors are mean relative errors at depth that was kept aside, after scale and shift."""

    steps: int
    error_before: float
    error_after: float  # of the weights that were kept
    best_step: int  # 0: those that came


class Batch:
    """Photos and their targets as tensors."""

    def __init__(self, targets: Sequence[Targets], kind: DepthKind, device: torch.device) -> None:
        images = torch.from_numpy(np.stack([each.image for each in targets])).to(device)
        self.image = images.permute(0, 3, 1, 2).float() / 127.5 - 1  # B 3 h w
        depth = torch.from_numpy(np.stack([each.depth for each in targets])).to(device)
        known = depth > 0
        depth = torch.where(known, depth, 1.0)
        self.target = 1 / depth if kind is DepthKind.AFFINE_DISPARITY else depth  # B h w
        weight = torch.from_numpy(np.stack([each.weight for each in targets])).to(device) * known
        aside = torch.from_numpy(np.stack([each.aside for each in targets])).to(device)
        self.weight, self.checked = weight * ~aside, (weight > 0) & aside

    def flip(self) -> None:
        """Mirror everything."""
        for name in ("image", "target", "weight", "checked"):
            setattr(self, name, getattr(self, name).flip(-1))


def robust_fit(values: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """(B, h, w) scale * values + shift of every photo, nearest to the target in relative error.

    Least squares, reweighted by Cauchy's weights of the errors. The fit itself passes no gradient.
    """
    with torch.no_grad():
        x, y = values.double(), target.double()
        base = weight.double() / y**2
        w = base
        for _ in range(_ROUNDS):
            total = w.flatten(1).sum(1).clamp_min(1e-12)[:, None, None]
            mean_x, mean_y = ((w * v).flatten(1).sum(1)[:, None, None] / total for v in (x, y))
            covariance = (w * (x - mean_x) * (y - mean_y)).flatten(1).sum(1)
            variance = (w * (x - mean_x) ** 2).flatten(1).sum(1)
            scale = (covariance / variance.clamp_min(1e-12)).clamp_min(0)[:, None, None]
            shift = mean_y - scale * mean_x
            w = base / (1 + ((scale * x + shift - y) / (_FIT_SPREAD * y)) ** 2)
    return scale.float() * values + shift.float()


class Learning:
    """The state of one adaptation: weights, their average, the optimiser, and the best average so far."""

    def __init__(self, learner: Learner, targets: Sequence[Targets], config: AdaptationConfig, seed: int) -> None:
        self._learner, self._targets, self._seed = learner, targets, seed
        self._settings = config.advanced
        self.steps = config.adapt_steps or steps_for(len(targets))
        self._weights: list[torch.Tensor] = [*learner.parameters()]
        self._came = [weight.detach().clone() for weight in self._weights]
        self._average = [weight.clone() for weight in self._came]
        self._best = [weight.clone() for weight in self._came]
        self._optimizer = torch.optim.AdamW(self._weights, lr=1.0, weight_decay=0.0)
        self._step, self._errors = 0, [np.nan]
        self._held = self._what_came()

    @torch.no_grad()
    def _what_came(self) -> list[torch.Tensor]:
        """(h, w) what the network says of every photo before it learns, in half precision."""
        return [self._learner.values(self._batch([each]).image)[0].half().cpu() for each in self._targets]

    def _batch(self, targets: Sequence[Targets]) -> Batch:
        return Batch(targets, self._learner.kind, self._learner.device)

    def run(self, checkpoint: Path, seconds: float | None = None) -> Learnt | None:
        """Learn until depth kept aside gets no better, continuing with what a killed run left in ``checkpoint``.

        The network ends with the best average of its weights. None, and the network as it came, when the first steps
        show that all of them would take longer than ``seconds``.
        """
        if checkpoint.is_file():
            self._restore(torch.load(checkpoint, map_location=self._learner.device, weights_only=True))
        else:
            self._errors = [self._error(self._came)]
        for step in track(range(self._step, self.steps), "adapting the network", self.steps - self._step):
            if self._has_stopped:
                break
            started = time.perf_counter()
            self._learn(step)
            if seconds is not None and step == 1 and (time.perf_counter() - started) * self.steps > seconds:
                self._use(self._came)
                return None
            self._step = step + 1
            if self._step % _EVERY == 0 or self._step == self.steps:
                self._check()
                write_atomically(checkpoint, lambda part: torch.save(self._state(), part))
        self._use(self._best)
        best = int(np.argmin(self._errors))
        return Learnt(self._step, self._errors[0], self._errors[best], min(best * _EVERY, self._step))

    @property
    def _has_stopped(self) -> bool:
        return len(self._errors) - 1 - int(np.argmin(self._errors)) >= _PATIENCE

    def _learn(self, step: int) -> None:
        """One step; what it draws depends on the seed and its number only."""
        rng = np.random.default_rng([self._seed, step])
        count = min(self._settings.photos_per_step, len(self._targets))
        # Of photos of several sizes, those of one size make a step.
        size = self._targets[int(rng.integers(len(self._targets)))].image.shape
        same = [i for i, each in enumerate(self._targets) if each.image.shape == size]
        chosen = rng.choice(same, min(count, len(same)), replace=False)
        batch = self._batch([self._targets[i] for i in chosen])
        held = torch.stack([self._held[i] for i in chosen]).float().to(self._learner.device)  # B h w
        if rng.random() < 0.5:
            batch.flip()
            held = held.flip(-1)
        loss = self._loss(_recoloured(batch.image, rng), batch, held)
        self._optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._weights, _LARGEST_GRADIENT)
        size_now = self._settings.step_size * min(1.0, (step + 1) / _WARM_UP)
        size_now *= 0.5 + 0.5 * float(np.cos(np.pi * step / self.steps))
        self._optimizer.param_groups[0]["lr"] = size_now
        self._optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(self._weights, self._came, size_now * _PULL)
            torch._foreach_lerp_(self._average, [weight.detach() for weight in self._weights], 1 - _AVERAGE)

    def _loss(self, image: torch.Tensor, batch: Batch, held: torch.Tensor) -> torch.Tensor:
        values = self._learner.values(image)
        relative = robust_fit(values, batch.target, batch.weight) / batch.target - 1
        known = batch.weight.sum().clamp_min(1e-6)
        loss = _KNOWN * (batch.weight * torch.log1p((relative / _SPREAD) ** 2)).sum() / known
        loss = loss + self._settings.hold * gradient_error(values, held, batch.weight == 0).mean()
        # A scale and a shift are free, but what leaves the range of a map is clipped when the model predicts.
        return loss + _BEYOND * (values.abs() - _RANGE).clamp_min(0).mean()

    def _check(self) -> None:
        error = self._error(self._average)
        if error < min(self._errors):
            self._best = [weight.clone() for weight in self._average]
        self._errors.append(error)

    @torch.no_grad()
    def _error(self, weights: Sequence[torch.Tensor]) -> float:
        """Mean relative error at depth kept aside, with these weights."""
        now = [weight.detach().clone() for weight in self._weights]
        self._use(weights)
        every = max(1, len(self._targets) // _CHECKED_PHOTOS)
        errors = []
        for each in self._targets[::every]:
            batch = self._batch([each])
            if not batch.checked.any():
                continue
            fitted = robust_fit(self._learner.values(batch.image), batch.target, batch.weight)
            relative = (_depth_ratio(fitted, batch.target, self._learner.kind) - 1).abs().clamp(max=_LARGEST_CHECKED)
            errors.append(float(relative[batch.checked].mean()))
        self._use(now)
        return float(np.mean(errors)) if errors else 0.0

    @torch.no_grad()
    def _use(self, weights: Sequence[torch.Tensor]) -> None:
        torch._foreach_copy_(self._weights, list(weights))

    def _state(self) -> dict[str, Any]:
        return {
            "step": self._step,
            "errors": self._errors,
            "weights": [weight.detach() for weight in self._weights],
            "average": self._average,
            "best": self._best,
            "optimizer": self._optimizer.state_dict(),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self._step, self._errors = state["step"], state["errors"]
        self._use(state["weights"])
        self._average, self._best = state["average"], state["best"]
        self._optimizer.load_state_dict(state["optimizer"])
        log.info("resuming the adaptation after step %d of %d", self._step, self.steps)


def steps_for(photos: int) -> int:
    """Steps that so many photos are learnt in."""
    return int(np.clip(STEPS_PER_PHOTO * photos, FEWEST_STEPS, MOST_STEPS))


def _depth_ratio(fitted: torch.Tensor, target: torch.Tensor, kind: DepthKind) -> torch.Tensor:
    """Depth of the map over the known depth."""
    if kind is DepthKind.AFFINE_DISPARITY:
        return target / fitted.clamp_min(1e-12)
    return fitted / target


def _recoloured(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Photos (B, 3, h, w) under other light: a factor per channel, and brightness."""
    count = len(image)
    gain = 1 + 0.2 * np.clip(rng.standard_normal((count, 3, 1, 1)), -1, 1)
    bias = 0.1 * rng.standard_normal((count, 1, 1, 1))
    moved = image * torch.from_numpy(gain).to(image) + torch.from_numpy(bias).to(image)
    return moved.clamp(-1, 1)
