"""Handling of Ctrl-C and SIGTERM: both wait for the current step, and workers leave them to the main process."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
TOGETHER = 1.0  # seconds within which signals count as one request: the terminal and a parent process may both send it


class Terminated(BaseException):
    """SIGTERM, as sent by Slurm and Docker; Ctrl-C raises KeyboardInterrupt instead."""


class Interrupt:
    """Records whether Ctrl-C or SIGTERM arrived; a second one raises at once."""

    def __init__(self) -> None:
        self.asked = False
        self.signal = int(signal.SIGINT)
        self.at = 0.0

    def press(self, signum: int, frame: FrameType | None) -> None:
        """Remember the first signal; raise on the second."""
        if self.repeated():
            return
        if self.asked:
            raise error_of(signum)
        self.note(signum)

    def stop(self, signum: int, frame: FrameType | None) -> None:
        """Raise at once, but only once per request, so that cleaning up is not disturbed."""
        if not self.repeated():
            self.note(signum)
            raise error_of(signum)

    def note(self, signum: int) -> None:
        """Record the signal and its time."""
        self.asked, self.signal, self.at = True, signum, time.monotonic()

    def repeated(self) -> bool:
        """Whether a signal that arrives now belongs to the same request."""
        return self.asked and time.monotonic() - self.at < TOGETHER


def error_of(signum: int) -> BaseException:
    """Return the exception that a signal raises."""
    return Terminated() if signum == signal.SIGTERM else KeyboardInterrupt()


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """In this context, Ctrl-C raises KeyboardInterrupt and SIGTERM raises Terminated, so that clean-up runs.

    Outside the main thread, signals are not caught.
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
    """Catch both signals in this context; one that arrived is sent again at the end, unless it was raised.

    Outside the main thread, signals are not caught.
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
    """Restore the previous signal handlers."""
    for signum, handler in zip(SIGNALS, handlers, strict=True):
        signal.signal(signum, handler)


def ignore_interrupt(worker: int) -> None:
    """Ignore signals in a loader's worker: it also gets Ctrl-C or Slurm's SIGTERM, but must outlive the step.

    A second SIGTERM ends it: the loader sends one to a worker that does not end by itself.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, signal.SIG_DFL))
