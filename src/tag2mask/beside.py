"""Work beside the main thread: reading ahead of it and writing behind it.

Decoding, compressing and computing all release Python's lock, so files are read and written while the model works.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import Any, TypeVar

T = TypeVar("T")
END = object()
AHEAD, BEHIND = 2, 16  # batches that wait to be used, files that wait to be written


def read_ahead(items: Iterator[T]) -> Iterator[T]:
    """Yield ``items`` in order; a thread makes the next ones early. Its errors are raised in their turn."""
    with ThreadPoolExecutor(1, "read-ahead") as reader:
        waiting = deque(reader.submit(next, items, END) for _ in range(AHEAD))
        try:
            while (item := waiting.popleft().result()) is not END:
                waiting.append(reader.submit(next, items, END))
                yield item  # type: ignore[misc]
        finally:
            for one in waiting:
                one.cancel()


@contextmanager
def write_behind() -> Iterator[Callable[..., None]]:
    """Give a function that has others called by a thread, in order; all calls are done when the block ends.

    What a call raises is raised by one of the next, or at the end of the block; no call is made after it.
    """
    failed = Event()

    def call(function: Callable[..., Any], *arguments: Any) -> None:
        if failed.is_set():
            return
        try:
            function(*arguments)
        except BaseException:
            failed.set()
            raise

    with ThreadPoolExecutor(1, "write-behind") as writer:
        waiting: deque[Future[Any]] = deque()

        def later(function: Callable[..., Any], *arguments: Any) -> None:
            while len(waiting) >= BEHIND:
                waiting.popleft().result()
            waiting.append(writer.submit(call, function, *arguments))

        yield later
        while waiting:
            waiting.popleft().result()
