"""Time that a busy machine does not stretch."""

from __future__ import annotations

import resource


def seconds_of_children() -> float:
    """CPU seconds of all processes that this one started and that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
