"""Processes that may die, each with a pipe of its own: what pools of them are made of.

Why not a library's pool: concurrent.futures and loky give up all work when one process dies; pebble's processes share
one pipe under a lock, so that one killed at the wrong moment blocks the others, and it neither tells which process has
a task (a memory limit needs it) nor passes on what a task reports before it ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

import psutil

Send = Callable[[Any], None]
Service = Callable[..., Callable[[Any, Send], None]]

# Read by OpenMP, MKL and OpenBLAS when they are loaded, so before a process starts. Waiting threads must sleep.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_ONE_THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS",)  # pipelines/__init__.py says why
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_SECONDS_TO_END = 20.0


class WorkerProcess:
    """A process that answers messages until it is ended, or until the process that started it has ended.

    ``service(*arguments)`` is called in the new process and gives the function ``answer(message, send)``, which is
    called for every message and may send several. Service, arguments and messages have to be picklable, and the service
    must not be defined in the main script, which is not imported again.
    """

    def __init__(self, service: Service, arguments: Sequence[Any] = (), threads: int = 1) -> None:
        """Start the process; its libraries use ``threads`` threads."""
        context = multiprocessing.get_context("spawn")  # a fork would share the state of libraries with threads
        self._connection, child_end = context.Pipe()
        target = (service, tuple(arguments), child_end)
        self._process = context.Process(target=_serve, args=target, daemon=True)
        with _thread_variables(threads), _hidden_main():
            self._process.start()
        child_end.close()  # else the end of the process would not be noticed here

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process.is_alive()

    def send(self, message: Any) -> None:
        """Send a message. When the process is dead, ``receive`` will say so."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._connection.send(message)

    def receive(self) -> tuple[list[Any], bool]:
        """The messages that have come, and whether the process has ended, so that they were the last. Does not wait."""
        has_ended = not self._process.is_alive()
        messages = []
        try:
            while self._connection.poll():
                messages.append(self._connection.recv())
        except (EOFError, ConnectionResetError):
            has_ended = True
        return messages, has_ended

    def exit_reason(self) -> str:
        """How the process ended; one that hangs while it takes its libraries down is killed."""
        self._process.join(_SECONDS_TO_END)
        self._process.kill()
        self._process.join()
        status = self._process.exitcode
        if status is None or status >= 0:
            return f"its process ended with status {status}"
        name = signal.Signals(-status).name
        cause = " (killed, perhaps because the machine was out of memory)" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{cause}"

    def memory_mb(self) -> float:
        """Resident memory; 0 when the process has ended."""
        try:
            return float(psutil.Process(self._process.pid).memory_info().rss) / 2**20
        except psutil.Error:
            return 0.0

    def kill(self) -> None:
        """End the process now, whatever it does."""
        self._process.kill()

    def close(self, at_once: bool = True) -> None:
        """End the process: by force, or by closing its pipe, which an idle process answers by ending."""
        self._connection.close()
        if not at_once:
            self._process.join(_SECONDS_TO_END)
        self._process.kill()
        self._process.join()


def wait_for_any(processes: Sequence[WorkerProcess], seconds: float | None = None) -> list[WorkerProcess]:
    """The processes that have sent something or ended; waits for the first, at most so many ``seconds``."""
    handles: dict[Any, WorkerProcess] = {}
    for process in processes:
        handles |= {process._connection: process, process._process.sentinel: process}
    return list(dict.fromkeys(handles[handle] for handle in wait(list(handles), seconds)))


def _serve(service: Service, arguments: tuple[Any, ...], connection: Connection) -> None:
    """What the process does: it answers messages until the pipe is closed."""
    for number in (signal.SIGINT, signal.SIGHUP):  # they reach the whole group; the starting process ends this one
        signal.signal(number, signal.SIG_IGN)
    _end_with_parent()
    answer = service(*arguments)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            answer(connection.recv(), connection.send)


def _end_with_parent() -> None:
    """Die when the starting process dies, by whatever: else two runs would write into one folder."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def _thread_variables(threads: int) -> Iterator[None]:
    """Environment that a process started meanwhile inherits."""
    values = {**dict.fromkeys(_THREAD_VARIABLES, str(threads)), **dict.fromkeys(_ONE_THREAD_VARIABLES, "1")}
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _hidden_main() -> Iterator[None]:
    """Keep a process from importing the main script again: it needs nothing of it, and a script without the usual guard
    would start its work anew in every process."""
    main = sys.modules["__main__"]
    kept = {name: getattr(main, name) for name in ("__file__", "__spec__") if hasattr(main, name)}
    try:
        if "__file__" in kept:
            del main.__file__
        if "__spec__" in kept:
            main.__spec__ = None
        yield
    finally:
        for name, value in kept.items():
            setattr(main, name, value)
