"""The benchmark sets, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from lotus_recon.config import nearest
from lotus_recon.datasets.benchmarks import diode, dsine, eth3d, kitti, nyuv2, scannet
from lotus_recon.datasets.benchmarks.base import Benchmark
from lotus_recon.datasets.benchmarks.listed_depth import DepthLayout, ListedDepthSet
from lotus_recon.datasets.benchmarks.own import TrainingSetBenchmark, open_hololens, open_single_images
from lotus_recon.datasets.benchmarks.source import read_list
from lotus_recon.datasets.training_sets import KINDS as TRAINING_KINDS
from lotus_recon.datasets.training_sets import open_training_set
from lotus_recon.errors import InputError

DEPTH: Mapping[str, DepthLayout] = {
    "nyuv2": nyuv2.LAYOUT,
    "kitti": kitti.EIGEN,
    "kitti_garg": kitti.GARG,
    "eth3d": eth3d.LAYOUT,
    "scannet": scannet.LAYOUT,
    "diode": diode.LAYOUT,
}
NORMALS: Mapping[str, dsine.NormalLayout] = {f"{name}_normals": layout for name, layout in dsine.LAYOUTS.items()}
OWN: Mapping[str, Callable[[Path, Path | None], Benchmark]] = {
    "hololens": lambda root, _: open_hololens(root),
    "single_images": lambda root, names: open_single_images(root, None if names is None else _first_words(names)),
}
KINDS = (*DEPTH, *NORMALS, *OWN, *TRAINING_KINDS)


def open_benchmark(kind: str, root: Path, file_list: Path | None = None, split: str = "val") -> Benchmark:
    """The set of that kind in ``root``: a folder, or the tar archive as downloaded for those that come as one.

    ``file_list`` names the files of published sets, or the photos of ``single_images`` to take; ``split`` (train, val,
    all) is for sets that can be trained on. Raises InputError for an unknown kind or a set that cannot be used.
    """
    if kind in DEPTH or kind in NORMALS:
        opening = partial(ListedDepthSet, DEPTH[kind]) if kind in DEPTH else partial(_dsine, kind)
        if file_list is None:
            spec = DEPTH[kind].spec if kind in DEPTH else NORMALS[kind].spec
            raise InputError(f"{kind} needs its list of files; it comes from: {spec.origin}")
        return opening(root, file_list)
    if kind in OWN:
        return OWN[kind](root, file_list)
    if kind in TRAINING_KINDS:
        return TrainingSetBenchmark(open_training_set(kind, root, split), kind)
    raise InputError(f"data set kind {kind!r} is unknown{nearest(kind, list(KINDS))}")


def _dsine(kind: str, root: Path, file_list: Path) -> Benchmark:
    return dsine.DsineSet(NORMALS[kind], root, file_list)


def _first_words(path: Path) -> list[str]:
    return [row[0] for row in read_list(path)]


def describe(kind: str) -> str:
    """Where the files of a kind come from."""
    layout = DEPTH.get(kind) or NORMALS.get(kind)
    return layout.spec.origin if layout else "see docs/data.md"
