"""Sharp maps of large photos without training: tiles at the network's size, merged with the map of the whole photo.

The whole photo says where things are, tiles how their edges run. Level by level the tiles are half as large; those of a
level are fitted to the map of the level before, and their gradients are merged with it by a screened Poisson equation
(Bhat et al., "Fourier analysis of the 2D screened Poisson equation", ECCV 2008), which the discrete cosine transform
solves exactly. The idea of merging predictions at several sizes is that of Miangoleh et al., CVPR 2021.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import cv2
import numpy as np
import scipy.fft
from numpy.typing import NDArray

from lotus_recon.io.images import resize_rgb
from lotus_recon.models.base import Model, check_rgb
from lotus_recon.models.gauge import robust_line
from lotus_recon.models.nano.sharpening import sharpened_at
from lotus_recon.types import DepthMap, NormalMap, Prediction

_OVERLAP = 1 / 3  # of neighbouring tiles, at least
_KEPT_BAND = 16.0  # wavelengths above so many pixels of the level before stay as they were there
_LEAST_CORRELATION = 0.5  # of a tile with the level before: below it shows something else, or nothing
_TURNED_DEG = 10.0  # between the normals of a tile and those before, at which its weight has fallen to 1 / e
# Times the size of the network to which a photo is reduced at first: the network reduces the rest of the way itself, as
# it does with any photo. Reduced all the way, its answer is another one: long waves move by up to 1 % of the range.
_KEPT_LARGE = 4
_FADE = 0.25  # of a tile's side over which its weight falls to the border
_FIELD_SHARE = 16.0  # of a tile's side: the standard deviation of the field that ties it to the level before
_FINEST = 8  # times the resolution of the network: beyond it, tiles show too little to go by
_LEAST_TEXTURE = 1.0  # grey levels: standard deviation of the Laplacian


class TiledModel:
    """A model that predicts every photo whole, and then in ever smaller tiles."""

    def __init__(self, model: Model, edge: int, tiles: str, sharpens: bool = False) -> None:
        """edge: longer side in pixels at which the network works. tiles: auto, or the longer side of a tile.

        sharpens: whether the model puts edges of disparity where the photo has them; then that of merged tiles has its
        edges there, too.
        """
        self.name, self.tasks = model.name, model.tasks
        self.batch_size = 1  # of photos: their tiles are batches enough
        self._model, self._edge, self._tiles, self._sharpens = model, edge, tiles, sharpens

    def predict(self, rgb: NDArray[np.uint8], seed: int | None = None, view: str | None = None) -> Prediction:
        """Maps of an image (H, W, 3) at its size; where that is smaller than a tile, those of the whole photo.

        ``check_tile_fits`` says so before: undistorted photos are a pixel or two smaller than those that were given.
        """
        check_rgb(rgb)
        height, width = rgb.shape[:2]
        sizes = level_sizes(width, height, self._edge, _smallest_tile(self._tiles, self._edge, max(width, height)))
        if len(sizes) == 1:
            return self._model.predict(rgb, seed, view)
        shrink = min(1.0, _KEPT_LARGE * self._edge / max(width, height))
        merged = self._model.predict(resize_rgb(rgb, round(shrink * width), round(shrink * height)), seed)
        for before, size in pairwise(sizes):
            merging = _Merging(enlarged(merged, *size), size[0] / before[0])
            for tile in tiles_of(*size, *sizes[0]):
                part = _part(rgb, tile, size)
                if _has_texture(part):
                    merging.add(tile, self._model.predict(part, seed))
            merged = merging.result()
        merged.meta.update(image_size=[width, height], tiled_size=list(sizes[-1]))
        sharp = None
        if self._sharpens and merged.depth is not None:
            sharp = sharpened_at(merged.depth.values, rgb)
        return enlarged(merged, width, height, sharp)

    def predict_batch(
        self, images: Sequence[NDArray[np.uint8]], seed: int | None = None, views: Sequence[str] | None = None
    ) -> list[Prediction]:
        """``predict`` of several images (H, W, 3)."""
        names: Sequence[str | None] = views or [None] * len(images)
        return [self.predict(rgb, seed, name) for rgb, name in zip(images, names, strict=True)]


@dataclass(frozen=True)
class Tile:
    """A part of a map: columns ``left`` to ``right``, rows ``top`` to ``bottom`` (exclusive)."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns, to index a map with."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


def network_calls(tiles: str, edge: int, width: int, height: int) -> int:
    """How often the network is called for a photo, at most: parts without texture are left out."""
    if tiles == "off":
        return 1
    sizes = level_sizes(width, height, edge, _smallest_tile(tiles, edge, max(width, height)))
    return 1 + sum(len(tiles_of(*size, *sizes[0])) for size in sizes[1:])


def _smallest_tile(tiles: str, edge: int, longer: int) -> int:
    """Longer side, in pixels of a photo whose ``longer`` side is given."""
    return max(edge, math.ceil(longer / _FINEST)) if tiles == "auto" else int(tiles)


