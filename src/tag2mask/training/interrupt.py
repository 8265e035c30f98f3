"""Ctrl-C and SIGTERM that wait for the step in hand, and workers that leave them to the main process."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
TOGETHER = 1.0  # seconds: what comes sooner is the same request, by the terminal and by a parent process


class Terminated(BaseException):
    """SIGTERM, as Slurm and Docker send it. No KeyboardInterrupt, which is Ctrl-C."""


class Interrupt:
    """Whether Ctrl-C or SIGTERM came; a second one does not wait."""

    def __init__(self) -> None:
        self.asked = False
        self.signal = int(signal.SIGINT)
        self.at = 0.0

    def press(self, signum: int, frame: FrameType | None) -> None:
        """Remember the first; raise on the second."""
        if self.repeated():
            return
        if self.asked:
            raise error_of(signum)
        self.note(signum)

    def stop(self, signum: int, frame: FrameType | None) -> None:
        """Raise at once, but once for one request: what cleans up is not to be disturbed."""
        if not self.repeated():
            self.note(signum)
            raise error_of(signum)

    def note(self, signum: int) -> None:
        """It came now."""
        self.asked, self.signal, self.at = True, signum, time.monotonic()

    def repeated(self) -> bool:
        """Whether what comes now is still the same request."""
        return self.asked and time.monotonic() - self.at < TOGETHER


def error_of(signum: int) -> BaseException:
    """What a signal raises."""
    return Terminated() if signum == signal.SIGTERM else KeyboardInterrupt()


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Inside, Ctrl-C raises KeyboardInterrupt and SIGTERM Terminated, so that what was begun is cleaned up.

    Outside the main thread nothing is caught.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    stop = Interrupt().stop
    before = [signal.signal(signum, stop) for signum in SIGNALS]
    try:
        yield
    finally:
        put_back(before)


@contextmanager
def deferred_interrupt() -> Iterator[Interrupt]:
    """Catch both signals while inside; the one that came is sent again in the end, unless it was raised.

    Outside the main thread nothing is caught.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    before = [signal.signal(signum, interrupt.press) for signum in SIGNALS]
    try:
        yield interrupt
    except KeyboardInterrupt:
        put_back(before)
        if interrupt.asked and interrupt.signal == signal.SIGTERM:
            signal.raise_signal(signal.SIGTERM)
        raise
    finally:
        put_back(before)
    if interrupt.asked:
        signal.raise_signal(interrupt.signal)


def put_back(handlers: Sequence[Any]) -> None:
    """The handlers of before."""
    for signum, handler in zip(SIGNALS, handlers, strict=True):
        signal.signal(signum, handler)


def ignore_interrupt(worker: int) -> None:
    """For a loader's worker process: it gets the terminal's Ctrl-C or Slurm's SIGTERM, too, and must outlive the step.

    A second SIGTERM ends it: the loader sends one to a worker that does not end by itself.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, signal.SIG_DFL))
