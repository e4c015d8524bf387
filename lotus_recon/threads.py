"""How many threads this process may use. Several processes on one machine share its cores by it."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_limit: int | None = None


def set_thread_limit(limit: int | None) -> None:
    """Let the libraries that are asked for a number of threads use ``limit`` at most; None lifts the limit."""
    global _limit
    _limit = limit


def thread_limit() -> int | None:
    """The limit, if there is one."""
    return _limit


def thread_count() -> int:
    """Threads for work of our own: the limit, or the cores of the machine."""
    return _limit or os.cpu_count() or 1


def in_threads(work: Callable[[Item], Result], items: Iterable[Item], threads: int | None = None) -> Iterator[Result]:
    """``work(item)`` of every item in order, on ``threads`` (None: as many as we may use) at once.

    As many results wait for their reader as there are threads. ``items`` may come from a generator that works itself:
    it runs in the caller's thread, meanwhile.
    """
    threads = threads or thread_count()
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                pending.append(pool.submit(copy_context().run, work, item))
                if len(pending) > threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def consume(results: Iterable[object]) -> None:
    """Wait for all results, which nobody needs."""
    deque(results, maxlen=0)


@contextlib.contextmanager
def background(waiting: int = 4, threads: int = 1) -> Iterator[Callable[..., None]]:
    """A function that has ``work(*arguments)`` done by ``threads`` while the caller goes on.

    At most ``waiting`` calls wait or run; then the caller waits. All are done when the block ends, or the first failure
    is raised, there or at a later call.
    """
    pending: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(threads) as pool:

        def later(work: Callable[..., object], *arguments: Any) -> None:
            if len(pending) >= waiting:
                pending.popleft().result()
            pending.append(pool.submit(copy_context().run, work, *arguments))

        yield later
        for future in pending:
            future.result()
