"""A cache with a limit in bytes, so that browsing does not grow memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Cache(Generic[T]):
    """Keeps the values used last, up to ``limit`` bytes in total. Threads may share it."""

    def __init__(self, limit: int, size: Callable[[T], int]) -> None:
        self.limit = limit
        self.size = size
        self.held: OrderedDict[Hashable, T] = OrderedDict()
        self.bytes = 0
        self.lock = threading.Lock()

    def __contains__(self, key: Hashable) -> bool:
        with self.lock:
            return key in self.held

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the value of ``key``, made by ``make`` if it is not held; two threads may make it at once."""
        with self.lock:
            if key in self.held:
                self.held.move_to_end(key)
                return self.held[key]
        value = make()
        with self.lock:
            if key not in self.held and self.size(value) <= self.limit:
                self.held[key] = value
                self.bytes += self.size(value)
            while self.bytes > self.limit:
                _, dropped = self.held.popitem(last=False)
                self.bytes -= self.size(dropped)
        return value
