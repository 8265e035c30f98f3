"""Ctrl-C that waits for the step in hand, and workers that leave it to the main process."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupt:
    """Whether Ctrl-C was pressed; a second one does not wait."""

    def __init__(self) -> None:
        self.asked = False

    def press(self, signum: int, frame: FrameType | None) -> None:
        """Remember the first; raise on the second."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


@contextmanager
def deferred_interrupt() -> Iterator[Interrupt]:
    """Catch SIGINT while inside; outside the main thread nothing is caught."""
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    before = signal.signal(signal.SIGINT, interrupt.press)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)


def ignore_interrupt(worker: int) -> None:
    """For a loader's worker process: it also gets the terminal's Ctrl-C, and must live until the step is done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
