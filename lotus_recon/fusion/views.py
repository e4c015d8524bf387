"""What fusion reads: aligned depth, confidence and colour of each view, with everything unusable already out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import FusionError, InputError
from lotus_recon.io.images import read_rgb
from lotus_recon.io.maps import load_arrays
from lotus_recon.progress import track
from lotus_recon.threads import thread_count
from lotus_recon.types import DepthKind, Scene, View

SAMPLE_STRIDE = 4  # the survey looks at every 4th pixel of every 4th row


@dataclass(frozen=True, eq=False)
class FusionMap:
    """One depth map as fused. ``depth`` float32 (H, W), 0 where unknown; ``weight`` float32 (H, W) or None for 1."""

    depth: NDArray[np.float32]
    weight: NDArray[np.float32] | None


@dataclass(frozen=True)
class Cuts:
    """How many pixels there were and why some are not fused (the far ones counted on samples)."""

    pixels: int = 0
    invalid: int = 0
    unconfident: int = 0
    far: int = 0

    def __add__(self, other: Cuts) -> Cuts:
        return Cuts(
            self.pixels + other.pixels,
            self.invalid + other.invalid,
            self.unconfident + other.unconfident,
            self.far + other.far,
        )

    def __str__(self) -> str:
        shares = [f"{100 * n / max(self.pixels, 1):.1f} % {what}" for what, n in self._reasons()]
        return f"of {self.pixels} pixels {', '.join(shares)}"

    def _reasons(self) -> list[tuple[str, int]]:
        return [
            ("have no valid depth", self.invalid),
            ("have too little confidence (fusion.advanced.min_fused_confidence)", self.unconfident),
            ("are too far away (--max-depth-ratio)", self.far),
        ]


@dataclass(frozen=True, eq=False)
class Survey:
    """Facts of all maps together, from one pass over them."""

    views: tuple[View, ...]  # those with a depth map
    samples: tuple[NDArray[np.float32], ...]  # per view, depth of every SAMPLE_STRIDE-th pixel, 0 where not fused
    max_depth: float  # pixels beyond are not fused, in units of the scene
    footprint: float  # median side of a pixel on the surface, in units of the scene
    weighted: bool  # whether a pixel has a confidence other than 1
    largest: int  # pixels of the largest map
    cuts: Cuts

    @property
    def nbytes(self) -> int:
        """Bytes of the samples."""
        return sum(sample.nbytes for sample in self.samples)


@dataclass(frozen=True, eq=False)
class _Summary:
    sample: NDArray[np.float32]
    lowest_weight: float  # of the pixels used
    cuts: Cuts


def worker_count() -> int:
    """Threads that read maps and integrate them on a processor."""
    return min(8, thread_count())


class FusionViews:
    """The maps of a scene, read when needed. Iterate for (view, map, rgb) in the order of the scene."""

    def __init__(self, scene: Scene, depth_dir: Path, images_dir: Path, min_confidence: float) -> None:
        """Raises FusionError when no view has a depth map."""
        self._scene, self._depth_dir, self._images_dir = scene, depth_dir, images_dir
        self._min_confidence = min_confidence
        self.views = tuple(view for view in scene.views if self._path(view).is_file())
        if not self.views:
            raise FusionError(f"none of the {len(scene.views)} views of the scene has a depth map in {depth_dir}")

    def _path(self, view: View) -> Path:
        return self._depth_dir / f"{view.stem}.npz"

    def survey(self, max_depth_ratio: float) -> Survey:
        """Look at all maps once; pixels beyond ``max_depth_ratio`` times the median depth are cut.

        Raises FusionError for maps of a wrong kind or size and when no pixel is left.
        """
        with ThreadPoolExecutor(worker_count()) as pool:
            summaries = list(track(pool.map(self._summary, self.views), "reading depth maps", len(self.views)))
        samples = tuple(summary.sample for summary in summaries)
        cuts = sum((summary.cuts for summary in summaries), Cuts())
        if not any(sample.any() for sample in samples):
            raise FusionError(f"no pixel is left to fuse: {cuts}")
        max_depth = float(max_depth_ratio * np.median(np.concatenate([_some(sample) for sample in samples])))
        n_far = sum(int(np.count_nonzero(sample > max_depth)) for sample in samples)
        for sample in samples:
            sample[sample > max_depth] = 0
        return Survey(
            views=self.views,
            samples=samples,
            max_depth=max_depth,
            footprint=_median_footprint(self.views, samples),
            weighted=min(summary.lowest_weight for summary in summaries) < 0.999,
            largest=max(summary.cuts.pixels for summary in summaries),
            cuts=cuts + Cuts(far=n_far * SAMPLE_STRIDE**2),
        )

    def _summary(self, view: View) -> _Summary:
        """What the survey keeps of a map; the map is read again when fused, all of them would take too much memory."""
        loaded, cuts = self._load(view)
        start = SAMPLE_STRIDE // 2
        lowest = 1.0 if loaded.weight is None else float(loaded.weight.min(where=loaded.depth > 0, initial=1.0))
        return _Summary(loaded.depth[start::SAMPLE_STRIDE, start::SAMPLE_STRIDE].copy(), lowest, cuts)

    def maps(self, max_depth: float) -> Iterator[tuple[View, FusionMap, NDArray[np.uint8]]]:
        """(view, map, rgb (H, W, 3)) of every view, pixels beyond ``max_depth`` cut; one is read ahead."""
        with ThreadPoolExecutor(1) as pool:
            ahead = pool.submit(self._read, self.views[0], max_depth)
            for following in track((*self.views[1:], None), "fusing depth maps", len(self.views)):
                current = ahead.result()
                if following is not None:
                    ahead = pool.submit(self._read, following, max_depth)
                yield current

    def _read(self, view: View, max_depth: float) -> tuple[View, FusionMap, NDArray[np.uint8]]:
        loaded = self._load(view)[0]
        loaded.depth[loaded.depth > max_depth] = 0
        return view, loaded, self._rgb(view)

    def _load(self, view: View) -> tuple[FusionMap, Cuts]:
        arrays = load_arrays(self._path(view))
        if "depth" not in arrays:
            raise FusionError(f"view {view.name!r}: {self._path(view)} has no 'depth'")
        self._check_kind(view, _kind(self._path(view), arrays))
        for name in ("depth", "depth_valid", "confidence"):
            if name in arrays:
                _check_size(view, name, arrays[name].shape)
        depth = arrays["depth"].astype(np.float32)
        valid = np.isfinite(depth) & (depth > 0)
        if "depth_valid" in arrays:
            valid &= arrays["depth_valid"]
        weight = arrays["confidence"].astype(np.float32) if "confidence" in arrays else None
        used = valid if weight is None else valid & (weight > self._min_confidence)
        n_valid = int(np.count_nonzero(valid))
        cuts = Cuts(depth.size, depth.size - n_valid, n_valid - int(np.count_nonzero(used)))
        depth[~used] = 0
        return FusionMap(depth, weight), cuts

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
        _check_size(view, "photo", rgb.shape[:2])
        return rgb


def _check_size(view: View, what: str, shape: tuple[int, ...]) -> None:
    if shape != (view.camera.height, view.camera.width):
        found, expected = "x".join(map(str, shape[::-1])), "x".join(map(str, view.camera.size))
        raise FusionError(f"view {view.name!r}: {what} is {found} pixels, its camera {expected}: must agree")


def _kind(path: Path, arrays: dict[str, np.ndarray]) -> DepthKind:
    try:
        return DepthKind.parse(str(json.loads(str(arrays["meta"]))["kind"]))
    except (KeyError, TypeError, json.JSONDecodeError):
        raise InputError(f"{path}: 'meta' is missing or does not tell the 'kind' of depth") from None


def _some(sample: NDArray[np.float32]) -> NDArray[np.float32]:
    """A sixteenth of the depths known in a sample, at least one if any is: enough for a median over all views."""
    return sample[sample > 0][::16]


def _median_footprint(views: tuple[View, ...], samples: tuple[NDArray[np.float32], ...]) -> float:
    sides = [_some(s) * (0.5 / v.camera.fx + 0.5 / v.camera.fy) for v, s in zip(views, samples, strict=True)]
    return float(np.median(np.concatenate(sides)))
