"""Several predictions of one photo: their median, and how far they lie apart.

A network that takes noise is asked with several seeds; another one sees the photo cut, and mirrored. Every member has a
scale and a shift of its own, which are removed first, as in Marigold's ensembles (Ke et al., CVPR 2024, section 3.4),
but by robust least squares and against the running median, so that the result keeps the gauge of the first member.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from lotus_recon.models.base import DEFAULT_SEED, Model, ModelInfo, check_rgb
from lotus_recon.models.gauge import robust_line
from lotus_recon.types import BoolArray, DepthMap, NormalMap, Prediction

_CROP = 0.875  # of both sides, for members that see a part of the photo
_CORNERS = ((0.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0), (0.5, 0.5))  # where that part lies, across and down
_FITTED_PX = 40_000  # pixels that scale and shift are fitted to, at most

Window = tuple[slice, slice]


@runtime_checkable
class TakesSeeds(Protocol):
    """A model that makes several predictions from one encoding."""

    def predict_seeds(self, rgb: NDArray[np.uint8], seeds: Sequence[int]) -> list[Prediction]:
        """The prediction of an image (H, W, 3) with each of the seeds."""
        ...


class EnsembleModel:
    """A model that is asked several times."""

    def __init__(self, model: Model, members: int, info: ModelInfo) -> None:
        self.name, self.tasks = model.name, model.tasks
        self.batch_size = 1  # of photos: their members are batches enough
        self._model, self._members, self._info = model, members, info

    def predict(self, rgb: NDArray[np.uint8], seed: int | None = None, view: str | None = None) -> Prediction:
        """Maps of an image (H, W, 3): the median of the members, and their spread."""
        check_rgb(rgb)
        vary = self._with_seeds if self._info.takes_noise else self._with_variations
        return combined(list(vary(rgb, seed, view)))

    def predict_batch(
        self, images: Sequence[NDArray[np.uint8]], seed: int | None = None, views: Sequence[str] | None = None
    ) -> list[Prediction]:
        """``predict`` of several images (H, W, 3)."""
        names: Sequence[str | None] = views or [None] * len(images)
        return [self.predict(rgb, seed, name) for rgb, name in zip(images, names, strict=True)]

    def _with_seeds(
        self, rgb: NDArray[np.uint8], seed: int | None, view: str | None
    ) -> Iterator[tuple[Prediction, Window]]:
        first = DEFAULT_SEED if seed is None else seed
        seeds = range(first, first + self._members)
        if isinstance(self._model, TakesSeeds):
            predictions = self._model.predict_seeds(rgb, seeds)
        else:
            predictions = [self._model.predict(rgb, each, view) for each in seeds]
        for prediction in predictions:
            yield prediction, np.s_[:, :]

    def _with_variations(
        self, rgb: NDArray[np.uint8], seed: int | None, view: str | None
    ) -> Iterator[tuple[Prediction, Window]]:
        """The photo, then parts of it, each of them mirrored too where that makes a difference."""
        for member in range(self._members):
            number, is_mirrored = (member, False) if self._info.is_symmetric else divmod(member, 2)
            window = _window(rgb.shape[0], rgb.shape[1], number)
            part = rgb[window]
            if is_mirrored:
                part = part[:, ::-1]
            prediction = self._model.predict(np.ascontiguousarray(part), seed, view)
            yield _mirrored(prediction) if is_mirrored else prediction, window


def _window(height: int, width: int, number: int) -> Window:
    """Rows and columns that members see: first all, then parts."""
    if number == 0:
        return np.s_[:, :]
    across, down = _CORNERS[number - 1]
    h, w = max(1, round(_CROP * height)), max(1, round(_CROP * width))
    top, left = round(down * (height - h)), round(across * (width - w))
    return slice(top, top + h), slice(left, left + w)


def _mirrored(prediction: Prediction) -> Prediction:
    """The maps of a photo, from those of its mirror image."""
    depth, normals = prediction.depth, prediction.normals
    if depth is not None:
        depth = DepthMap(depth.values[:, ::-1], depth.valid[:, ::-1], depth.kind)
    if normals is not None:
        values = normals.values[:, ::-1] * np.array([-1, 1, 1], np.float32)
        normals = NormalMap(values, normals.valid[:, ::-1])
    return replace(prediction, depth=depth, normals=normals)


def combined(members: Sequence[tuple[Prediction, Window]]) -> Prediction:
    """Median and spread of predictions of one photo, each with the rows and columns it covers; the first covers all.

    Depth (affine) of every member is fitted to the median of those before it; normals are taken as they are. A pixel is
    valid where it is in the first member.
    """
    first = members[0][0]
    depth, normals = first.depth, first.normals
    depth_sigma = normals_sigma_deg = None
    if depth is not None:
        maps = [(each.depth, window) for each, window in members if each.depth is not None]
        median, depth_sigma = _median_depth(maps)
        depth = replace(depth, values=median)
    if normals is not None:
        directions = [(each.normals, window) for each, window in members if each.normals is not None]
        mean, normals_sigma_deg = _mean_direction(directions)
        normals = replace(normals, values=np.where(normals.valid[..., None], mean, normals.values))
    meta = {**first.meta, "ensemble": len(members)}
    return Prediction(depth, normals, meta, depth_sigma, normals_sigma_deg)


def _median_depth(maps: Sequence[tuple[DepthMap, Window]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(H, W) the median, and the standard deviation of the members that know a pixel, about their mean."""
    first = maps[0][0]
    stack = np.full((len(maps), *first.shape), np.nan, np.float32)
    stack[0] = first.values
    median = first.values
    for i, (depth, window) in enumerate(maps[1:], 1):
        known = depth.valid & first.valid[window]
        stack[i][window] = np.where(known, _in_gauge(depth, median[window], known), np.nan)
        median = np.nanmedian(stack[: i + 1], axis=0)
    return median, np.nan_to_num(np.nanstd(stack, axis=0))


def _in_gauge(depth: DepthMap, reference: NDArray[np.float32], known: BoolArray) -> NDArray[np.float32]:
    """The values of a member with the scale and shift of the reference (H, W)."""
    if not known.any():
        return depth.values
    step = max(1, int(known.sum()) // _FITTED_PX)
    scale, shift = robust_line(depth.values[known][::step].astype(float), reference[known][::step].astype(float))
    return np.asarray(scale * depth.values + shift, np.float32)


def _mean_direction(maps: Sequence[tuple[NormalMap, Window]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(H, W, 3) the mean direction; (H, W) degrees, the root mean square angle to it.

    Spread from the length of the mean vector, for small angles (Mardia and Jupp, Directional Statistics, section 9.2).
    """
    total = np.zeros((*maps[0][0].shape, 3), np.float32)
    count = np.zeros(maps[0][0].shape, np.float32)
    for normals, window in maps:
        total[window] += np.where(normals.valid[..., None], normals.values, 0)
        count[window] += normals.valid
    length = np.linalg.norm(total, axis=-1)
    mean = total / np.maximum(length, 1e-6)[..., None]
    resultant = np.minimum(length / np.maximum(count, 1), 1)
    return mean, np.degrees(np.sqrt(2 * (1 - resultant)), dtype=np.float32) * (count > 0)
