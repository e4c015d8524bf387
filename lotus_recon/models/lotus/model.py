"""Lotus models: one checkpoint, or one for depth and one for normals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from lotus_recon.errors import InputError
from lotus_recon.models import tensors
from lotus_recon.models.base import DEFAULT_SEED, check_rgb, resolve_device, resolve_dtype
from lotus_recon.models.compiling import Compilation, Gain
from lotus_recon.models.lotus.checkpoints import DEPTH_KINDS, Metadata, check_depth_space
from lotus_recon.models.lotus.convert import to_depth, to_normals
from lotus_recon.models.lotus.files import fetch
from lotus_recon.models.lotus.parts import Parts, load_parts, same_vae
from lotus_recon.models.lotus.resolving import Checkpoint, checkpoint_of
from lotus_recon.models.lotus.single_step import Job, run_jobs
from lotus_recon.types import DepthMap, NormalMap, Prediction

Image = NDArray[np.uint8]

# Full size, 576x768 pixels, float16, batches of 1 to 8 on an H100: 28 to 33 ms a photo instead of
# 52 to 90, and 113 s for the first one.
_CUDA_GAIN = Gain(saved_share=0.45, seconds=113.0)


class LotusModel:
    """One checkpoint, ready to run. ``parts`` holds its networks, noise schedule and empty-prompt embeddings."""

    def __init__(self, name: str, parts: Parts, metadata: Metadata, processing_res: int | None = None) -> None:
        self.name = name
        self.parts = parts
        self.metadata = metadata
        self.processing_res = metadata.processing_res if processing_res is None else processing_res
        self.batch_size = default_batch_size(parts)
        self.compilation = compilation_of([self])

    @classmethod
    def from_pretrained(
        cls,
        folder_or_hub_id: str | Path,
        task: str | None = None,
        depth_space: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        revision: str | None = None,
    ) -> LotusModel:
        """Load a checkpoint folder, a Hub id or a released short name.

        task (depth | normal) is needed when there is no lotus.json and the name is unknown; depth_space (disparity |
        depth) then too, for ``predict`` but not for ``raw``. Raises InputError for options that are missing or
        contradict what is known, ModelError when files are missing or broken.
        """
        return cls.from_checkpoint(checkpoint_of(str(folder_or_hub_id), task, depth_space, revision), device, dtype)

    @classmethod
    def from_checkpoint(
        cls, checkpoint: Checkpoint, device: str, dtype: str, processing_res: int | None = None
    ) -> LotusModel:
        """Load a checkpoint whose metadata are known; processing_res None keeps its default."""
        where = resolve_device(device)
        number_format = resolve_dtype(dtype, where)
        folder = fetch(checkpoint.source, checkpoint.revision)
        return cls(
            checkpoint.name,
            load_parts(folder, checkpoint.metadata, where, number_format),
            checkpoint.metadata,
            processing_res,
        )

    @property
    def tasks(self) -> tuple[str, ...]:
        """What the checkpoint predicts: depth, normal or both."""
        return tuple(self.metadata.tasks)

    @property
    def mode(self) -> str:
        """G (generative: takes noise) or D (discriminative)."""
        return self.parts.mode

    def raw(
        self,
        rgb: Image,
        task: str | None = None,
        processing_res: int | None = None,
        noise: torch.Tensor | ArrayLike | None = None,
        seed: int | None = None,
        resize_back: bool = True,
    ) -> NDArray[np.float32]:
        """The decoded map (h, w, 3) float32 in [0, 1] of one uint8 image (H, W, 3), without conversion.

        task: needed when the checkpoint has several. processing_res: longer edge in pixels, 0 = as is, None = default.
        noise: (1, 4, h/8, w/8) of the padded size, instead of what ``seed`` (None = 0) draws; discriminative
        checkpoints use neither. resize_back=False returns the processing size with the padding cropped.
        Raises InputError for a bad image, task or noise, ModelError when one image is too much for the memory.
        """
        check_rgb(rgb)
        job = self.job(self._single_task(task), processing_res)
        given = None if noise is None else torch.as_tensor(noise, dtype=torch.float32)

        def run(images: Sequence[Image]) -> list[NDArray[np.float32]]:
            mapped = run_jobs([job], images, _seed(seed), given, resize_back)[0]
            return [mapped[0].permute(1, 2, 0).contiguous().cpu().numpy()]

        return tensors.in_batches([rgb], 1, run, job.longer_edge or max(rgb.shape[:2]))[0][0]

    def job(self, task: str, processing_res: int | None = None) -> Job:
        """The settings with which ``task`` is computed."""
        edge = self.processing_res if processing_res is None else processing_res
        if edge < 0:
            raise InputError(f"processing_res {edge}: must be 0 (as is) or more pixels")
        return Job(self.parts, self.metadata, task, edge)

    def _single_task(self, task: str | None) -> str:
        if task is None and len(self.tasks) > 1:
            raise InputError(f"{self.name} predicts {' and '.join(self.tasks)}: choose one with task=")
        task = task or self.tasks[0]
        if task not in self.tasks:
            raise InputError(f"task {task!r}: {self.name} predicts {' and '.join(self.tasks)} only")
        return task

    def predict(self, rgb: Image, seed: int | None = None, view: str | None = None) -> Prediction:
        """Depth (of the checkpoint's own kind), normals or both, at the size of ``rgb`` uint8 (H, W, 3).

        Raises InputError for a bad image or an unspecified depth space, ModelError when it runs out of memory.
        """
        return self.predict_batch([rgb], seed)[0]

    def predict_batch(
        self, images: Sequence[Image], seed: int | None = None, views: Sequence[str] | None = None
    ) -> list[Prediction]:
        """``predict`` of several images (H, W, 3), batched where their sizes agree."""
        predictions, self.batch_size = _predict_together(self, [self], images, _seed(seed))
        return predictions

    def predict_seeds(self, rgb: Image, seeds: Sequence[int]) -> list[Prediction]:
        """``predict`` of an image (H, W, 3) with each of several seeds; those of a batch share its encoding."""
        predictions, self.batch_size = _with_seeds(self, [self], rgb, seeds)
        return predictions


class LotusPair:
    """A depth and a normal checkpoint as one model; one encoding serves both when their VAEs are the same."""

    def __init__(self, name: str, depth: LotusModel, normal: LotusModel) -> None:
        self.name = name
        self.tasks: tuple[str, ...] = ("depth", "normal")
        self.depth = depth
        self.normal = normal
        self.batch_size = depth.batch_size
        if same_vae(depth.parts, normal.parts):
            normal.parts = replace(normal.parts, vae=depth.parts.vae)  # the second copy is freed
        self.compilation = compilation_of([depth, normal])

    def predict(self, rgb: Image, seed: int | None = None, view: str | None = None) -> Prediction:
        """Depth and normals at the size of ``rgb`` uint8 (H, W, 3); see ``LotusModel.predict``."""
        return self.predict_batch([rgb], seed)[0]

    def predict_batch(
        self, images: Sequence[Image], seed: int | None = None, views: Sequence[str] | None = None
    ) -> list[Prediction]:
        """``predict`` of several images (H, W, 3), batched where their sizes agree."""
        models = [self.depth, self.normal]
        predictions, self.batch_size = _predict_together(self, models, images, _seed(seed))
        return predictions

    def predict_seeds(self, rgb: Image, seeds: Sequence[int]) -> list[Prediction]:
        """``predict`` of an image (H, W, 3) with each of several seeds; those of a batch share its encoding."""
        predictions, self.batch_size = _with_seeds(self, [self.depth, self.normal], rgb, seeds)
        return predictions


def default_batch_size(parts: Parts) -> int:
    """Images per network call: one image saturates a CPU, but not a GPU."""
    return 4 if parts.device.type == "cuda" else 1


def compilation_of(models: Sequence[LotusModel], mode: str = "off") -> Compilation:
    """``--compile`` for the networks of one model or a pair."""
    networks = [n for m in models for n in (m.parts.unet, m.parts.vae.encoder, m.parts.vae.decoder)]
    on_cuda = models[0].parts.device.type == "cuda"
    return Compilation(mode, networks, _CUDA_GAIN if on_cuda else None)


def _seed(seed: int | None) -> int:
    return DEFAULT_SEED if seed is None else seed


def _predict_together(
    whole: LotusModel | LotusPair, models: Sequence[LotusModel], images: Sequence[Image], seed: int
) -> tuple[list[Prediction], int]:
    """Predictions of all models for every image, and the batch size that fits the memory."""
    for image in images:
        check_rgb(image)
    jobs = _jobs(models)

    def run(batch: Sequence[Image]) -> list[Prediction]:
        raw = run_jobs([job for _, _, job in jobs], batch, seed)
        return _as_predictions(whole.name, jobs, raw, batch[0].shape, [seed] * len(batch))

    def compiled(batch: Sequence[Image]) -> list[Prediction]:
        return whole.compilation.run(batch, jobs[0][2].padded_size(*batch[0].shape[:2]), run)

    results: list[Prediction | None] = [None] * len(images)
    batch_size = whole.batch_size
    for indices in tensors.by_size(images):
        edge = max(job.longer_edge or max(images[indices[0]].shape[:2]) for _, _, job in jobs)
        done, batch_size = tensors.in_batches([images[i] for i in indices], batch_size, compiled, edge)
        for i, prediction in zip(indices, done, strict=True):
            results[i] = prediction
    return [prediction for prediction in results if prediction is not None], batch_size


def _with_seeds(
    whole: LotusModel | LotusPair, models: Sequence[LotusModel], image: Image, seeds: Sequence[int]
) -> tuple[list[Prediction], int]:
    """Predictions of all models for an image from the noise of every seed, and the batch size that fits the memory."""
    check_rgb(image)
    jobs = _jobs(models)

    def run(batch: Sequence[int]) -> list[Prediction]:
        raw = run_jobs([job for _, _, job in jobs], [image], batch[0], more_seeds=batch[1:])
        return _as_predictions(whole.name, jobs, raw, image.shape, batch)

    edge = max(job.longer_edge or max(image.shape[:2]) for _, _, job in jobs)
    return tensors.in_batches(seeds, whole.batch_size, run, edge)


def _jobs(models: Sequence[LotusModel]) -> list[tuple[LotusModel, str, Job]]:
    """What to predict with each model. Raises InputError for a depth space that is not known."""
    for model in models:
        check_depth_space(model.name, model.metadata)
    return [(model, task, model.job(task)) for model in models for task in model.tasks]


def _as_predictions(
    name: str,
    jobs: Sequence[tuple[LotusModel, str, Job]],
    raw: Sequence[torch.Tensor],
    shape: tuple[int, ...],
    seeds: Sequence[int],
) -> list[Prediction]:
    """From one tensor (B, 3, H, W) for each job; ``seeds`` (B) of their noise."""
    depth: list[DepthMap | None] = [None] * len(seeds)
    normals: list[NormalMap | None] = [None] * len(seeds)
    for (model, task, _), mapped in zip(jobs, raw, strict=True):
        if task == "depth":
            depth = [*to_depth(mapped, DEPTH_KINDS[str(model.metadata.depth_space)])]
        else:
            normals = [*to_normals(mapped)]
    return [Prediction(d, n, _meta(name, jobs, shape, s)) for d, n, s in zip(depth, normals, seeds, strict=True)]


def _meta(name: str, jobs: Sequence[tuple[LotusModel, str, Job]], shape: tuple[int, ...], seed: int) -> dict[str, Any]:
    """Provenance that is stored with a prediction. Sizes are (width, height)."""
    height, width = shape[:2]
    sizes = {task: tensors.processing_size(height, width, job.longer_edge)[::-1] for _, task, job in jobs}
    return {
        "model": name,
        "checkpoints": {task: model.name for model, task, _ in jobs},
        "mode": {task: model.mode for model, task, _ in jobs},
        "seed": seed,
        "image_size": [width, height],
        "processing_size": {task: list(size) for task, size in sizes.items()},
        "dtype": str(jobs[0][0].parts.dtype).removeprefix("torch."),
        **_formulations(jobs),
    }


def _formulations(jobs: Sequence[tuple[LotusModel, str, Job]]) -> dict[str, Any]:
    """What the U-Net's output is, and in how many steps it leads to the map: per task, where it is not Lotus's own."""
    others = {
        task: {"prediction_type": model.metadata.prediction_type, "inference_steps": model.metadata.inference_steps}
        for model, task, _ in jobs
        if model.metadata.needs_noise
    }
    return {"formulation": others} if others else {}
