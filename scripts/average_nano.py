"""Average two checkpoints of nano: python scripts/average_nano.py A B RECIPE.yaml OUT

The mean of the weights of a network and of what it became in further training keeps much of what both know (Wortsman
et al., CVPR 2022). The head that tells the sky, where only B has it, is then fitted to the mean, by the data of
a recipe; all else stays.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from lotus_recon.config import load_config
from lotus_recon.models.nano import files
from lotus_recon.models.nano.model import load_network, save_network
from lotus_recon.models.nano.network import SKY, NanoNetwork
from lotus_recon.training.config import TrainConfig
from lotus_recon.training.data import Batches
from lotus_recon.training.nano_module import sky_loss

STEPS, PHOTOS, RATE = 300, 8, 5e-3


def main(first: Path, second: Path, recipe: Path, out: Path) -> None:
    """``second`` has a head for the sky."""
    network, metadata = load_network(second), files.metadata(second)
    other = load_network(first).state_dict()
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name in other and value.is_floating_point():
                value.copy_((value + other[name]) / 2)
    if not other.keys() >= network.state_dict().keys():
        fit_sky(network.eval().requires_grad_(False), metadata.tasks["depth"], load_config(TrainConfig, recipe))
    save_network(network, metadata, out)


def fit_sky(network: NanoNetwork, switcher: tuple[float, ...], config: TrainConfig) -> None:
    """Train the head for the sky alone."""
    assert network.sky is not None
    optimizer = torch.optim.Adam(network.sky.requires_grad_(True).parameters(), lr=RATE)
    for (batch,) in Batches(config.data, config.objective, config.seed, PHOTOS).run(0, STEPS):
        logits = network(batch.image, {"depth": switcher})[SKY][:, 0].float()
        loss = sky_loss(logits, batch) / batch.valid["depth"].sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