def level_sizes(width: int, height: int, edge: int, smallest_tile: int) -> list[tuple[int, int]]:
    """(width, height) of the maps of all levels: the first has ``edge`` as its longer side, each next one twice that.

    ``smallest_tile``: longer side in pixels of the photo of the tiles of the last level.
    """
    longer = max(width, height)
    first = min(edge, longer)
    last = min(longer, max(first, round(edge * longer / smallest_tile)))
    doublings = math.ceil(math.log2(last / first) - 0.01)
    edges = [first * (last / first) ** (i / max(doublings, 1)) for i in range(doublings + 1)]
    return [(max(1, round(width * each / longer)), max(1, round(height * each / longer))) for each in edges]


def tiles_of(width: int, height: int, tile_width: int, tile_height: int) -> list[Tile]:
    """Tiles of one size that cover a map, each overlapping its neighbours by a third or more."""
    columns, rows = _starts(width, tile_width), _starts(height, tile_height)
    return [Tile(x, y, min(x + tile_width, width), min(y + tile_height, height)) for y in rows for x in columns]


def _starts(length: int, tile: int) -> list[int]:
    if tile >= length:
        return [0]
    count = math.ceil((length - tile) / (tile * (1 - _OVERLAP))) + 1
    return [round(i * (length - tile) / (count - 1)) for i in range(count)]


def _part(rgb: NDArray[np.uint8], tile: Tile, size: tuple[int, int]) -> NDArray[np.uint8]:
    """What a tile of the map of ``size`` (width, height) shows, at the tile's size."""
    height, width = rgb.shape[:2]
    x, y = width / size[0], height / size[1]
    rows = slice(round(tile.top * y), max(round(tile.bottom * y), round(tile.top * y) + 1))
    columns = slice(round(tile.left * x), max(round(tile.right * x), round(tile.left * x) + 1))
    return resize_rgb(rgb[rows, columns], tile.right - tile.left, tile.bottom - tile.top)


def _has_texture(rgb: NDArray[np.uint8]) -> bool:
    """Whether a part of a photo shows anything that the network could go by."""
    return float(cv2.Laplacian(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.CV_32F).std()) > _LEAST_TEXTURE


class _Merging:
    """Tiles of one level as they come in. Where they leave room, the level before shows through."""

    def __init__(self, reference: Prediction, enlargement: float) -> None:
        """reference: maps of the level before, enlarged so many times."""
        self.reference, self.enlargement = reference, enlargement
        shape = reference.shape
        self.weight, self.known, self.slope_x, self.slope_y, self.normals_weight = np.zeros((5, *shape), np.float32)
        self.normals = np.zeros((*shape, 3), np.float32)

    def add(self, tile: Tile, predicted: Prediction) -> None:
        """Take a tile in, unless it contradicts the level before."""
        weight = _weights(tile, *self.reference.shape)
        depth, normals = predicted.depth, predicted.normals
        if depth is not None:
            assert self.reference.depth is not None  # of the same model
            fitted, correlation = _fitted(depth, self.reference.depth, tile)
            if correlation < _LEAST_CORRELATION:
                return
            x, y = _slopes(fitted.values)
            self.slope_x[tile.window] += weight * x
            self.slope_y[tile.window] += weight * y
            self.known[tile.window] += weight * fitted.valid
        if normals is not None:
            assert self.reference.normals is not None
            turned, trust = _turned(normals.values, self.reference.normals.values[tile.window])
            self.normals[tile.window] += (weight * trust)[..., None] * turned
            self.normals_weight[tile.window] += weight * trust
        self.weight[tile.window] += weight

    def result(self) -> Prediction:
        """The maps with all tiles."""
        depth, normals = self.reference.depth, self.reference.normals
        rest = np.maximum(np.float32(1) - self.weight, 0)
        whole = self.weight + rest
        if depth is not None:
            x, y = _slopes(depth.values)
            x, y = (self.slope_x + rest * x) / whole, (self.slope_y + rest * y) / whole
            values = merge_bands(depth.values, x, y, _KEPT_BAND * self.enlargement)
            depth = DepthMap(values, self.known + rest * depth.valid > 0.5 * whole, depth.kind)
        if normals is not None:
            valid = normals.valid if depth is None else normals.valid & depth.valid
            rest = np.maximum(np.float32(1) - self.normals_weight, 0)
            normals = NormalMap(_unit(self.normals + rest[..., None] * normals.values), valid)
        return replace(self.reference, depth=depth, normals=normals)


