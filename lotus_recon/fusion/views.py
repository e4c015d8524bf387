"""What fusion reads: aligned depth, confidence and colour of each view, with everything unusable already out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import FusionError
from lotus_recon.fusion.crop import Box, parse_crop, region_of_most
from lotus_recon.geometry.pose import invert_rigid, transform
from lotus_recon.io.images import read_rgb
from lotus_recon.io.scene_maps import ANY_DEPTH, SceneMaps, read_ahead
from lotus_recon.progress import track
from lotus_recon.threads import thread_count
from lotus_recon.types import DepthKind, Scene, View

SURE = 0.5  # confidence from which photos decide depth, and it is evidence that the space before it is free
SAMPLE_STRIDE = 4  # the scan looks at every 4th pixel of every 4th row


@dataclass(frozen=True, eq=False)
class FusionMap:
    """One depth map as fused. ``depth`` float32 (H, W), 0 where unknown; ``weight`` float32 (H, W) or None for 1.

    ``sigma`` float32 (H, W): standard deviation of depth, in units of the scene, where that is known.
    """

    depth: NDArray[np.float32]
    weight: NDArray[np.float32] | None
    sigma: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Cuts:
    """How many pixels there were and why some are not fused (the far and the outer ones counted on samples)."""

    pixels: int = 0
    invalid: int = 0
    unconfident: int = 0
    far: int = 0
    outside: int = 0

    def __add__(self, other: Cuts) -> Cuts:
        return Cuts(
            self.pixels + other.pixels,
            self.invalid + other.invalid,
            self.unconfident + other.unconfident,
            self.far + other.far,
            self.outside + other.outside,
        )

    def __str__(self) -> str:
        shares = [f"{100 * n / max(self.pixels, 1):.1f} % {what}" for what, n in self._reasons()]
        return f"of {self.pixels} pixels {', '.join(shares)}"

    def _reasons(self) -> list[tuple[str, int]]:
        return [
            ("have no valid depth", self.invalid),
            ("have too little confidence (fusion.advanced.min_fused_confidence)", self.unconfident),
            ("are too far away (--max-depth-ratio)", self.far),
            *([("lie outside the box (--crop)", self.outside)] if self.outside else []),
        ]


@dataclass(frozen=True, eq=False)
class DepthScan:
    """Facts of all maps together, from one pass over them."""

    views: tuple[View, ...]  # those with a depth map
    samples: tuple[NDArray[np.float32], ...]  # per view, depth of every SAMPLE_STRIDE-th pixel, 0 where not fused
    max_depth: float  # pixels beyond are not fused, in units of the scene
    footprint: float  # median side of a pixel on the surface, in units of the scene
    weighted: bool  # whether a pixel has a confidence other than 1
    sure: bool  # whether photos decide the depth of any pixel, as its confidence says
    largest: int  # pixels of the largest map
    sigma: float | None  # median standard deviation of depth, in units of the scene, where that is known
    cuts: Cuts
    box: Box | None = None  # what lies outside is not fused

    @property
    def nbytes(self) -> int:
        """Bytes of the samples."""
        return sum(sample.nbytes for sample in self.samples)


@dataclass(frozen=True, eq=False)
class _Summary:
    sample: NDArray[np.float32]
    lowest_weight: float  # of the pixels used
    highest_weight: float
    sigma: float | None  # median
    cuts: Cuts


def worker_count() -> int:
    """Threads that read maps and integrate them on a processor."""
    return min(8, thread_count())


class FusionViews:
    """The maps of a scene, read when needed. Iterate for (view, map, rgb) in the order of the scene."""

    def __init__(
        self, scene: Scene, depth_dir: Path, images_dir: Path, min_confidence: float, sigma_dir: Path | None = None
    ) -> None:
        """Raises FusionError when no view has a depth map. ``sigma_dir``: maps of the uncertainty stage."""
        self._scene, self._images_dir = scene, images_dir
        self._sigmas = None if sigma_dir is None else SceneMaps(sigma_dir, parts=("sigma",))
        self._maps = SceneMaps(depth_dir, parts=("depth", "confidence"), kinds=ANY_DEPTH)
        self._min_confidence = min_confidence
        self.views = tuple(filter(self._maps.has, scene.views))
        if not self.views:
            raise FusionError(f"none of the {len(scene.views)} views of the scene has a depth map in {depth_dir}")

    def scan(self, max_depth_ratio: float, crop: str | None = None) -> DepthScan:
        """Look at all maps once; pixels beyond ``max_depth_ratio`` times the median depth or outside ``crop`` are cut.

        Raises FusionError for maps of a wrong kind or size and when no pixel is left; InputError for a ``crop`` that is
        none.
        """
        ahead = read_ahead(self._summary, self.views, threads=worker_count())
        summaries = list(track(ahead, "reading depth maps", len(self.views)))
        samples = tuple(summary.sample for summary in summaries)
        cuts = sum((summary.cuts for summary in summaries), Cuts())
        if not any(sample.any() for sample in samples):
            raise FusionError(f"no pixel is left to fuse: {cuts}")
        max_depth = float(max_depth_ratio * np.median(np.concatenate([_some(sample) for sample in samples])))
        n_far = sum(int(np.count_nonzero(sample > max_depth)) for sample in samples)
        for sample in samples:
            sample[sample > max_depth] = 0
        box = None if crop is None else parse_crop(crop) or region_of_most(self.views, _surface(self.views, samples))
        cuts += Cuts(far=n_far * SAMPLE_STRIDE**2, outside=_cut_outside(self.views, samples, box) * SAMPLE_STRIDE**2)
        if not any(sample.any() for sample in samples):
            raise FusionError(f"no pixel is left to fuse: {cuts}")
        weighted = min(summary.lowest_weight for summary in summaries) < 0.999
        return DepthScan(
            views=self.views,
            samples=samples,
            max_depth=max_depth,
            footprint=_median_footprint(self.views, samples),
            weighted=weighted,
            sure=weighted and max(summary.highest_weight for summary in summaries) >= SURE,
            largest=max(summary.cuts.pixels for summary in summaries),
            sigma=_median([summary.sigma for summary in summaries if summary.sigma is not None]),
            cuts=cuts,
            box=box,
        )

    def _summary(self, view: View) -> _Summary:
        """What the scan keeps of a map; the map is read again when fused, all of them would take too much memory."""
        loaded, cuts = self._load(view)
        start = SAMPLE_STRIDE // 2
        weight, used = np.ones_like(loaded.depth) if loaded.weight is None else loaded.weight, loaded.depth > 0
        lowest = float(weight.min(where=used, initial=1.0))
        highest = float(weight.max(where=used, initial=0.0))
        sigma = None if loaded.sigma is None else _median(loaded.sigma[used][::SAMPLE_STRIDE])
        return _Summary(loaded.depth[start::SAMPLE_STRIDE, start::SAMPLE_STRIDE].copy(), lowest, highest, sigma, cuts)

    def maps(self, max_depth: float) -> Iterator[tuple[View, FusionMap, NDArray[np.uint8]]]:
        """(view, map, rgb (H, W, 3)) of every view, pixels beyond ``max_depth`` cut; one is read ahead."""
        ahead = read_ahead(lambda view: self._read(view, max_depth), self.views)
        return track(ahead, "fusing depth maps", len(self.views))

    def depth_maps(self, max_depth: float) -> Iterator[tuple[View, FusionMap]]:
        """(view, map) of every view, pixels beyond ``max_depth`` cut."""
        for view in self.views:
            loaded = self._load(view)[0]
            loaded.depth[loaded.depth > max_depth] = 0
            yield view, loaded

    def _read(self, view: View, max_depth: float) -> tuple[View, FusionMap, NDArray[np.uint8]]:
        loaded = self._load(view)[0]
        loaded.depth[loaded.depth > max_depth] = 0
        return view, loaded, self._rgb(view)

    def _load(self, view: View) -> tuple[FusionMap, Cuts]:
        maps = self._maps.load(view)
        depth = maps.required_depth
        self._check_kind(view, depth.kind)
        used = depth.valid & (depth.values > 0)
        n_valid = int(np.count_nonzero(used))
        if maps.confidence is not None:
            used &= maps.confidence > self._min_confidence
        cuts = Cuts(depth.values.size, depth.values.size - n_valid, n_valid - int(np.count_nonzero(used)))
        sigma = self._sigmas.load(view).sigma if self._sigmas is not None and self._sigmas.has(view) else None
        absolute = None if sigma is None else sigma * depth.values
        return FusionMap(np.where(used, depth.values, np.float32(0)), maps.confidence, absolute), cuts

    def _check_kind(self, view: View, kind: DepthKind) -> None:
        if kind is DepthKind.SCENE or (kind is DepthKind.METRIC and self._scene.metric):
            return
        if kind is DepthKind.METRIC:
            why = "its depth is METRIC but the camera poses are not in metres (--pose-unit m says that they are)"
        else:
            why = f"its depth is {kind.value}; allowed: SCENE (aligned depth), or METRIC with metric poses"
        raise FusionError(f"view {view.name!r} cannot be fused: {why}")

    def _rgb(self, view: View) -> NDArray[np.uint8]:
        rgb = read_rgb(self._images_dir / view.name)
        if rgb.shape[1::-1] != view.camera.size:
            found, expected = ("x".join(map(str, size)) for size in (rgb.shape[1::-1], view.camera.size))
            raise FusionError(f"view {view.name!r}: photo is {found} pixels, its camera {expected}: must agree")
        return rgb


def _median(values: Sequence[float] | NDArray[np.float32]) -> float | None:
    return float(np.median(values)) if len(values) else None


def _some(sample: NDArray[np.float32]) -> NDArray[np.float32]:
    """A sixteenth of the depths known in a sample, at least one if any is: enough for a median over all views."""
    return sample[sample > 0][::16]


def _median_footprint(views: tuple[View, ...], samples: tuple[NDArray[np.float32], ...]) -> float:
    sides = [_some(s) * (0.5 / v.camera.fx + 0.5 / v.camera.fy) for v, s in zip(views, samples, strict=True)]
    return float(np.median(np.concatenate(sides)))


def _surface(views: Sequence[View], samples: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    """(N, 3) the pixels of all samples in world axes."""
    return np.concatenate([sample_in_world(view, sample) for view, sample in zip(views, samples, strict=True)])


def _cut_outside(views: Sequence[View], samples: Sequence[NDArray[np.float32]], box: Box | None) -> int:
    """Put 0 where a sample lies outside of a box; how many do."""
    if box is None:
        return 0
    count = 0
    for view, sample in zip(views, samples, strict=True):
        row, col = np.nonzero(sample)
        outside = ~box.contains(sample_in_world(view, sample))
        sample[row[outside], col[outside]] = 0
        count += int(np.count_nonzero(outside))
    return count


def sample_in_world(view: View, sample: NDArray[np.float32], step: int = 1) -> NDArray[np.float64]:
    """(N, 3) every ``step``-th known pixel of a sample of the scan, row by row, in world axes."""
    camera, start = view.camera, SAMPLE_STRIDE // 2
    row, col = (index[::step] for index in np.nonzero(sample))
    z = sample[row, col].astype(np.float64)
    x = (col * SAMPLE_STRIDE + start + 0.5 - camera.cx) / camera.fx
    y = (row * SAMPLE_STRIDE + start + 0.5 - camera.cy) / camera.fy
    return transform(invert_rigid(view.cam_from_world), np.stack([x * z, y * z, z], axis=1))
