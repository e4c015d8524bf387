"""Loops over many pixels, shared out to threads in blocks that do not depend on how many threads there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lotus_recon.threads import in_threads

_BLOCK = 1 << 18  # pixels; fewer take less time than a thread


def in_blocks(loop: Callable[..., Any], count: int, *arguments: Any, per_element: int = 1) -> list[Any]:
    """What ``loop(begin, end, *arguments)`` returns for each block of 0 to ``count``; loops release Python's lock.

    An element stands for ``per_element`` pixels.
    """
    block = max(_BLOCK // per_element, 1)
    if count <= block:
        return [loop(0, count, *arguments)]
    return list(in_threads(lambda begin: loop(begin, min(begin + block, count), *arguments), range(0, count, block)))