def _slopes(values: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(H, W) along x and along y, each to the next pixel; 0 at the last one."""
    return np.diff(values, axis=1, append=values[:, -1:]), np.diff(values, axis=0, append=values[-1:])


def _weights(tile: Tile, height: int, width: int) -> NDArray[np.float32]:
    """(h, w) of a tile in a map (height, width): 1 inside, falling smoothly to 0 at the borders to other tiles."""
    sides = []
    for start, end, full in ((tile.top, tile.bottom, height), (tile.left, tile.right, width)):
        at = np.arange(start, end) + 0.5
        from_start = at - start if start > 0 else np.inf
        from_end = end - at if end < full else np.inf
        inside = np.minimum(np.minimum(from_start, from_end) / (_FADE * (end - start)), np.ones(end - start))
        sides.append(np.sin(0.5 * np.pi * inside) ** 2)
    return np.outer(*sides).astype(np.float32)


def _fitted(depth: DepthMap, reference: DepthMap, tile: Tile) -> tuple[DepthMap, float]:
    """The depth of a tile with the scale, shift and smooth field of the reference; their correlation."""
    y = reference.values[tile.window].astype(np.float64)
    x = depth.values.astype(np.float64)
    both = depth.valid & reference.valid[tile.window]
    if both.sum() < 2 or x[both].std() == 0 or y[both].std() == 0:
        return depth, 0.0
    scale, shift = robust_line(x[both], y[both])
    fitted = scale * x + shift
    left = np.where(both, y - fitted, 0)
    sigma = max(depth.shape) / _FIELD_SHARE
    field = cv2.GaussianBlur(left, (0, 0), sigma) / np.maximum(cv2.GaussianBlur(both.astype(float), (0, 0), sigma), 0.1)
    correlation = float(np.corrcoef(x[both], y[both])[0, 1])
    return DepthMap((fitted + field).astype(np.float32), depth.valid, depth.kind), correlation


def _turned(
    normals: NDArray[np.float32], reference: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Normals (H, W, 3) of a tile, turned so that on the whole they face as the reference does; trust (H, W) in them.

    A network takes every tile for a photo of its own, whose axis runs through its centre. What has to be turned far was
    taken for something else.
    """
    sigma = max(normals.shape) / _FIELD_SHARE
    a, b = (_unit(np.asarray(cv2.GaussianBlur(each, (0, 0), sigma), np.float32)) for each in (normals, reference))
    cosine = (a * b).sum(-1, keepdims=True)
    # The smallest rotation that takes a to b (Rodrigues).
    half = a + b
    along = (half * normals).sum(-1, keepdims=True) / np.maximum(1 + cosine, 1e-3)
    turned = normals - along * half + 2 * (a * normals).sum(-1, keepdims=True) * b
    trust = np.exp((cosine[..., 0] - 1) / (1 - np.cos(np.radians(_TURNED_DEG))))
    return np.asarray(turned, np.float32), np.asarray(trust, np.float32)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The vectors (H, W, 3), made to be of length 1 where they are."""
    squared = np.einsum("hwc,hwc->hw", vectors, vectors)
    vectors /= np.sqrt(np.maximum(squared, np.float32(1e-24)))[..., None]
    return vectors


def merge_bands(
    base: NDArray[np.float32], slope_x: NDArray[np.float32], slope_y: NDArray[np.float32], wavelength_px: float
) -> NDArray[np.float32]:
    """The map (H, W) with the long waves of ``base`` and the slopes (H, W), to the next pixel, of something sharper.

    A screened Poisson equation in the basis of cosines, whose weight of the base falls with the fourth power of the
    frequency: a half at ``wavelength_px``. The slopes of the last column and row do not count.
    """
    H, W = base.shape
    divergence = _divergence(slope_x, 1) + _divergence(slope_y, 0)
    k2 = 4 * (
        np.sin(0.5 * np.pi * np.arange(H) / H)[:, None] ** 2 + np.sin(0.5 * np.pi * np.arange(W) / W)[None] ** 2
    ).astype(np.float32)
    share = 1 / (1 + (k2 / np.float32((2 * np.pi / wavelength_px) ** 2)) ** 2)
    sharp = -scipy.fft.dctn(divergence, norm="ortho", overwrite_x=True) / np.maximum(k2, 1e-12)
    waves = sharp + share * (scipy.fft.dctn(base, norm="ortho") - sharp)
    return np.asarray(scipy.fft.idctn(waves, norm="ortho", overwrite_x=True), np.float32)


def _divergence(slope: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """(H, W) of steps to the next pixel, with nothing flowing over the border."""
    inside = slope[:, :-1] if axis else slope[:-1]
    zero = np.zeros_like(slope[:, :1] if axis else slope[:1])
    return np.diff(inside, axis=axis, prepend=zero, append=zero)


def enlarged(
    prediction: Prediction, width: int, height: int, depth_values: NDArray[np.float32] | None = None
) -> Prediction:
    """The maps at another size, at which ``depth_values`` (H, W) may be known."""
    depth, normals = prediction.depth, prediction.normals
    size = (width, height)
    if depth is not None:
        values = _linear(depth.values, size) if depth_values is None else depth_values
        depth = DepthMap(values, _resized_mask(depth.valid, size), depth.kind)
    if normals is not None:
        normals = NormalMap(_unit(_linear(normals.values, size)), _resized_mask(normals.valid, size))
    return replace(prediction, depth=depth, normals=normals)


def _linear(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _resized_mask(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    return np.asarray(cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST), bool)
