"""How fast a person works."""

from __future__ import annotations

import statistics
from collections import deque
from itertools import pairwise

KEPT = 50  # last decisions


class Pace:
    """The median time between the last decisions, which breaks do not change."""

    def __init__(self) -> None:
        self.times: deque[float] = deque(maxlen=KEPT)

    def note(self, now: float) -> None:
        """Note a decision at ``now``, in seconds."""
        self.times.append(now)

    def seconds(self) -> float | None:
        """Seconds per decision; None before the second one."""
        times = list(self.times)
        if len(times) < 2:
            return None
        return statistics.median(later - earlier for earlier, later in pairwise(times))
