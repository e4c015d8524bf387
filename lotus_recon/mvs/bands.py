"""Work on bands of rows, on as many threads as this process may use."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from lotus_recon.threads import thread_count

_BANDS = 4  # per thread: some are slower than others


def in_bands(work: Callable[[int, int], None], rows: int) -> None:
    """Call ``work(first_row, end_row)`` for all rows; the calls must not depend on each other."""
    threads = thread_count()
    count = min(rows, _BANDS * threads) if threads > 1 else 1
    edges = np.linspace(0, rows, count + 1).astype(int).tolist()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, edges[:-1], edges[1:]))
