"""The nano model: one step, all tasks from one encoding."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from lotus_recon.errors import ModelError
from lotus_recon.models import tensors
from lotus_recon.models.base import check_rgb, resolve_device, resolve_dtype
from lotus_recon.models.compiling import Compilation
from lotus_recon.models.cpu import lay_out
from lotus_recon.models.lotus.checkpoints import DEPTH_KINDS, METADATA_FILE, Metadata, write_metadata
from lotus_recon.models.lotus.convert import to_depth, to_normals
from lotus_recon.models.nano import files
from lotus_recon.models.nano.network import SIZE_DIVISOR, SKY, NanoNetwork, NanoSize
from lotus_recon.models.nano.sharpening import sharpened
from lotus_recon.types import DepthMap, NormalMap, Prediction

Image = NDArray[np.uint8]

_WIDEST, _MOST_LAYERS = 4096, 1000  # channels of a layer, and layers, that a config.json may ask for
_RANGES = {"attention_layers": (0, _MOST_LAYERS), "sky": (0, 1)}


class NanoModel:
    """A nano checkpoint, ready to run."""

    def __init__(
        self,
        name: str,
        network: NanoNetwork,
        metadata: Metadata,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.name = name
        self.network = network.to(device, dtype).eval()
        lay_out(self.network, device)
        self.metadata = metadata
        self.processing_res = metadata.processing_res
        self.batch_size = 8 if device.type == "cuda" else 1
        self.device, self.dtype = device, dtype
        self.compilation = compilation_of(self)

    @classmethod
    def from_folder(cls, folder: Path, device: str = "auto", dtype: str = "auto") -> NanoModel:
        """Load a checkpoint. Raises ModelError naming the file that is missing or broken."""
        where = resolve_device(device)
        metadata = files.metadata(folder)
        return cls(folder.name, load_network(folder), metadata, where, resolve_dtype(dtype, where))

    @property
    def tasks(self) -> tuple[str, ...]:
        """What it predicts: depth, normal or both."""
        return tuple(self.metadata.tasks)

    def predict(self, rgb: Image, seed: int | None = None, view: str | None = None) -> Prediction:
        """Depth (affine disparity) and normals at the size of ``rgb`` uint8 (H, W, 3). It is deterministic.

        The maps of the mirror image of a photo are the mirror images of its maps. Depth has its edges where the photo
        has them.

        Neither is valid in the sky, where the network has learnt to tell it.

        Raises InputError for a bad image, ModelError when it runs out of memory.
        """
        return self.predict_batch([rgb])[0]

    def predict_batch(
        self, images: Sequence[Image], seed: int | None = None, views: Sequence[str] | None = None
    ) -> list[Prediction]:
        """``predict`` of several images (H, W, 3), batched where their sizes agree."""
        for image in images:
            check_rgb(image)
        results: dict[int, Prediction] = {}
        for indices in tensors.by_size(images):
            edge = self.processing_res or max(images[indices[0]].shape[:2])
            group = [images[i] for i in indices]
            done, self.batch_size = tensors.in_batches(group, self.batch_size, self._predict_compiled, edge)
            results |= dict(zip(indices, done, strict=True))
        return [results[i] for i in range(len(images))]

    def _predict_compiled(self, images: Sequence[Image]) -> list[Prediction]:
        height, width = images[0].shape[:2]
        size = network_size(height, width, self.processing_res)
        return self.compilation.run(images, size, self._predict_equal)

    @torch.inference_mode()
    def _predict_equal(self, images: Sequence[Image]) -> list[Prediction]:
        """Predictions of images of one size."""
        height, width = images[0].shape[:2]
        size = network_size(height, width, self.processing_res)
        photos = tensors.to_tensor(images, self.device)  # B 3 H W
        pixels = tensors.resize(photos, *size)  # B 3 h w
        # The mean of a photo and its mirror image: what the network learnt of one side holds for the other.
        both = self.network(torch.cat([pixels, pixels.flip(3)]).to(self.dtype), self.metadata.tasks)
        maps = {name: _mirrored_mean(name, values) for name, values in both.items()}
        sky = maps.pop(SKY, None)
        raw = {task: map_ / 2 + 0.5 for task, map_ in maps.items()}
        nothing: list[None] = [None] * len(images)
        depth: Sequence[DepthMap | None] = nothing
        normals: Sequence[NormalMap | None] = nothing
        if "depth" in raw:
            mean = raw["depth"].mean(dim=1, keepdim=True)  # before it is cut: training sees the mean, too
            values = sharpened(mean, pixels, photos).clamp(0, 1)
            depth = to_depth(values, DEPTH_KINDS[str(self.metadata.depth_space)])
        if "normal" in raw:
            normals = to_normals(tensors.resize(raw["normal"], height, width))
        if sky is not None:
            ground = (tensors.resize(sky, height, width)[:, 0] <= 0).cpu().numpy()
            depth = [map_ and replace(map_, valid=map_.valid & mask) for map_, mask in zip(depth, ground, strict=True)]
            normals = [n and replace(n, valid=n.valid & mask) for n, mask in zip(normals, ground, strict=True)]
        meta = self._meta(images[0].shape, size)
        return [Prediction(d, n, dict(meta)) for d, n in zip(depth, normals, strict=True)]

    def _meta(self, shape: tuple[int, ...], size: tuple[int, int]) -> dict[str, Any]:
        """Provenance that is stored with a prediction. Sizes are (width, height)."""
        return {
            "model": self.name,
            "image_size": [shape[1], shape[0]],
            "processing_size": [size[1], size[0]],
            "dtype": str(self.dtype).removeprefix("torch."),
        }


def _mirrored_mean(name: str, maps: torch.Tensor) -> torch.Tensor:
    """(B, C, h, w) of photos, from maps (2 B, C, h, w) of them and of their mirror images."""
    maps, mirrored = maps.float().chunk(2)
    mirrored = mirrored.flip(3)
    if name == "normal":  # the first axis, across the photo, points the other way
        mirrored = mirrored * mirrored.new_tensor([-1.0, 1.0, 1.0]).view(1, 3, 1, 1)
    return (maps + mirrored) / 2


def compilation_of(model: NanoModel, mode: str = "off") -> Compilation:
    """``--compile`` for the network of a model: on a CPU it gains nothing by it (0.10 s a photo either way)."""
    return Compilation(mode, [model.network], gain=None)


def network_size(height: int, width: int, longer_edge: int) -> tuple[int, int]:
    """(height, width) of the network input: multiples of ``SIZE_DIVISOR``, nearest to the requested longer edge.

    This stretches the image slightly (by up to a tenth at 256 pixels); padding would be foreign to the network. 0 takes
    the size of the image.
    """
    sides = tensors.processing_size(height, width, longer_edge)
    rounded = [max(1, round(side / SIZE_DIVISOR)) * SIZE_DIVISOR for side in sides]
    return rounded[0], rounded[1]


def load_network(folder: Path) -> NanoNetwork:
    """The network of a checkpoint folder, float32 on the CPU. Raises ModelError naming the file that is broken."""
    config = files.network_config(folder)
    weights = folder / files.WEIGHTS_FILE
    try:
        _check_sizes(config)
        network = NanoNetwork(int(config.pop("code_width")), NanoSize(**config))
    except (KeyError, TypeError, ValueError, RuntimeError, ArithmeticError) as error:  # of sizes that do not fit
        raise ModelError(f"{folder / files.CONFIG_FILE} does not describe a nano network: {error}") from None
    try:
        network.load_state_dict(load_file(weights))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ModelError(f"{weights} cannot be loaded (truncated, or of another network?): {error}") from None
    return network


def _check_sizes(config: Mapping[str, Any]) -> None:
    """Raise ValueError for widths and counts that no network has: to build it would take minutes, or all memory."""
    for name, value in config.items():
        sizes = value if isinstance(value, list) else [value]
        least, most = _RANGES.get(name, (1, _WIDEST))
        if len(sizes) > _MOST_LAYERS or not all(isinstance(size, int) and least <= size <= most for size in sizes):
            raise ValueError(f"{name} must be {least} to {most}")


def save_network(network: NanoNetwork, metadata: Metadata, folder: Path) -> None:
    """Write config.json, model.safetensors (half precision) and lotus.json into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: _halved(value).contiguous().cpu() for name, value in network.state_dict().items()}
    save_file(weights, folder / files.WEIGHTS_FILE)
    config = {"_class_name": files.CLASS_NAME, "code_width": network.switcher_size, **vars(network.size)}
    (folder / files.CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n")
    write_metadata(metadata, folder / METADATA_FILE)


def _halved(value: torch.Tensor) -> torch.Tensor:
    return value.detach().half() if value.is_floating_point() else value
