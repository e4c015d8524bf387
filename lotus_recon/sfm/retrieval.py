"""Which photos look alike, without a trained vocabulary: VLAD over the photos' own features.

Jegou et al., "Aggregating local descriptors into a compact image representation", CVPR 2010, with the
intra-normalisation of Arandjelovic and Zisserman, "All about VLAD", CVPR 2013. The vocabulary is found by k-means on
the features of this very set of photos.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2, vq

from lotus_recon.geometry.normals import normalized
from lotus_recon.progress import track
from lotus_recon.types import FloatArray

_WORDS = 64
_TRAINING_FEATURES = 30_000
_ITERATIONS = 15


def vlad_descriptors(features: Sequence[FloatArray], seed: int) -> NDArray[np.float64]:
    """(N, K * D) unit vector of each image from its local descriptors (n_i, D); zero for an image without any."""
    words = _vocabulary(features, seed)
    vectors = [_vlad(own, words) for own in track(features, "describing photos", len(features))]
    return np.stack(vectors)


def _vocabulary(features: Sequence[FloatArray], seed: int) -> NDArray[np.float64]:
    """(K, D) centres of k-means over an equal share of every image's descriptors."""
    rng = np.random.default_rng(seed)
    share = max(1, _TRAINING_FEATURES // len(features))
    samples = [own[rng.permutation(len(own))[:share]] for own in features if len(own)]
    training = np.concatenate(samples).astype(np.float64)
    count = min(_WORDS, len(training))
    words, _ = kmeans2(training, count, iter=_ITERATIONS, minit="++", seed=rng)
    return np.asarray(words, np.float64)


def _vlad(own: FloatArray, words: NDArray[np.float64]) -> NDArray[np.float64]:
    total = np.zeros(words.shape)
    if len(own):
        nearest, _ = vq(own.astype(np.float64), words)
        np.add.at(total, nearest, own - words[nearest])
    return np.asarray(normalized(normalized(total).ravel()))


def most_similar(descriptors: FloatArray, neighbors: int) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, of each image with the ``neighbors`` images whose descriptors (N, D) are nearest, sorted."""
    similarity = descriptors @ descriptors.T
    np.fill_diagonal(similarity, -np.inf)
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, : min(neighbors, len(descriptors) - 1)]
    return sorted({(min(i, int(j)), max(i, int(j))) for i, row in enumerate(nearest) for j in row})
