"""Ctrl-C that waits for the step in hand."""

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
