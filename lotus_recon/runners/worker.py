"""A worker process of the local runner: takes tasks from a pipe until it closes, and ends with its parent."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection

from lotus_recon import progress, threads
from lotus_recon.runners.tasks import ProgressEvent, StageEvent, Task

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PROGRESS_SECONDS = 0.25


def set_up_process(n_threads: int) -> None:
    """Make the libraries of this process use so many threads, and log what they say to nobody but the scenes' files."""
    threads.set_thread_limit(n_threads)
    import cv2
    import torch

    torch.set_num_threads(n_threads)
    cv2.setNumThreads(n_threads)
    logger = logging.getLogger("lotus_recon")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(logging.NullHandler())


def main(pipe: Connection, n_threads: int) -> None:
    """Serve tasks. The driver handles interruptions: it closes the pipe, or kills."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with_parent()
    from lotus_recon.models.registry import set_model_source
    from lotus_recon.runners.scene import perform
    from lotus_recon.runners.warm import WarmModels

    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # pycolmap answers it with a stack trace
    set_up_process(n_threads)
    set_model_source(WarmModels())
    pipe.send("ready")
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            task: Task = pipe.recv()
            progress.set_reporter(_reporter(pipe, task.name))
            pipe.send(perform(task, lambda stage, scene=task.name: pipe.send(StageEvent(scene, stage))))  # type: ignore[misc]


def _reporter(pipe: Connection, scene: str) -> progress.Reporter:
    last = 0.0

    def tell(what: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _PROGRESS_SECONDS:
            last = now
            pipe.send(ProgressEvent(scene, what, done, total))

    return tell


def _end_with_parent() -> None:
    """Die when the driver dies, by whatever: else two batches would write into one scene."""
    parent = multiprocessing.parent_process()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
