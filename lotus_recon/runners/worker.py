"""What a worker process of the local runner does with its tasks."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from lotus_recon import progress, threads
from lotus_recon.processes import Send
from lotus_recon.runners.tasks import ProgressEvent, StageEvent, Task

_PROGRESS_SECONDS = 0.25  # between two reports of progress


def set_up_process(n_threads: int) -> None:
    """Limit the threads of the libraries in this process, and keep its log messages to the log files of the scenes."""
    threads.set_thread_limit(n_threads)
    import cv2
    import torch

    torch.set_num_threads(n_threads)
    cv2.setNumThreads(n_threads)
    logger = logging.getLogger("lotus_recon")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(logging.NullHandler())


def scene_service(n_threads: int) -> Callable[[Task, Send], None]:
    """Does a task and sends its events; the networks stay in memory. A service for ``processes.WorkerProcess``."""
    from lotus_recon.models.registry import set_model_source
    from lotus_recon.runners.scene import perform
    from lotus_recon.runners.warm import WarmModels

    set_up_process(n_threads)
    set_model_source(WarmModels())

    def answer(task: Task, send: Send) -> None:
        progress.set_reporter(_reporter(send, task.name))
        send(perform(task, lambda stage: send(StageEvent(task.name, stage))))

    return answer


def _reporter(send: Send, scene: str) -> progress.Reporter:
    last = 0.0

    def report(what: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _PROGRESS_SECONDS:
            last = now
            send(ProgressEvent(scene, what, done, total))

    return report
