"""Which photos are compared with which."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lotus_recon.colmap import pycolmap
from lotus_recon.errors import InputError
from lotus_recon.sfm.config import SfmConfig
from lotus_recon.sfm.images import SfmImage
from lotus_recon.sfm.retrieval import most_similar, vlad_descriptors

_EXHAUSTIVE_UP_TO = 80
_LOOP_NEIGHBORS = 5  # retrieved beside the next photos of a sequence, to close loops
_VLAD_FEATURES = 2000  # per photo: the strongest are enough to tell what it shows

Pairs = list[tuple[int, int]]  # indices of images, the smaller one first


@dataclass(frozen=True)
class PairChoice:
    """The pairs of photos to compare, and by which rule they were chosen."""

    matcher: str
    pairs: Pairs


def choose_pairs(images: Sequence[SfmImage], database_path: Path, config: SfmConfig, seed: int) -> PairChoice:
    """The pairs to match. Raises InputError when the pairs file is missing or cannot be used."""
    matcher = matcher_for(len(images), config)
    if matcher == "exhaustive":
        return PairChoice(matcher, list(itertools.combinations(range(len(images)), 2)))
    if matcher == "pairs":
        assert config.pairs is not None  # by matcher_for
        return PairChoice(matcher, read_pairs(config.pairs, [image.name for image in images]))
    if matcher == "retrieval":
        return PairChoice(matcher, _retrieved(images, database_path, config.advanced.match_neighbors, seed))
    order = natural_order([image.name for image in images])
    loops = _retrieved(images, database_path, _LOOP_NEIGHBORS, seed)
    return PairChoice(matcher, sorted({*sequential_pairs(order, config.advanced.match_neighbors), *loops}))


def matcher_for(count: int, config: SfmConfig) -> str:
    """The matcher for so many photos. Raises InputError when pairs are to be matched and no file names them."""
    if config.matcher == "pairs" and config.pairs is None:
        raise InputError("--matcher pairs needs --pairs FILE, a text file with two photo names a line")
    if config.matcher != "auto":
        return config.matcher
    if config.pairs is not None:
        return "pairs"
    if count <= _EXHAUSTIVE_UP_TO:
        return "exhaustive"
    return "sequential" if config.ordered else "retrieval"


def natural_order(names: Sequence[str]) -> list[int]:
    """Indices that sort the names with their numbers compared as numbers: img_9 before img_10."""

    def key(index: int) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", names[index])]

    return sorted(range(len(names)), key=key)


def sequential_pairs(order: Sequence[int], neighbors: int) -> Pairs:
    """Each photo with the next ``neighbors`` ones, and with those 2, 4, 8, ... places on, up to 2^neighbors."""
    steps = sorted({*range(1, neighbors + 1), *(2**power for power in range(neighbors + 1) if 2**power < len(order))})
    pairs = {(min(a, b), max(a, b)) for step in steps for a, b in zip(order, order[step:], strict=False)}
    return sorted(pairs)


def _retrieved(images: Sequence[SfmImage], database_path: Path, neighbors: int, seed: int) -> Pairs:
    database = pycolmap.Database.open(str(database_path))
    features = [_strongest(database, image.number) for image in images]
    database.close()
    if sum(map(len, features)) == 0:
        return []
    return most_similar(vlad_descriptors(features, seed), neighbors)


def _strongest(database: pycolmap.Database, image_id: int) -> np.ndarray:
    """(n, 128) descriptors of the largest features of an image: they are seen again from the farthest away."""
    descriptors = np.asarray(database.read_descriptors(image_id).data, np.float32)
    affine = database.read_keypoints(image_id)[:, 2:]
    scale = np.linalg.norm(affine, axis=1) if len(affine) else np.zeros(0)
    return descriptors[np.argsort(-scale, kind="stable")[:_VLAD_FEATURES]]


def read_pairs(path: Path, names: Sequence[str]) -> Pairs:
    """Pairs from a text file: two names a line, separated by a tab, or by a space if the line has no tab.

    Empty lines and lines that begin with # do not count. Raises InputError naming the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"pairs file {path} cannot be read: {error}") from None
    index = {name: i for i, name in enumerate(names)}
    pairs = set()
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = [part.strip() for part in (line.split("\t") if "\t" in line else line.split())]
        if len(parts) != 2:
            raise InputError(f"{path}, line {number}: {line!r}; needed: two photo names, separated by a tab")
        unknown = [part for part in parts if part not in index]
        if unknown:
            raise InputError(f"{path}, line {number}: there is no photo {unknown[0]!r}")
        a, b = (index[part] for part in parts)
        if a != b:
            pairs.add((min(a, b), max(a, b)))
    if not pairs:
        raise InputError(f"pairs file {path} names no pair of photos")
    return sorted(pairs)
