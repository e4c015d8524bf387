"""Average two checkpoints of nano: python scripts/average_nano.py A B RECIPE.yaml OUT

The mean of the weights of a network and of what it became in further training keeps much of what both know (Wortsman
et al., CVPR 2022). The head that tells the sky, which only one of them may have, is then fitted to the mean, by the
data of a recipe; all else stays.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, pixel_shuffle

from lotus_recon.config import load_config
from lotus_recon.models.nano import files
from lotus_recon.models.nano.model import load_network, save_network
from lotus_recon.models.nano.network import NanoNetwork
from lotus_recon.training.config import TrainConfig
from lotus_recon.training.data import Batches
from lotus_recon.training.task_module import Batch

STEPS, PHOTOS, RATE = 300, 8, 5e-3


def main(first: Path, second: Path, recipe: Path, out: Path) -> None:
    """``second`` has a head for the sky."""
    network, metadata = load_network(second), files.metadata(second)
    other = load_network(first).state_dict()
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name in other and value.is_floating_point():
                value.copy_((value + other[name]) / 2)
    fit_sky(network.eval().requires_grad_(False), metadata.tasks["depth"], load_config(TrainConfig, recipe))
    save_network(network, metadata, out)


def fit_sky(network: NanoNetwork, switcher: tuple[float, ...], config: TrainConfig) -> None:
    """Train the head for the sky alone."""
    assert network.sky is not None
    seen: list[torch.Tensor] = []
    hook = network.sky.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    optimizer = torch.optim.Adam(network.sky.requires_grad_(True).parameters(), lr=RATE)
    batches = Batches(config.data, config.objective, config.seed, PHOTOS)
    for (batch,) in batches.run(0, STEPS):
        seen.clear()
        with torch.no_grad():
            network(batch.image, {"depth": switcher})
        logits = pixel_shuffle(network.sky(seen[0]), 2)[:, 0].float()
        loss = sky_loss(logits, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    hook.remove()


def sky_loss(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Mean cross entropy over the pixels that are known to be sky or not."""
    known = batch.valid["depth"][:, 0]
    assert batch.depth is not None
    is_sky = known & ~(batch.depth[:, 0] > 0)
    return binary_cross_entropy_with_logits(logits[known], is_sky[known].float())


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
