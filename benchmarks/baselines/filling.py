"""TokenMasking's released fill: breadth-first search with a queue from all painted pixels."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray


def fill_by_queue(labels_YX: NDArray[Any], bare: int) -> NDArray[Any]:
    """Every bare pixel gets the label of the painted pixel that reaches it first, over four neighbours."""
    height, width = labels_YX.shape
    filled = labels_YX.copy()
    waiting = deque(zip(*np.nonzero(labels_YX != bare), strict=True))
    while waiting:
        y, x = waiting.popleft()
        for below, right in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            at = (y + below, x + right)
            if 0 <= at[0] < height and 0 <= at[1] < width and filled[at] == bare:
                filled[at] = filled[y, x]
                waiting.append(at)
    return filled
