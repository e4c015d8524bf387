"""Benchmarks from the readers of this project: training sets, HoloLens, and single photos with depth."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lotus_recon.datasets import hololens, single_images
from lotus_recon.datasets.benchmarks.base import BenchmarkSpec, Truth
from lotus_recon.datasets.samples import TrainingSet
from lotus_recon.datasets.verification import ListedSet, check_complete
from lotus_recon.errors import InputError
from lotus_recon.geometry.plane_normals import plane_normals
from lotus_recon.io.images import read_rgb
from lotus_recon.types import BoolArray, Camera

# Sensors of rooms are not to be believed nearer or farther.
SENSOR_RANGE_M = (0.3, 10.0)
# Consumer depth is noisy: planes are fitted to 9 x 9 pixels, or their normals would mostly be noise.
_SENSOR_RADIUS_PX = 4


class TrainingSetBenchmark:
    """A training set as a benchmark, such as a folder of photos with depth or normals."""

    def __init__(self, samples: TrainingSet, title: str) -> None:
        self.spec = BenchmarkSpec(title, "your own")
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    def name(self, index: int) -> str:
        """Name of the sample."""
        return self._samples.name(index)

    def photo(self, index: int) -> NDArray[np.uint8]:
        """(H, W, 3) the photo."""
        return self._samples.load(index).rgb

    def truth(self, index: int) -> Truth:
        """Depth and normals, whichever the set has."""
        sample = self._samples.load(index)
        return Truth(sample.depth, sample.depth_valid, sample.normals, sample.normals_valid)

    def missing(self) -> list[str]:
        """Files of samples that are missing or cut off, where the set names its files."""
        if not isinstance(self._samples, ListedSet):
            return []
        return [str(file) for i in range(len(self)) for file in self._samples.files(i) if not _complete(file)]


def _complete(path: Path) -> bool:
    try:
        check_complete(path)
    except InputError:
        return False
    return True


class SensorSet:
    """Photos with the depth of a sensor; normals are those of planes fitted to it."""

    def __init__(
        self,
        spec: BenchmarkSpec,
        names: Sequence[str],
        photo: Callable[[int], NDArray[np.uint8]],
        depth: Callable[[int], tuple[NDArray[np.float32], BoolArray]],
        camera: Callable[[int], Camera | None],
    ) -> None:
        self.spec = spec
        self._names, self._photo, self._depth, self._camera = names, photo, depth, camera

    def __len__(self) -> int:
        return len(self._names)

    def name(self, index: int) -> str:
        """Name of the photo without suffix."""
        return self._names[index]

    def photo(self, index: int) -> NDArray[np.uint8]:
        """(H, W, 3) the photo."""
        return self._photo(index)

    def truth(self, index: int) -> Truth:
        """Depth inside the range of the sensor, and normals where a plane fits."""
        depth, measured = self._depth(index)
        low, high = self.spec.min_depth, self.spec.max_depth
        valid = measured & (depth > (low or 0)) & (depth < (np.inf if high is None else high))
        camera = self._camera(index)
        if camera is None:
            return Truth(depth, valid)
        normals, normals_valid = plane_normals(depth, valid, np.linalg.inv(camera.K), radius=_SENSOR_RADIUS_PX)
        return Truth(depth, valid, normals, normals_valid)

    def missing(self) -> list[str]:
        """Empty: opening the set finds missing files."""
        return []


def open_hololens(root: Path) -> SensorSet:
    """The frames of ``cameras.json`` in ``root``."""
    frames = hololens.frames(root)
    return SensorSet(
        BenchmarkSpec("hololens_a", "the sample data of DeepVideoMVS", *SENSOR_RANGE_M),
        [frame.view.stem for frame in frames],
        lambda index: read_rgb(frames[index].photo),
        lambda index: hololens.sensor_depth(root, frames[index].view.name),
        lambda index: frames[index].view.camera,
    )


def open_single_images(root: Path, names: Sequence[str] | None = None) -> SensorSet:
    """The photos of ``manifest.json`` in ``root``; with ``names`` only these. Raises InputError for an unknown name."""
    everything = {photo.name: photo for photo in single_images.measured_photos(root)}
    if unknown := set(names or ()) - set(everything):
        raise InputError(f"{root} has no photo {unknown.pop()!r}; it has {', '.join(everything)}")
    photos = [everything[name] for name in names or everything]
    return SensorSet(
        BenchmarkSpec("single_images", "photos with measured depth", *SENSOR_RANGE_M),
        [photo.name for photo in photos],
        lambda index: photos[index].rgb,
        lambda index: (photos[index].depth, photos[index].valid),
        functools.partial(_camera_of, photos),
    )


def _camera_of(photos: Sequence[single_images.MeasuredPhoto], index: int) -> Camera | None:
    return photos[index].camera
