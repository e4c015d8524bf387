"""Answers Ctrl-C, SIGTERM and SIGHUP: within a second, in words, and at once when they come again.

Python runs a signal handler between two of its own instructions, so not while a native solver holds the interpreter.
The answer comes from a process of its own, which the C part of Python tells of a signal through a pipe. The same
process says what was being done when the run ends without a word of its own: killed, or ended by a library.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

from lotus_recon import interruption
from lotus_recon.interruption import Work

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_ONE_SECONDS = 0.5  # signals that come this close are one request: launchers pass on what the terminal sent, too
_GRACE_SECONDS = 0.5  # for Python to answer the second request itself
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_BUFFER = 65536
_LONGEST = 2000  # characters: a pipe takes 4096 bytes in one go
_STOPPING = "stopping after "
_OVER = "over"  # the last word of a run that ends by itself
_SHOW_CURSOR = "\x1b[?25h"  # progress bars hide it

_words_out: int | None = None  # of the pipe to the process that answers


@contextlib.contextmanager
def answered() -> Iterator[None]:
    """Let the three signals end what runs in this block: by an ``Interrupted``, and at once when one comes again.

    To be entered before there are threads. Signals that are ignored, as SIGHUP below ``nohup``, stay so.
    """
    watcher, signals_out, words_out = _start_watcher()
    handler = _Handler()
    taken = [number for number in ENDING if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in taken}
    wakeup = signal.set_wakeup_fd(signals_out, warn_on_full_buffer=False)
    global _words_out
    _words_out = words_out
    interruption.set_listener(lambda work: _send(words_out, _said(work)))
    try:
        yield
    finally:
        interruption.set_listener(None)
        signal.set_wakeup_fd(wakeup)
        for number, earlier in before.items():
            signal.signal(number, earlier)
        os.close(signals_out)
        end_words()
        os.close(words_out)
        os.waitpid(watcher, 0)


def _start_watcher() -> tuple[int, int, int]:
    """Its process, and the pipes that tell it of signals and of work."""
    signals_in, signals_out = os.pipe()
    words_in, words_out = os.pipe()
    watched = os.getpid()
    watcher = os.fork()
    if watcher == 0:
        os.close(signals_out)
        os.close(words_out)
        _watch(watched, signals_in, words_in)
    os.close(signals_in)
    os.close(words_in)
    os.set_blocking(signals_out, False)
    os.set_blocking(words_out, False)
    return watcher, signals_out, words_out


class _Handler:
    """What Python does about a signal, when it gets to it."""

    def __init__(self) -> None:
        self._first: float | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = now
            raise interruption.ask_to_end(number)
        if now - self._first > _ONE_SECONDS:
            time.sleep(_GRACE_SECONDS / 2)  # for the watcher, which ends with this process, to say so
            os._exit(128 + number)


def end_words() -> None:
    """Tell the process that answers that this one has said itself why it ends."""
    if _words_out is not None:
        _send(_words_out, _OVER)


def _send(words_out: int, words: str) -> None:
    with contextlib.suppress(OSError):  # the watcher was killed, or has not read for long
        os.write(words_out, f"{words}\n".encode(errors="replace"))


def _said(work: Work) -> str:
    """The answer, in one line that a pipe takes whole."""
    return f"{_STOPPING}{work}"[:_LONGEST].replace("\n", " ")


def _watch(watched: int, signals_in: int, words_in: int) -> NoReturn:
    """The process that answers; it ends with the one that is watched."""
    first, said, has_ended = None, "", False
    try:
        orphaned_in = _stand_apart()
        is_over = False
        while not is_over and os.getppid() == watched:
            ready, _, _ = select.select([signals_in, words_in, orphaned_in], [], [])
            if words_in in ready:
                words = os.read(words_in, _BUFFER)
                is_over = not words  # yet a signal may be unanswered
                said, ended = _last_of(words, said)
                has_ended |= ended
            if signals_in in ready and set(os.read(signals_in, _BUFFER)) & set(ENDING):
                now = time.monotonic()
                if first is None:
                    first = now
                    _say(f"{said}. A second one stops at once.")
                elif now - first > _ONE_SECONDS:
                    _stop_at_once(watched, words_in)
    finally:
        os.set_blocking(words_in, False)
        with contextlib.suppress(OSError):  # nothing more was said
            said, ended = _last_of(os.read(words_in, _BUFFER), said)
            has_ended |= ended
        if first is None and not has_ended:
            work = said.removeprefix(_STOPPING)
            _say(f"error: killed, or ended by a library, in {work}. Was there enough memory?")
        os._exit(0)


def _last_of(words: bytes, before: str) -> tuple[str, bool]:
    """The answer as of the lines that came through a pipe, ``before`` where none has one, and whether the run ended.

    A run that a signal ended may have said so before the signal is read here: the answer is still that of its work.
    """
    lines = words.decode(errors="replace").splitlines()
    answers = [line for line in lines if line != _OVER]
    return (answers or [before])[-1], _OVER in lines


def _stand_apart() -> int:
    """Live on when the terminal signals the whole group, hold nothing that others wait for, end with the parent.

    Returns what becomes readable when the parent is gone: an exception could come while its end is being told.
    """
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
    orphaned_in, orphaned_out = os.pipe()
    os.set_blocking(orphaned_out, False)
    signal.set_wakeup_fd(orphaned_out)
    signal.signal(signal.SIGUSR1, lambda number, frame: None)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGUSR1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    return orphaned_in


def _stop_at_once(watched: int, words_in: int) -> None:
    _say("stopped at once: files that were being written are made again")
    ended, _, _ = select.select([words_in], [], [], _GRACE_SECONDS)
    if not (ended and not os.read(words_in, _BUFFER)) and os.getppid() == watched:
        os.kill(watched, signal.SIGKILL)


def _say(text: str) -> None:
    is_terminal = os.isatty(2)
    with contextlib.suppress(OSError):  # the terminal is gone, as SIGHUP says
        os.write(2, f"{_SHOW_CURSOR}\n{text}\n".encode() if is_terminal else f"{text}\n".encode())
