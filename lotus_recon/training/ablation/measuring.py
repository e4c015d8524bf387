"""What a trained network is worth, by steps at inference, and how much its answer depends on the noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lotus_recon.datasets.rooms import RoomsSet
from lotus_recon.datasets.samples import Sample
from lotus_recon.evaluation.metrics import aligned_depth, depth_errors
from lotus_recon.io.images import resize_rgb
from lotus_recon.models.lotus.model import LotusModel
from lotus_recon.training.ablation.config import AblationConfig, Variant
from lotus_recon.training.ablation.vae import training_data
from lotus_recon.training.config import ObjectiveConfig
from lotus_recon.training.data import Batches
from lotus_recon.training.targets import depth_annotation
from lotus_recon.types import DepthKind, DepthMap

_MAX_DEPTH_M = 10.0  # no room is deeper
_AVERAGED = 20  # steps of training whose targets are averaged for the map that looks at no photo


@dataclass(frozen=True)
class Score:
    """Of one network at one number of steps."""

    abs_rel: float  # mean over photos and noises, after the best scale and shift in disparity
    spread: float  # standard deviation over noises of the aligned depth, relative to it; mean over pixels and photos


def steps_of(config: AblationConfig, variant: Variant) -> list[int]:
    """Steps at inference that make sense for a variant."""
    return list(config.inference_steps) if variant.timesteps == "uniform" else [1]


def validation_photos(config: AblationConfig) -> list[Sample]:
    """Of rooms that no network learns from, evenly spaced, at the size of training."""
    rooms = RoomsSet(config.rooms, "val")
    indices = np.linspace(0, len(rooms) - 1, min(config.photos, len(rooms))).round().astype(int)
    return [_resized(rooms.load(int(index)), config.width, config.height) for index in indices]


def load(folder: Path, steps: int) -> LotusModel:
    """A trained network that takes so many steps."""
    model = LotusModel.from_pretrained(folder, device="cpu", dtype="float32")
    return LotusModel(folder.parent.name, model.parts, replace(model.metadata, inference_steps=steps), 0)


def blind_error(config: AblationConfig, photos: Sequence[Sample]) -> float:
    """AbsRel of the map that looks at no photo: the mean of those that the networks learn."""
    batches = Batches(training_data(config), ObjectiveConfig(tasks=["depth"]), config.seed, config.batch)
    mean = torch.cat([batch.annotation["depth"] for (batch,) in batches.run(0, _AVERAGED)]).mean(dim=(0, 1)).numpy()
    return _mean_error([mean] * len(photos), photos)


def coding_error(vae: Any, photos: Sequence[Sample]) -> float:
    """AbsRel of the true map through the VAE: what no network that predicts its latents gets below."""
    decoded = []
    for photo in photos:
        assert photo.depth is not None
        assert photo.depth_valid is not None
        annotation, _ = depth_annotation(photo.depth, photo.depth_valid, photo.sky, "trunc_disparity")
        image = torch.from_numpy(annotation).expand(1, 3, -1, -1)
        with torch.no_grad():
            decoded.append(vae.decode(vae.encode(image).latent_dist.mode()).sample[0].mean(dim=0).numpy())
    return _mean_error(decoded, photos)


def _mean_error(maps: Sequence[NDArray[np.float32]], photos: Sequence[Sample]) -> float:
    """Mean AbsRel of annotations (H, W) in [-1, 1]: disparity, of which none is negative, as a model gives it."""
    every = np.ones(maps[0].shape, bool)
    depths = [DepthMap(np.clip(values / 2 + 0.5, 0, 1), every, DepthKind.AFFINE_DISPARITY) for values in maps]
    return float(
        np.mean(
            [
                depth_errors(_aligned(depth, photo), _known(photo)[1])["abs_rel"]
                for depth, photo in zip(depths, photos, strict=True)
            ]
        )
    )


def score(model: LotusModel, photos: Sequence[Sample], noises: int) -> Score:
    """Of all photos, each from ``noises`` seeds (one where the network takes none)."""
    seeds = range(noises if model.mode == "G" else 1)
    errors, spreads = [], []
    for photo in photos:
        depths = np.stack([_aligned(predict(model, photo, seed), photo) for seed in seeds])  # (S, N)
        _, truth = _known(photo)
        errors += [depth_errors(depth, truth)["abs_rel"] for depth in depths]
        spreads.append(float((depths.std(axis=0) / depths.mean(axis=0)).mean()))
    return Score(float(np.mean(errors)), float(np.mean(spreads)))


def predict(model: LotusModel, photo: Sample, seed: int) -> DepthMap:
    """Affine disparity (H, W)."""
    depth = model.predict(photo.rgb, seed).depth
    assert depth is not None
    return depth


def _known(photo: Sample) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    assert photo.depth is not None
    assert photo.depth_valid is not None
    valid = photo.depth_valid & (photo.depth <= _MAX_DEPTH_M)
    return valid, photo.depth[valid].astype(np.float64)


def _aligned(depth: DepthMap, photo: Sample) -> NDArray[np.float64]:
    """(N,) metres at the known pixels."""
    valid, _ = _known(photo)
    assert photo.depth is not None
    aligned = aligned_depth(depth.values, photo.depth, valid, "affine_disparity", max_depth=_MAX_DEPTH_M)
    return aligned[valid]


def _resized(sample: Sample, width: int, height: int) -> Sample:
    """Pixels of depth are chosen, not mixed."""
    assert sample.depth is not None
    assert sample.depth_valid is not None
    rows, cols = (
        ((np.arange(size) + 0.5) * full / size).astype(int)
        for size, full in ((height, sample.rgb.shape[0]), (width, sample.rgb.shape[1]))
    )
    depth, valid = (values[rows][:, cols] for values in (sample.depth, sample.depth_valid))
    return Sample(sample.name, resize_rgb(sample.rgb, width, height), depth, valid, None, None, None)
